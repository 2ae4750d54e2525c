// One matrix product for everything: sums of a(m, k) * b(k, n) over k. A block makes a tile of M x N
// results. Tiles of a and b, K long, pass through shared memory, so that a value read from global memory
// is used N or M times. While one pair of tiles is multiplied, the next ones are being loaded.
// (A small version: kernels/ladder/cuda2_shared.cu and cuda3_register_tile.cu.)
// An *engine* multiplies: `MultiplyAdds` with the threads' own arithmetic, or `TensorCores`. A *loader*
// provides a or b: each(k, k_end, visit) calls visit(number, address, exists) for each pack of values
// that the thread moves from global memory into a tile; what does not exist is zero. Tiles are loaded in
// the order of k, so a loader advances without a division. If batch norm and ReLU are pending on its
// values, normalise(values) applies them, and next_is_normalised() advances.

// ---------------------------------------------------------------- engines

// An engine defines which results a thread holds: sums[i][j] belongs to row(i) and column(j) of the tile;
// TOGETHER columns are adjacent. Lanes of a warp that are ACROSS apart share their columns; warp_row()
// is the number of this warp among those with the same columns.
//
// Every thread holds TM x TN results, so that a value read from shared memory is used TN or TM times.
template <typename Type, int BM, int BN, int BK, int TM, int TN>
struct MultiplyAdds {
    using T = Type;
    using Map = Type;  // what maps are stored as
    using Weight = Type;
    static constexpr int M = BM, N = BN, K = BK, ROWS = TM, COLUMNS = TN, TOGETHER = TN;
    static constexpr int ACROSS = BN / TN, THREADS = BM / TM * ACROSS, WARP_ROWS = THREADS / 32;
    static constexpr bool K_GOES_DOWN = true;  // a tile has a line for each k
    static constexpr bool PAIRS = false;       // whether a fragment holds two adjacent k in a register
    static constexpr int STAGES = 1;           // tiles in shared memory; the next one is in registers
    static constexpr int TILE_VALUES = 0;      // in dynamic shared memory; else a tile's is static
    static constexpr int RESIDENT = 512 / THREADS;  // blocks per multiprocessor that registers must suffice for

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

// A warp holds WM x WN results and multiplies 16 x 8 x 8 at a time on the tensor cores, in TF32, with 10
// mantissa bits. With three products a value is split into a TF32 number and a remainder, rounded to
// TF32; only the product of the two remainders is left out. Tensor cores truncate sums towards zero,
// float32 rounds. So they sum only 8 products at a time; threads add these sums (Ootomo & Yokota 2022).
template <int BM, int BN, int BK, int WM, int WN, int TILES, int PRODUCTS>
struct TensorCores {
    using T = float;
    using Map = float;
    using Weight = float;
    static constexpr int M = BM, N = BN, K = BK, ROWS = WM / 8, COLUMNS = WN / 4, TOGETHER = 2;
    static constexpr int ACROSS = 4, WARPS_ACROSS = BN / WN, WARP_ROWS = BM / WM;
    static constexpr int THREADS = WARP_ROWS * WARPS_ACROSS * 32;
    static constexpr bool K_GOES_DOWN = false;  // a tile's lines are those of memory
    static constexpr bool PAIRS = false;
    static constexpr int STAGES = TILES;        // in shared memory; all but one are being loaded
    static constexpr int TILE_VALUES = 0;
    static constexpr int RESIDENT = (ROWS * COLUMNS > 16 ? 384 : 512) / THREADS;

    __device__ static int warp_row() { return threadIdx.x / 32 / WARPS_ACROSS; }

    __device__ static int row(int i) {
        return warp_row() * WM + i / 2 * 16 + i % 2 * 8 + threadIdx.x % 32 / 4;
    }

    __device__ static int column(int j) {
        return threadIdx.x / 32 % WARPS_ACROSS * WN + j / 2 * 8 + threadIdx.x % 4 * 2 + j % 2;
    }

    // A value rounded to TF32; or the sum of two such numbers, the second at most 2^-11 times the value.
    // Adding that share of a number and then truncating it rounds it well enough for the purpose, and
    // takes half as long as cvt.rna.tf32, which checks for infinity. A NaN stays NaN.
    struct Split {
        static constexpr unsigned BITS = 0xffffe000, HALF_A_UNIT = 0x1000;
        unsigned part[PRODUCTS > 1 ? 2 : 1];

