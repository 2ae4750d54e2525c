// Products of maps stored in bfloat16, on tensor cores: 16 x 8 x 16 at a time, summed in float.
//
// Tiles hold maps as they are stored, and weights as floats, which are rounded when a fragment is made.
// A register of a fragment holds two values that are adjacent along k, the first in its lower half. If
// a tile's lines run along k, these lie side by side.

template <class Share>
__device__ unsigned pair_of(
    const bfloat16 (&tile)[Share::LINES][Share::PITCH], int k, int side
) {
    if constexpr (Share::LINES_OF_K)
        return *reinterpret_cast<const unsigned*>(&tile[side][k]);
    else
        return tile[k][side].bits | static_cast<unsigned>(tile[k + 1][side].bits) << 16;
}

template <class Share>
__device__ unsigned pair_of(const float (&tile)[Share::LINES][Share::PITCH], int k, int side) {
    if constexpr (Share::LINES_OF_K) {
        const Pack<float, 2> both = load<2>(&tile[side][k]);
        return pack_bf16(both.at[0], both.at[1]);
    } else {
        return pack_bf16(tile[k][side], tile[k + 1][side]);
    }
}

// The engine; which results a thread holds is as with TF32.
template <int BM, int BN, int BK, int WM, int WN, int TILES>
struct Bfloat16Cores : TensorCores<BM, BN, BK, WM, WN, TILES, 1> {
    using Base = TensorCores<BM, BN, BK, WM, WN, TILES, 1>;
    using Map = bfloat16;
    static constexpr bool PAIRS = true;
    static constexpr int ROWS = Base::ROWS, COLUMNS = Base::COLUMNS;

    template <class A, class B>
    __device__ static void multiply_tiles(
        const typename A::T (&a)[A::LINES][A::PITCH], const typename B::T (&b)[B::LINES][B::PITCH],
        float (&sums)[ROWS][COLUMNS]
    ) {
        const int pair = threadIdx.x % 4 * 2;  // along k
        const int n = Base::column(0) - pair + threadIdx.x % 32 / 4;
#pragma unroll 2
        for (int k = 0; k < BK; k += 16) {
            unsigned right[COLUMNS / 2][2], left[ROWS / 2][4];
#pragma unroll
            for (int j = 0; j < COLUMNS / 2; ++j)
#pragma unroll
                for (int q = 0; q < 2; ++q)
                    right[j][q] = pair_of<B>(b, k + pair + 8 * q, n + 8 * j);
#pragma unroll
            for (int i = 0; i < ROWS / 2; ++i)
#pragma unroll
                for (int q = 0; q < 4; ++q)
                    left[i][q] = pair_of<A>(a, k + pair + q / 2 * 8, Base::row(2 * i + q % 2));
            add_products(left, right, sums);
        }
    }

    __device__ static void add_products(
        const unsigned (&left)[ROWS / 2][4], const unsigned (&right)[COLUMNS / 2][2],
        float (&sums)[ROWS][COLUMNS]
    ) {
#pragma unroll
        for (int i = 0; i < ROWS / 2; ++i)
#pragma unroll
            for (int j = 0; j < COLUMNS / 2; ++j)
                mma_bf16(
                    sums[2 * i][2 * j], sums[2 * i][2 * j + 1], sums[2 * i + 1][2 * j],
                    sums[2 * i + 1][2 * j + 1], left[i], right[j]
                );
    }
};
