// One matrix product for everything: sums of a(m, k) * b(k, n) over k, for a tile of M x N results a
// block. Tiles of a and b, K long, pass through shared memory, so that a value read from global memory
// is used N or M times. While one pair of tiles is multiplied, the next is on its way, in registers.
//
// Who multiplies, an *engine* decides: `MultiplyAdds` of single threads, or `TensorCores`. What a and b
// are, a *loader* decides: fetch(k, k_end) reads the thread's share of a tile, zeros beyond k_end;
// store(tile) puts it where all threads can read it.

// ---------------------------------------------------------------- engines

// An engine says which results a thread holds: sums[i][j] is that of row(i) and column(j) of the tile;
// TOGETHER columns lie side by side. Lanes of a warp that are ACROSS apart share their columns;
// warp_row() counts the warps that do.

// Every thread holds TM x TN results, so that a value read from shared memory is used TN or TM times.
template <typename Type, int BM, int BN, int BK, int TM, int TN>
struct MultiplyAdds {
    using T = Type;
    static constexpr int M = BM, N = BN, K = BK, ROWS = TM, COLUMNS = TN, TOGETHER = TN;
    static constexpr int ACROSS = BN / TN, THREADS = BM / TM * ACROSS, WARP_ROWS = THREADS / 32;
    static constexpr bool K_GOES_DOWN = true;  // a tile has a line for each k

    __device__ static int row(int i) { return threadIdx.x / ACROSS * TM + i; }
    __device__ static int column(int j) { return threadIdx.x % ACROSS * TN + j; }
    __device__ static int warp_row() { return threadIdx.x / 32; }

    template <class A, class B>
    __device__ static void multiply_tiles(
        const T (&a)[A::LINES][A::PITCH], const T (&b)[B::LINES][B::PITCH], T (&sums)[TM][TN]
    ) {
#pragma unroll
        for (int k = 0; k < BK; ++k) {
            const Pack<T, TM> left = load<TM>(&a[k][row(0)]);
            const Pack<T, TN> right = load<TN>(&b[k][column(0)]);
#pragma unroll
            for (int i = 0; i < TM; ++i)
#pragma unroll
                for (int j = 0; j < TN; ++j) sums[i][j] += left.at[i] * right.at[j];
        }
    }
};

// A warp holds WM x WN results and multiplies 16 x 8 x 8 at a time on the tensor cores, in TF32: 10
// bits behind the point. With three products a value is split into a TF32 number and the rest of it,
// also rounded to TF32; the product of the two rests alone is left out, which is no more than the
// rounding of float32. Tensor cores cut a sum off where float32 rounds it, and so always towards zero;
// therefore they sum 8 products at a time, and the threads add those (Ootomo & Yokota 2022).
template <int BM, int BN, int BK, int WM, int WN, int PRODUCTS>
struct TensorCores {
    using T = float;
    static constexpr int M = BM, N = BN, K = BK, ROWS = WM / 8, COLUMNS = WN / 4, TOGETHER = 2;
    static constexpr int ACROSS = 4, WARPS_ACROSS = BN / WN, WARP_ROWS = BM / WM;
    static constexpr int THREADS = WARP_ROWS * WARPS_ACROSS * 32;
    static constexpr bool K_GOES_DOWN = false;  // a tile's lines are as in memory

    __device__ static int warp_row() { return threadIdx.x / 32 / WARPS_ACROSS; }

    __device__ static int row(int i) {
        return warp_row() * WM + i / 2 * 16 + i % 2 * 8 + threadIdx.x % 32 / 4;
    }

    __device__ static int column(int j) {
        return threadIdx.x / 32 % WARPS_ACROSS * WN + j / 2 * 8 + threadIdx.x % 4 * 2 + j % 2;
    }

    // A value as TF32, and what is left of it.
    struct Split {
        unsigned high, low;

        __device__ explicit Split(float x) : high(to_tf32(x)) {
            if constexpr (PRODUCTS > 1) low = to_tf32(x - __uint_as_float(high));
        }
    };

