// Tensor cores for large products in TF32: `TensorCores` with larger tiles and wider reads of shared
// memory. A value that is loaded counts for twice as many results, so the L2 cache has to deliver half
// as much. (For float32, three products for one, this was no faster on an H200.)
//
// Tiles that lie along k are read by ldmatrix. Tiles with a line for each k are read by four values at
// once; so four results of a thread are adjacent, where ldmatrix leaves two.
template <
    int BM, int BN, int BK, int WM, int WN, int TILES, int BLOCKS_AT_ONCE,
    bool LEFT_ALONG_K, bool RIGHT_ALONG_K>
struct LargeTensorCores : TensorCores<BM, BN, BK, WM, WN, TILES, 1> {
    using Base = TensorCores<BM, BN, BK, WM, WN, TILES, 1>;
    using T = float;
    static constexpr int ROWS = Base::ROWS, COLUMNS = Base::COLUMNS;
    static constexpr int TOGETHER = RIGHT_ALONG_K ? 2 : 4;
#if __CUDA_ARCH__ >= 1000
    static constexpr int RESIDENT = 2;  // there, registers would not suffice for more
#else
    static constexpr int RESIDENT = BLOCKS_AT_ONCE;
#endif
    static constexpr int TILE_VALUES = TILES * (BM + BN) * (BK + 4);  // in dynamic shared memory
    static constexpr int UNROLLED = LEFT_ALONG_K ? 2 : 1;  // as registers suffice for
    static constexpr int ROW_BLOCKS = 2;  // of 16 rows, that are read together

    __device__ static int group() { return threadIdx.x % 32 / 4; }     // g and t of tensor.cuh
    __device__ static int in_group() { return threadIdx.x % 4; }
    __device__ static int first_row() { return Base::warp_row() * WM; }  // of this warp
    __device__ static int first_column() { return threadIdx.x / 32 % Base::WARPS_ACROSS * WN; }

    __device__ static int row(int i) {
        if constexpr (LEFT_ALONG_K)
            return Base::row(i);
        else
            return first_row() + i / 4 * 32 + group() * 4 + i % 4;
    }

    __device__ static int column(int j) {
        if constexpr (RIGHT_ALONG_K)
            return Base::column(j);
        else
            return first_column() + j / 8 * 32 + in_group() * 8 + j % 8;
    }

    // The index among a thread's columns of the first or second sum of product j.
    __device__ static constexpr int index(int j, int second) {
        return RIGHT_ALONG_K ? 2 * j + second : j / 4 * 8 + second * 4 + j % 4;
    }

    template <class A, class B>
    __device__ static void multiply_tiles(
        const T (&a)[A::LINES][A::PITCH], const T (&b)[B::LINES][B::PITCH],
        T (&sums)[ROWS][COLUMNS]
    ) {
#pragma unroll UNROLLED
        for (int k = 0; k < BK; k += 8) {
            unsigned right[COLUMNS / 2][2];
            read_columns<B>(b, k, right);
#pragma unroll
            for (int first = 0; first < ROWS / 2; first += ROW_BLOCKS) {
                float left[ROW_BLOCKS][4];
                read_rows<A>(a, k, first, left);
#pragma unroll
                for (int block = 0; block < ROW_BLOCKS; ++block)
                    add_products(left[block], right, 2 * (first + block), sums);
            }
        }
    }

    template <class B>
    __device__ static void read_columns(
        const T (&b)[B::LINES][B::PITCH], int k, unsigned (&right)[COLUMNS / 2][2]
    ) {
        const int lane = threadIdx.x % 32;
        if constexpr (RIGHT_ALONG_K) {
#pragma unroll
            for (int j = 0; j < COLUMNS / 2; j += 2) {
                float values[4];
                load_matrices(values, &b[first_column() + 8 * j + lane / 16 * 8 + lane % 8][k + lane / 8 % 2 * 4]);
#pragma unroll
                for (int i = 0; i < 4; ++i) right[j + i / 2][i % 2] = to_tf32(values[i]);
            }
        } else {
#pragma unroll
            for (int j = 0; j < COLUMNS / 2; j += 4)
#pragma unroll
                for (int q = 0; q < 2; ++q) {
                    const auto four = load<4>(&b[k + in_group() + 4 * q][first_column() + 8 * j + group() * 4]);
#pragma unroll
                    for (int i = 0; i < 4; ++i) right[j + i][q] = to_tf32(four.at[i]);
                }
        }
    }

    template <class A>
    __device__ static void read_rows(
        const T (&a)[A::LINES][A::PITCH], int k, int first, float (&left)[ROW_BLOCKS][4]
    ) {
        const int lane = threadIdx.x % 32, top = first_row() + 16 * first;
        if constexpr (LEFT_ALONG_K) {
#pragma unroll
            for (int block = 0; block < ROW_BLOCKS; ++block)
                load_matrices(left[block], &a[top + 16 * block + lane % 16][k + lane / 16 * 4]);
        } else {
#pragma unroll
            for (int q = 0; q < 2; ++q) {
                const auto four = load<4>(&a[k + in_group() + 4 * q][top + group() * 4]);
#pragma unroll
                for (int i = 0; i < 4; ++i) left[i / 2][2 * q + i % 2] = four.at[i];
            }
        }
    }

    // Multiply 16 rows.
    __device__ static void add_products(
        const float (&values)[4], const unsigned (&right)[COLUMNS / 2][2], int row,
        T (&sums)[ROWS][COLUMNS]
    ) {
        const unsigned left[4] = {
            to_tf32(values[0]), to_tf32(values[1]), to_tf32(values[2]), to_tf32(values[3])
        };
        T(&upper)[COLUMNS] = sums[row];
        T(&lower)[COLUMNS] = sums[row + 1];
#pragma unroll
        for (int j = 0; j < COLUMNS / 2; ++j) {
            const int one = index(j, 0), two = index(j, 1);
            mma_tf32(upper[one], upper[two], lower[one], lower[two], left, right[j]);
        }
    }
};
