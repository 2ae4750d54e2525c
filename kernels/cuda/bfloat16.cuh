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

// The fragments of 16 k and of 16 lines of the other side: the first 8 k of lines 0 to 7, of lines 8 to
// 15, then the other k of both.
template <class Share>
__device__ void read_fragments(
    unsigned (&fragments)[4], const bfloat16 (&tile)[Share::LINES][Share::PITCH], int k, int side
) {
    const int lane = threadIdx.x % 32;
    const int row = lane % 8, other_lines = lane / 8 % 2 * 8, other_k = lane / 16 * 8;
    if constexpr (Share::LINES_OF_K)
        load_matrices(fragments, &tile[side + other_lines + row][k + other_k]);
    else
        load_turned_matrices(fragments, &tile[k + other_k + row][side + other_lines]);
}

// For large products: larger tiles, as in large.cuh. Weights come rounded, so that ldmatrix makes the
// fragments of both sides.
template <int BM, int BN, int BK, int WM, int WN, int TILES, int BLOCKS_AT_ONCE>
struct LargeBfloat16Cores : Bfloat16Cores<BM, BN, BK, WM, WN, TILES> {
    using Base = Bfloat16Cores<BM, BN, BK, WM, WN, TILES>;
    using Weight = bfloat16;
    static constexpr int ROWS = Base::ROWS, COLUMNS = Base::COLUMNS, RESIDENT = BLOCKS_AT_ONCE;
    static constexpr int TILE_VALUES = TILES * (BM + BN) * (BK + 8) / 2;  // of float's size

    template <class A, class B>
    __device__ static void multiply_tiles(
        const bfloat16 (&a)[A::LINES][A::PITCH], const bfloat16 (&b)[B::LINES][B::PITCH],
        float (&sums)[ROWS][COLUMNS]
    ) {
        const int top = Base::warp_row() * WM, first = threadIdx.x / 32 % Base::WARPS_ACROSS * WN;
#pragma unroll 2  // as registers suffice for
        for (int k = 0; k < BK; k += 16) {
            unsigned right[COLUMNS / 2][2], left[ROWS / 2][4];
#pragma unroll
            for (int j = 0; j < COLUMNS / 2; j += 2) {
                unsigned two[4];
                read_fragments<B>(two, b, k, first + 8 * j);
#pragma unroll
                for (int i = 0; i < 4; ++i) right[j + i % 2][i / 2] = two[i];
            }
#pragma unroll
            for (int i = 0; i < ROWS / 2; ++i) read_fragments<A>(left[i], a, k, top + 16 * i);
            Base::add_products(left, right, sums);
        }
    }
};