    template <class A, class B>
    __device__ static void multiply_tiles(
        const T (&a)[A::LINES][A::PITCH], const T (&b)[B::LINES][B::PITCH],
        T (&sums)[ROWS][COLUMNS]
    ) {
        const int lane = threadIdx.x % 4;                    // along k
        const int n = column(0) - lane * 2 + threadIdx.x % 32 / 4;
#pragma unroll 2  // all at once would take more registers than there are
        for (int k = 0; k < BK; k += 8) {
            unsigned b_high[COLUMNS / 2][2], b_low[COLUMNS / 2][2];
#pragma unroll
            for (int j = 0; j < COLUMNS / 2; ++j)
#pragma unroll
                for (int q = 0; q < 2; ++q) {
                    const Split value(B::place(b, k + lane + 4 * q, n + 8 * j));
                    b_high[j][q] = value.high;
                    if constexpr (PRODUCTS > 1) b_low[j][q] = value.low;
                }
#pragma unroll
            for (int i = 0; i < ROWS; i += 2) {
                unsigned a_high[4], a_low[4];
#pragma unroll
                for (int q = 0; q < 4; ++q) {
                    const Split value(A::place(a, k + lane + q / 2 * 4, row(i + q % 2)));
                    a_high[q] = value.high;
                    if constexpr (PRODUCTS > 1) a_low[q] = value.low;
                }
#pragma unroll
                for (int j = 0; j < COLUMNS / 2; ++j) {
                    T& top_left = sums[i][2 * j];
                    T& top_right = sums[i][2 * j + 1];
                    T& bottom_left = sums[i + 1][2 * j];
                    T& bottom_right = sums[i + 1][2 * j + 1];
                    if constexpr (PRODUCTS == 1) {
                        mma_tf32(top_left, top_right, bottom_left, bottom_right, a_high, b_high[j]);
                    } else {
                        T part[4] = {};
                        mma_tf32(part, a_low, b_high[j]);
                        mma_tf32(part, a_high, b_low[j]);
                        mma_tf32(part, a_high, b_high[j]);
                        top_left += part[0];
                        top_right += part[1];
                        bottom_left += part[2];
                        bottom_right += part[3];
                    }
                }
            }
        }
    }
};

template <class E, class A, class B>
__device__ void multiply(
    A& a, B& b, index_t k, index_t k_end, typename E::T (&sums)[E::ROWS][E::COLUMNS]
) {
    using T = typename E::T;
    __shared__ alignas(16) T a_tile[A::LINES][A::PITCH];
    __shared__ alignas(16) T b_tile[B::LINES][B::PITCH];
    a.fetch(k, k_end);
    b.fetch(k, k_end);
    for (; k < k_end; k += E::K) {
        a.store(a_tile);
        b.store(b_tile);
        __syncthreads();
        if (k + E::K < k_end) {
            a.fetch(k + E::K, k_end);
            b.fetch(k + E::K, k_end);
        }
        E::template multiply_tiles<A, B>(a_tile, b_tile, sums);
        __syncthreads();
    }
}

// Hand the thread's results to write(m, n, j, pack), as many side by side as may be moved at once,
// where (m, n) lies inside the matrix; j is the first's place among the thread's columns.
template <class E, int V, class Write>
__device__ void write_tile(
    const typename E::T (&sums)[E::ROWS][E::COLUMNS], index_t first_m, index_t m_end,
    index_t first_n, index_t n_end, const Write& write
) {
    using T = typename E::T;
    constexpr int TOGETHER = V < E::TOGETHER ? V : E::TOGETHER;
#pragma unroll
    for (int i = 0; i < E::ROWS; ++i)
#pragma unroll
        for (int j = 0; j < E::COLUMNS; j += TOGETHER) {
            const index_t m = first_m + E::row(i), n = first_n + E::column(j);
            if (m >= m_end || n >= n_end) continue;
            Pack<T, TOGETHER> values;
#pragma unroll
            for (int v = 0; v < TOGETHER; ++v) values.at[v] = sums[i][j + v];
            write(m, n, j, values);
        }
}

// Where blockIdx.z counts parts of a sum over k: write this block's part of the results or, if there
// is no other, the results; the last blocks to arrive add the parts.
template <class E, int V, typename T>
__device__ void add_parts(
    const T (&sums)[E::ROWS][E::COLUMNS], T* results, T* parts, unsigned* counters,
    index_t first_m, index_t m_end, index_t first_n, index_t n_end
) {
    const index_t size = m_end * n_end, count = gridDim.z, tile = blockIdx.y * gridDim.x + blockIdx.x;
    T* own = count == 1 ? results : parts + blockIdx.z * size;
    write_tile<E, V>(
        sums, first_m, m_end, first_n, n_end,
        [=](index_t m, index_t n, int, const auto& values) { store(own + m * n_end + n, values); }
    );
    if (count == 1) return;
    combine_parts<16>(
        blockIdx.z, count, counters + tile * counters_for<16>(count),
        [=](index_t first, index_t step, index_t number, bool is_total) {
            for (int i = threadIdx.x; i < E::M * E::N; i += E::THREADS) {
                const index_t m = first_m + i / E::N, n = first_n + i % E::N;
                if (m >= m_end || n >= n_end) continue;
                T* place = parts + first * size + m * n_end + n;
                T sum = 0;
#pragma unroll 8
                for (index_t p = 0; p < number; ++p) sum += __ldcg(place + p * step * size);
                *(is_total ? results + m * n_end + n : place) = sum;
            }
        }
    );
}

// ---------------------------------------------------------------- loaders

