// One matrix product for everything: sums of a(m, k) * b(k, n) over k, for a tile of BM x BN results
// a block. Tiles of a and b, BK long, pass through shared memory; every thread holds TM x TN results
// in registers, so that a value read from shared memory is used TM or TN times. While one pair of
// tiles is multiplied, the next is on its way from global memory, in registers.
//
// What a and b are, a *loader* decides: fetch(k, k_end) reads the thread's share of a tile, zeros
// beyond k_end; store(tile) puts it where all threads can read it, as tile[k][m] or tile[k][n].

constexpr int PADDING = 4;  // keeps rows 16-byte aligned, and columns off the same memory bank

template <typename T, int BM, int BN, int BK, int TM, int TN, class A, class B>
__device__ void multiply(A& a, B& b, index_t k, index_t k_end, T (&sums)[TM][TN]) {
    __shared__ alignas(16) T a_tile[BK][BM + PADDING];
    __shared__ alignas(16) T b_tile[BK][BN + PADDING];
    const int m = threadIdx.x / (BN / TN) * TM, n = threadIdx.x % (BN / TN) * TN;
    a.fetch(k, k_end);
    b.fetch(k, k_end);
    for (; k < k_end; k += BK) {
        a.store(a_tile);
        b.store(b_tile);
        __syncthreads();
        if (k + BK < k_end) {
            a.fetch(k + BK, k_end);
            b.fetch(k + BK, k_end);
        }
#pragma unroll
        for (int q = 0; q < BK; ++q) {
            const Pack<T, TM> left = load<TM>(&a_tile[q][m]);
            const Pack<T, TN> right = load<TN>(&b_tile[q][n]);
#pragma unroll
            for (int i = 0; i < TM; ++i)
#pragma unroll
                for (int j = 0; j < TN; ++j) sums[i][j] += left.at[i] * right.at[j];
        }
        __syncthreads();
    }
}

// Hand a tile's results to write(m, n, pack), V side by side, where (m, n) lies inside the matrix.
template <int V, int BN, typename T, int TM, int TN, class Write>
__device__ void write_tile(
    const T (&sums)[TM][TN], index_t first_m, index_t m_end, index_t first_n, index_t n_end,
    const Write& write
) {
    const index_t m = first_m + threadIdx.x / (BN / TN) * TM;
    const index_t n = first_n + threadIdx.x % (BN / TN) * TN;
#pragma unroll
    for (int i = 0; i < TM; ++i)
#pragma unroll
        for (int j = 0; j < TN; j += V)
            if (m + i < m_end && n + j < n_end) {
                Pack<T, V> values;
#pragma unroll
                for (int v = 0; v < V; ++v) values.at[v] = sums[i][j + v];
                write(m + i, n + j, values);
            }
}

// How the threads of a block share the loading of a tile whose lines lie side by side along k, or
// along m or n: each carries COUNT packs of V values, one every STEP lines.
//
// Along k, a warp takes 8 values of each of its lines: 32 bytes, no less than memory moves at once,
// and no more, so that what it stores, turned round, goes to 32 different banks.
template <typename T, int SIDE, int BK, int V, int THREADS>
struct AlongK {
    static constexpr int ACROSS = 8 / V, DOWN = 32 / ACROSS, WARPS_ACROSS = BK / 8;
    static constexpr int STEP = THREADS / (BK / V), COUNT = (SIDE + STEP - 1) / STEP;
    Pack<T, V> carried[COUNT];

    __device__ static int slot() {
        const int warp = threadIdx.x / 32 % WARPS_ACROSS;
        return (threadIdx.x % ACROSS + warp * ACROSS) * V;
    }

    __device__ static int line(int number) {
        const int warp = threadIdx.x / 32 / WARPS_ACROSS;
        return threadIdx.x % 32 / ACROSS + warp * DOWN + number * STEP;
    }

    __device__ void store(T (&tile)[BK][SIDE + PADDING]) const {
#pragma unroll
        for (int number = 0; number < COUNT; ++number)
            if (line(number) < SIDE)
#pragma unroll
                for (int v = 0; v < V; ++v) tile[slot() + v][line(number)] = carried[number].at[v];
    }
};

template <typename T, int SIDE, int BK, int V, int THREADS>
struct AlongSide {
    static constexpr int SLOTS = SIDE / V, STEP = THREADS / SLOTS;
    static constexpr int COUNT = (BK + STEP - 1) / STEP;
    Pack<T, V> carried[COUNT];

    __device__ static int slot() { return threadIdx.x % SLOTS * V; }
    __device__ static int line(int number) { return threadIdx.x / SLOTS + number * STEP; }

    __device__ void store(T (&tile)[BK][SIDE + PADDING]) const {
#pragma unroll
        for (int number = 0; number < COUNT; ++number)
            if (line(number) < BK) ::store<V>(&tile[line(number)][slot()], carried[number]);
    }
};

// A matrix in memory, read from line `first` on: its lines are `pitch` values apart and hold k ...
template <typename T, int SIDE, int BK, int V, int THREADS>
struct LinesOfK : AlongK<T, SIDE, BK, V, THREADS> {
    using Share = AlongK<T, SIDE, BK, V, THREADS>;
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
template <typename T, int SIDE, int BK, int V, int THREADS>
struct LineForEachK : AlongSide<T, SIDE, BK, V, THREADS> {
    using Share = AlongSide<T, SIDE, BK, V, THREADS>;
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
            if (line < k_end && Share::line(number) < BK && place < width)
                this->carried[number] = load<V>(matrix + line * pitch + place);
        }
    }
};