        __device__ Split() {}
        __device__ explicit Split(float x) {
            if constexpr (PRODUCTS == 1) {
                part[0] = to_tf32(x);
            } else {
                part[0] = __float_as_uint(x * 1.00048828125f) & BITS;  // 1 + 2^-11
                part[1] = (__float_as_uint(x - from_tf32(part[0])) + HALF_A_UNIT) & BITS;
            }
        }
    };

    template <class A, class B>
    __device__ static void multiply_tiles(
        const T (&a)[A::LINES][A::PITCH], const T (&b)[B::LINES][B::PITCH],
        T (&sums)[ROWS][COLUMNS]
    ) {
        const int lane = threadIdx.x % 4;                    // along k
        const int n = column(0) - lane * 2 + threadIdx.x % 32 / 4;
#pragma unroll 2  // a full unroll would need more registers than there are
        for (int k = 0; k < BK; k += 8) {
            Split right[COLUMNS / 2][2], left[ROWS / 2][4];
#pragma unroll
            for (int j = 0; j < COLUMNS / 2; ++j)
#pragma unroll
                for (int q = 0; q < 2; ++q)
                    right[j][q] = Split(B::place(b, k + lane + 4 * q, n + 8 * j));
#pragma unroll
            for (int i = 0; i < ROWS / 2; ++i)
#pragma unroll
                for (int q = 0; q < 4; ++q)
                    left[i][q] = Split(A::place(a, k + lane + q / 2 * 4, row(2 * i + q % 2)));
            add_split_products(left, right, sums);
        }
    }

    __device__ static void add_split_products(
        const Split (&left)[ROWS / 2][4], const Split (&right)[COLUMNS / 2][2],
        T (&sums)[ROWS][COLUMNS]
    ) {
        if constexpr (PRODUCTS == 1)
            add_products<0, 0>(left, right, sums);
        else
            add_three_products(left, right, sums);
    }

    // The small products come first. A product waits for the one before it on the same results. So each
    // kind is computed for all results before the next kind.
    __device__ static void add_three_products(
        const Split (&left)[ROWS / 2][4], const Split (&right)[COLUMNS / 2][2],
        T (&sums)[ROWS][COLUMNS]
    ) {
        T parts[ROWS][COLUMNS] = {};
        add_products<1, 0>(left, right, parts);
        add_products<0, 1>(left, right, parts);
        add_products<0, 0>(left, right, parts);
#pragma unroll
        for (int i = 0; i < ROWS; ++i)
#pragma unroll
            for (int j = 0; j < COLUMNS; ++j) sums[i][j] += parts[i][j];
    }