// How the threads of a block share the loading of a tile whose lines lie side by side along k, or
// along m or n: each carries COUNT packs of V values, one every STEP lines. Rows of a tile are 16-byte
// aligned; what makes them longer keeps the lanes that read it off the same memory bank.
template <class E, int SIDE, int V>
struct AlongK {
    using T = typename E::T;
    static constexpr int K = E::K, STEP = E::THREADS / (K / V), COUNT = (SIDE + STEP - 1) / STEP;
    static constexpr int LINES = E::K_GOES_DOWN ? K : SIDE;
    static constexpr int PITCH = (E::K_GOES_DOWN ? SIDE : K) + 4;
    Pack<T, V> carried[COUNT];

    // Where a tile is turned round as it is stored, a warp takes 8 values of each of its lines: 32
    // bytes, no less than memory moves at once, and no more, so that it stores to 32 banks. Else it
    // takes as much of a line as there is.
    static constexpr int WIDTH = E::K_GOES_DOWN ? 8 : K;
    static constexpr int LANES_ACROSS = WIDTH / V < 32 ? WIDTH / V : 32;
    static constexpr int WARPS_ACROSS = K / V / LANES_ACROSS;

    __device__ static int slot() {
        const int warp = threadIdx.x / 32 % WARPS_ACROSS;
        return (threadIdx.x % LANES_ACROSS + warp * LANES_ACROSS) * V;
    }

    __device__ static int line(int number) {
        const int warp = threadIdx.x / 32 / WARPS_ACROSS;
        return threadIdx.x % 32 / LANES_ACROSS + warp * (32 / LANES_ACROSS) + number * STEP;
    }

    __device__ static T place(const T (&tile)[LINES][PITCH], int k, int side) {
        return E::K_GOES_DOWN ? tile[k][side] : tile[side][k];
    }

    __device__ void store(T (&tile)[LINES][PITCH]) const {
#pragma unroll
        for (int number = 0; number < COUNT; ++number) {
            if (line(number) >= SIDE) continue;
            if constexpr (E::K_GOES_DOWN) {
#pragma unroll
                for (int v = 0; v < V; ++v) tile[slot() + v][line(number)] = carried[number].at[v];
            } else {
                ::store<V>(&tile[line(number)][slot()], carried[number]);
            }
        }
    }
};

template <class E, int SIDE, int V>
struct AlongSide {
    using T = typename E::T;
    static constexpr int K = E::K, SLOTS = SIDE / V, STEP = E::THREADS / SLOTS;
    static constexpr int COUNT = (K + STEP - 1) / STEP;
    static constexpr int LINES = K, PITCH = SIDE + (E::K_GOES_DOWN ? 4 : 8);
    Pack<T, V> carried[COUNT];

    __device__ static int slot() { return threadIdx.x % SLOTS * V; }
    __device__ static int line(int number) { return threadIdx.x / SLOTS + number * STEP; }

    __device__ static T place(const T (&tile)[LINES][PITCH], int k, int side) {
        return tile[k][side];
    }

    __device__ void store(T (&tile)[LINES][PITCH]) const {
#pragma unroll
        for (int number = 0; number < COUNT; ++number)
            if (line(number) < K) ::store<V>(&tile[line(number)][slot()], carried[number]);
    }
};

// A matrix in memory, read from line `first` on: its lines are `pitch` values apart and hold k ...
template <class E, int SIDE, int V>
struct LinesOfK : AlongK<E, SIDE, V> {
    using Share = AlongK<E, SIDE, V>;
    using T = typename E::T;
    const T* matrix;
    index_t pitch, first, lines;

    __device__ LinesOfK(const T* matrix, index_t pitch, index_t first, index_t lines)
        : matrix(matrix), pitch(pitch), first(first), lines(lines) {}

    __device__ void fetch(index_t k, index_t k_end) {
        k += Share::slot();
#pragma unroll
        for (int number = 0; number < Share::COUNT; ++number) {
            const index_t line = first + Share::line(number);
            this->carried[number] = {};
            if (k < k_end && line < lines) this->carried[number] = load<V>(matrix + line * pitch + k);
        }
    }
};

// ... or there is a line for each k.
template <class E, int SIDE, int V>
struct LineForEachK : AlongSide<E, SIDE, V> {
    using Share = AlongSide<E, SIDE, V>;
    using T = typename E::T;
    const T* matrix;
    index_t pitch, first, width;

    __device__ LineForEachK(const T* matrix, index_t pitch, index_t first, index_t width)
        : matrix(matrix), pitch(pitch), first(first), width(width) {}

    __device__ void fetch(index_t k, index_t k_end) {
        const index_t place = first + Share::slot();
#pragma unroll
        for (int number = 0; number < Share::COUNT; ++number) {
            const index_t line = k + Share::line(number);
            this->carried[number] = {};
            if (line < k_end && Share::line(number) < E::K && place < width)
                this->carried[number] = load<V>(matrix + line * pitch + place);
        }
    }
};
