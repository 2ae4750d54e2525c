// How the tiles of a product are brought to shared memory: through registers, or by copies past them.
// A loader of `product.cuh` says where its values lie, and inherits here how the threads of a block
// share the packs of a tile.

// How the threads of a block share the loading of a tile whose lines run along k (AlongK), or along m or
// n (AlongSide). Each thread moves COUNT packs of V values, one every STEP lines. Rows of a tile begin at
// 16 bytes and are 4 or 8 values longer than their contents: lanes then read different memory banks.
template <class Engine, int SIDE, int WIDTH_OF_PACK, typename Type = typename Engine::T>
struct AlongK {
    using E = Engine;
    using T = Type;
    static constexpr bool LINES_OF_K = true;
    static constexpr int V = WIDTH_OF_PACK, K = E::K;
    static constexpr int STEP = E::THREADS / (K / V), COUNT = (SIDE + STEP - 1) / STEP;
    static constexpr int LINES = E::K_GOES_DOWN ? K : SIDE;
    static constexpr int PITCH = (E::K_GOES_DOWN ? SIDE : K) + (E::PAIRS ? 8 : 4);
    static constexpr bool TURNED = E::K_GOES_DOWN;

    // If a tile is transposed while it is stored, a warp takes 8 values of each of its lines. That is 32
    // bytes, the least that memory moves at once; with more, the warp would not store to 32 different
    // banks. Otherwise it takes as much of a line as there is.
    static constexpr int WIDTH = TURNED ? 8 : K;
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

    __device__ static bool holds(int number) { return SIDE % STEP == 0 || line(number) < SIDE; }

    __device__ static T place(const T (&tile)[LINES][PITCH], int k, int side) {
        return TURNED ? tile[k][side] : tile[side][k];
    }
};

template <class Engine, int SIDE, int WIDTH_OF_PACK, typename Type = typename Engine::T>
struct AlongSide {
    using E = Engine;
    using T = Type;
    static constexpr bool LINES_OF_K = false;
    static constexpr int V = WIDTH_OF_PACK, K = E::K;
    static constexpr int SLOTS = SIDE / V, STEP = E::THREADS / SLOTS;
    static constexpr int COUNT = (K + STEP - 1) / STEP;
    static constexpr int LINES = K, PITCH = SIDE + (E::K_GOES_DOWN || (E::PAIRS && sizeof(T) == 4) ? 4 : 8);
    static constexpr bool TURNED = false;

    __device__ static int slot() { return threadIdx.x % SLOTS * V; }
    __device__ static int line(int number) { return threadIdx.x / SLOTS + number * STEP; }
    __device__ static bool holds(int number) { return K % STEP == 0 || line(number) < K; }

    __device__ static T place(const T (&tile)[LINES][PITCH], int k, int side) {
        return tile[k][side];
    }
};

// A thread's share of a tile, loaded through registers.
template <class Loader>
struct Carried {
    using T = typename Loader::T;
    static constexpr int V = Loader::V;
    Pack<T, V> packs[Loader::COUNT];

    __device__ void fetch(Loader& loader, int k, int k_end) {
        loader.each(k, k_end, [&](int number, const T* from, bool exists) {
            packs[number] = {};
            if (!exists) return;
            packs[number] = load<V>(from);
            if constexpr (Loader::MAY_BE_PENDING)
                if (loader.pending()) loader.normalise(packs[number]);
        });
        if constexpr (Loader::MAY_BE_PENDING) loader.next_is_normalised();
    }

    __device__ void store(T (&tile)[Loader::LINES][Loader::PITCH]) const {
#pragma unroll
        for (int number = 0; number < Loader::COUNT; ++number) {
            if (!Loader::holds(number)) continue;
            const int line = Loader::line(number), slot = Loader::slot();
            if constexpr (Loader::TURNED) {
#pragma unroll
                for (int v = 0; v < V; ++v) tile[slot + v][line] = packs[number].at[v];
            } else {
                ::store(&tile[line][slot], packs[number]);
            }
        }
    }
};

// A thread's share of a tile, copied past the registers. Pending steps are applied after the copy, and
// only to packs that exist: `existing` has a bit per pack for all tiles that are being copied.
template <class Loader>
struct Copied {
    using T = typename Loader::T;
    static constexpr int V = Loader::V, COUNT = Loader::COUNT, AHEAD = Loader::E::STAGES - 1;
    static_assert(!Loader::MAY_BE_PENDING || COUNT * AHEAD <= 64, "a bit for each pack");
    unsigned long long existing = 0;

    __device__ void copy(
        Loader& loader, T (&tile)[Loader::LINES][Loader::PITCH], int k, int k_end
    ) {
        if constexpr (Loader::MAY_BE_PENDING) existing <<= COUNT;
        loader.each(k, k_end, [&](int number, const T* from, bool exists) {
            if (!Loader::holds(number)) return;
            T* to = &tile[Loader::line(number)][Loader::slot()];
            constexpr int BYTES = V * sizeof(T), PIECE = BYTES < 16 ? BYTES : 16;
#pragma unroll
            for (int v = 0; v < V; v += PIECE / sizeof(T))
                copy_async<PIECE>(to + v, from + v, exists);
            if constexpr (Loader::MAY_BE_PENDING)
                existing |= static_cast<unsigned long long>(exists) << number;
        });
    }

    __device__ void copy_nothing() {
        if constexpr (Loader::MAY_BE_PENDING) existing <<= COUNT;
    }

    // The copy of the oldest tile is complete.
    __device__ void finish(Loader& loader, T (&tile)[Loader::LINES][Loader::PITCH]) {
        if constexpr (Loader::MAY_BE_PENDING) {
            if (!loader.pending()) return;
#pragma unroll
            for (int number = 0; number < COUNT; ++number) {
                if (!(existing >> ((AHEAD - 1) * COUNT + number) & 1)) continue;
                T* values = &tile[Loader::line(number)][Loader::slot()];
                Pack<T, V> pack = load<V>(values);
                loader.normalise(pack);
                ::store(values, pack);
            }
            loader.next_is_normalised();
        }
    }
};