    // Add products of the high or the low parts of both sides.
    template <int LEFT, int RIGHT>
    __device__ static void add_products(
        const Split (&left)[ROWS / 2][4], const Split (&right)[COLUMNS / 2][2],
        T (&sums)[ROWS][COLUMNS]
    ) {
#pragma unroll
        for (int i = 0; i < ROWS / 2; ++i) {
            const unsigned a[4] = {
                left[i][0].part[LEFT], left[i][1].part[LEFT], left[i][2].part[LEFT],
                left[i][3].part[LEFT]
            };
#pragma unroll
            for (int j = 0; j < COLUMNS / 2; ++j) {
                const unsigned b[2] = {right[j][0].part[RIGHT], right[j][1].part[RIGHT]};
                mma_tf32(
                    sums[2 * i][2 * j], sums[2 * i][2 * j + 1], sums[2 * i + 1][2 * j],
                    sums[2 * i + 1][2 * j + 1], a, b
                );
            }
        }
    }
};

// Pass the thread's results to change(m, n, j, pack), in packs of as many as may be moved at once.
// (m, n) is the pack's place in the tile, of which `rows` x `columns` lie inside the matrix; j is the
// index of the first result among the thread's columns.
template <class E, int V, class Change>
__device__ void change_tile(
    typename E::T (&sums)[E::ROWS][E::COLUMNS], int rows, int columns, const Change& change
) {
    using T = typename E::T;
    constexpr int TOGETHER = V < E::TOGETHER ? V : E::TOGETHER;
#pragma unroll
    for (int i = 0; i < E::ROWS; ++i)
#pragma unroll
        for (int j = 0; j < E::COLUMNS; j += TOGETHER) {
            const int m = E::row(i), n = E::column(j);
            if (m >= rows || n >= columns) continue;
            Pack<T, TOGETHER> values;
#pragma unroll
            for (int v = 0; v < TOGETHER; ++v) values.at[v] = sums[i][j + v];
            change(m, n, j, values);
#pragma unroll
            for (int v = 0; v < TOGETHER; ++v) sums[i][j + v] = values.at[v];
        }
}

// Write a tile's results to `to`, the place of the first one, in lines `pitch` values apart.
template <class E, int V, typename T, typename S>
__device__ void write_tile(
    T (&sums)[E::ROWS][E::COLUMNS], int rows, int columns, S* to, index_t pitch
) {
    change_tile<E, V>(sums, rows, columns, [&](int m, int n, int, auto& values) {
        store_map(to + m * pitch + n, values);
    });
}

// Round a tile's results as they will be stored.
template <class E, typename S>
__device__ void round_tile(typename E::T (&sums)[E::ROWS][E::COLUMNS]) {
#pragma unroll
    for (int i = 0; i < E::ROWS; ++i)
#pragma unroll
        for (int j = 0; j < E::COLUMNS; ++j) sums[i][j] = static_cast<S>(sums[i][j]);
}

// The number of places from `first` on that lie inside `size`, at most SIZE.
template <int SIZE>
__device__ int inside(index_t first, index_t size) {
    return static_cast<int>(min(size - first, static_cast<index_t>(SIZE)));
}

// If blockIdx.z counts the parts of a sum over k: write this block's part; the last blocks to arrive add
// the parts. A single part is the result.
template <class E, int V, typename T>
__device__ void add_parts(
    T (&sums)[E::ROWS][E::COLUMNS], T* results, T* parts, unsigned* counters,
    index_t first_m, index_t m_end, index_t first_n, index_t n_end
) {
    constexpr int W = V < 4 ? V : 4;  // with more, the parts would need too many registers
    const index_t size = m_end * n_end, count = gridDim.z, tile = blockIdx.y * gridDim.x + blockIdx.x;
    const index_t corner = first_m * n_end + first_n;
    const int rows = inside<E::M>(first_m, m_end), columns = inside<E::N>(first_n, n_end);
    T* own = count == 1 ? results : parts + blockIdx.z * size;
    write_tile<E, V>(sums, rows, columns, own + corner, n_end);
    if (count == 1) return;
    combine_parts<GROUP_OF_PARTS>(
        blockIdx.z, count, counters + tile * counters_for<GROUP_OF_PARTS>(count),
        [=](index_t first, index_t step, index_t number, bool is_total) {
            for (int i = threadIdx.x * W; i < E::M * E::N; i += E::THREADS * W) {
                const int m = i / E::N, n = i % E::N;
                if (m >= rows || n >= columns) continue;
                const index_t target = corner + m * n_end + n;
                T* place = parts + first * size + target;
                const Pack<T, W> sum = sum_of_parts<W>(place, step * size, number);
                store(is_total ? results + target : place, sum);
            }
        },
        [] {}
    );
}

// ---------------------------------------------------------------- the product of two loaders

// Through registers: the only way on older GPUs.
template <class E, class A, class B, typename T = typename E::T>
__device__ void multiply_by_turns(A& a, B& b, int k, int k_end, T (&sums)[E::ROWS][E::COLUMNS]) {
    __shared__ alignas(16) typename A::T a_tile[A::LINES][A::PITCH];
    __shared__ alignas(16) typename B::T b_tile[B::LINES][B::PITCH];
    Carried<A> left;
    Carried<B> right;
    left.fetch(a, k, k_end);
    right.fetch(b, k, k_end);
    for (; k < k_end; k += E::K) {
        left.store(a_tile);
        right.store(b_tile);
        __syncthreads();
        if (k + E::K < k_end) {
            left.fetch(a, k + E::K, k_end);
            right.fetch(b, k + E::K, k_end);
        }
        E::template multiply_tiles<A, B>(a_tile, b_tile, sums);
        __syncthreads();
    }
}

// With copies past the registers, STAGES - 1 tiles ahead. A thread waits for its own copies, and the
// barrier for those of the others. After it no thread reads the tile before: its stage is copied into.
template <class E, class A, class B, typename T = typename E::T>
__device__ void multiply_in_stages(
    A& a, B& b, int k, int k_end, T (&sums)[E::ROWS][E::COLUMNS],
    typename A::T (&a_tiles)[E::STAGES][A::LINES][A::PITCH],
    typename B::T (&b_tiles)[E::STAGES][B::LINES][B::PITCH]
) {
    constexpr int AHEAD = E::STAGES - 1;
    Copied<A> left;
    Copied<B> right;
    const auto copy = [&](int stage, int from) {
        if (from < k_end) {
            left.copy(a, a_tiles[stage], from, k_end);
            right.copy(b, b_tiles[stage], from, k_end);
        } else {
            left.copy_nothing();
        }
        commit_copies();
    };
#pragma unroll
    for (int stage = 0; stage < AHEAD; ++stage) copy(stage, k + stage * E::K);
    for (int stage = 0; k < k_end; k += E::K) {
        wait_for_copies<AHEAD - 1>();
        left.finish(a, a_tiles[stage]);
        __syncthreads();
        copy(stage == 0 ? AHEAD : stage - 1, k + AHEAD * E::K);
        E::template multiply_tiles<A, B>(a_tiles[stage], b_tiles[stage], sums);
        stage = stage == AHEAD ? 0 : stage + 1;
    }
}

template <class E, class A, class B, typename T = typename E::T>
__device__ void multiply(A& a, B& b, int k, int k_end, T (&sums)[E::ROWS][E::COLUMNS]) {
    if constexpr (E::TILE_VALUES > 0) {
        using Left = typename A::T[E::STAGES][A::LINES][A::PITCH];
        using Right = typename B::T[E::STAGES][B::LINES][B::PITCH];
        static_assert(sizeof(Left) + sizeof(Right) <= E::TILE_VALUES * sizeof(T), "they do not fit");
        T* memory = dynamic_memory<T>();
        auto& left = *reinterpret_cast<Left*>(memory);
        auto& right = *reinterpret_cast<Right*>(memory + sizeof(Left) / sizeof(T));
        multiply_in_stages<E>(a, b, k, k_end, sums, left, right);
    } else if constexpr (E::STAGES > 1) {
        __shared__ alignas(16) typename A::T a_tiles[E::STAGES][A::LINES][A::PITCH];
        __shared__ alignas(16) typename B::T b_tiles[E::STAGES][B::LINES][B::PITCH];
        multiply_in_stages<E>(a, b, k, k_end, sums, a_tiles, b_tiles);
    } else {
        multiply_by_turns<E>(a, b, k, k_end, sums);
    }
}

// ---------------------------------------------------------------- matrices

// A matrix in memory, read from line `first` on: its lines are `pitch` values apart and run along k ...
template <class E, int SIDE, int V>
struct LinesOfK : AlongK<E, SIDE, V> {
    using Share = AlongK<E, SIDE, V>;
    using T = typename E::T;
    static constexpr bool MAY_BE_PENDING = false;
    const T* next;
    index_t pitch;
    int lines;

    __device__ LinesOfK(const T* matrix, index_t pitch, index_t first, index_t lines, int k)
        : next(matrix + (first + Share::line(0)) * pitch + k + Share::slot()), pitch(pitch),
          lines(static_cast<int>(min(lines - first, index_t(SIDE)))) {}

    template <class Visit>
    __device__ void each(int k, int k_end, const Visit& visit) {
#pragma unroll
        for (int number = 0; number < Share::COUNT; ++number) {
            const bool exists = k + Share::slot() < k_end && Share::line(number) < lines;
            visit(number, next + number * Share::STEP * pitch, exists && Share::holds(number));
        }
        next += E::K;
    }
};

// ... or there is a line for each k.
template <class E, int SIDE, int V, typename Type = typename E::T>
struct LineForEachK : AlongSide<E, SIDE, V, Type> {
    using Share = AlongSide<E, SIDE, V, Type>;
    using T = Type;
    static constexpr bool MAY_BE_PENDING = false;
    const T* next;
    index_t pitch;
    bool inside;

    __device__ LineForEachK(const T* matrix, index_t pitch, index_t first, index_t width, int k)
        : next(matrix + static_cast<index_t>(k + Share::line(0)) * pitch + first + Share::slot()), pitch(pitch),
          inside(first + Share::slot() < width) {}

    template <class Visit>
    __device__ void each(int k, int k_end, const Visit& visit) {
        const int left = k_end - k;
#pragma unroll
        for (int number = 0; number < Share::COUNT; ++number) {
            const bool exists = inside && Share::line(number) < left;
            visit(number, next + number * Share::STEP * pitch, exists);
        }
        next += E::K * pitch;
    }
};
