// The gradient of the weight of a 3 x 3 convolution that keeps the size, on tensor cores: each pixel
// is read once, not once for each of the nine taps. Positions are numbered as in runs.cu.
//
// A block sums the products of 16 channels of x with 16 of dy, for all taps, over a *part* of the
// positions. A part passes through shared memory in chunks, copied past the registers several ahead: dy
// of the chunk, and the run of x that its taps read. Warps share the positions of a chunk; each of them
// holds the sums of all taps. The block adds the warps' sums, and the last blocks to arrive the parts.
//
// In a product k counts positions, and both matrices lie in shared memory with a line for each position.
// A row of taps shifts the line of x, and a tap within its row the line of dy: position q of x meets dy at
// q, q - 1 and q - 2. A chunk is one of positions q; so each product is counted once. Which position
// is which k does not matter, if it is the same for both matrices. Lane t of four takes the adjacent
// positions q = 2 t and q + 1 of eight; so its three taps read dy at four positions, not at six.
//
// Nor does it matter which row of the product is which channel: row m belongs to channel 2 m of x or, from
// row 8 on, to 2 m - 15, and column n of two products side by side to channels 2 n and 2 n + 1 of dy. So a
// lane reads two channels at once, and its results are four adjacent ones. Lines in shared memory are 16
// bytes longer than their channels: lanes then read different memory banks.

constexpr int SLICE = 16;  // channels of x, and of dy, that a block multiplies

// A warp's products, in TF32: 16 channels of x with every other one of 16 channels of dy, at three taps.
template <int PRODUCTS>
struct WeightProducts : TensorCores<SLICE, SIDE * 8, 8, SLICE, SIDE * 8, 2, PRODUCTS> {
    using Base = TensorCores<SLICE, SIDE * 8, 8, SLICE, SIDE * 8, 2, PRODUCTS>;
    using Operand = typename Base::Split;
    static constexpr int EIGHTS = 1;  // of positions in a product
    struct Pixel {
        Operand channel[2];
    };

    __device__ static Pixel pixel(const float* line) {
        const Pack<float, 2> both = load<2>(line);
        return {{Operand(both.at[0]), Operand(both.at[1])}};
    }

    // Rows of a, of x at q and q + 1.
    __device__ static void left(Operand (&rows)[4], const Pixel (&x)[2][EIGHTS]) {
#pragma unroll
        for (int i = 0; i < 4; ++i) rows[i] = x[i / 2][0].channel[i % 2];
    }

    // A column of b: a channel of dy at two positions.
    __device__ static void right(
        Operand (&columns)[2], int channel, const Pixel (&first)[EIGHTS],
        const Pixel (&second)[EIGHTS]
    ) {
        columns[0] = first[0].channel[channel];
        columns[1] = second[0].channel[channel];
    }

    __device__ static void add(
        const Operand (&rows)[1][4], const Operand (&columns)[SIDE][2],
        float (&sums)[Base::ROWS][Base::COLUMNS]
    ) {
        Base::add_split_products(rows, columns, sums);
    }
};

// In bfloat16 a product is twice as long. A pixel is a register with its two channels; a register of a
// fragment holds one channel of two pixels.
template <>
struct WeightProducts<0> : Bfloat16Cores<SLICE, SIDE * 8, 16, SLICE, SIDE * 8, 2> {
    using Base = Bfloat16Cores<SLICE, SIDE * 8, 16, SLICE, SIDE * 8, 2>;
    using Operand = unsigned;
    static constexpr int EIGHTS = 2;
    using Pixel = unsigned;

    __device__ static Pixel pixel(const bfloat16* line) {
        return *reinterpret_cast<const unsigned*>(line);
    }

    __device__ static unsigned of_two(int channel, Pixel first, Pixel second) {
        return channel == 0 ? (first & 0xffff) | second << 16 : first >> 16 | (second & 0xffff0000);
    }

    __device__ static void left(Operand (&rows)[4], const Pixel (&x)[2][EIGHTS]) {
#pragma unroll
        for (int i = 0; i < 4; ++i) rows[i] = of_two(i % 2, x[0][i / 2], x[1][i / 2]);
    }

    __device__ static void right(
        Operand (&columns)[2], int channel, const Pixel (&first)[EIGHTS],
        const Pixel (&second)[EIGHTS]
    ) {
#pragma unroll
        for (int s = 0; s < EIGHTS; ++s) columns[s] = of_two(channel, first[s], second[s]);
    }

    __device__ static void add(
        const Operand (&rows)[1][4], const Operand (&columns)[SIDE][2],
        float (&sums)[Base::ROWS][Base::COLUMNS]
    ) {
        Base::add_products(rows, columns, sums);
    }
};

// The engine: WARPS of a block, STEPS of a warp in a chunk, chunks in shared memory, the longest run of x.
template <int WARPS, int STEPS, int CHUNKS, int RUN, int PRODUCTS, int BLOCKS_AT_ONCE>
struct WeightRuns : WeightProducts<PRODUCTS> {
    using Products = WeightProducts<PRODUCTS>;
    using Map = typename Products::Map;
    using Pixel = typename Products::Pixel;
    static constexpr int EIGHTS = Products::EIGHTS;
    static constexpr int THREADS = 32 * WARPS, STAGES = CHUNKS, RESIDENT = BLOCKS_AT_ONCE;
    static constexpr int OF_A_WARP = 8 * EIGHTS * STEPS, CHUNK = WARPS * OF_A_WARP;  // positions
    static constexpr int PACK = 16 / sizeof(Map), PACKS = SLICE / PACK;  // of a line, of 16 bytes
    static constexpr int PITCH = SLICE + PACK;
    static constexpr int ROUNDS = (RUN + THREADS - 1) / THREADS;  // in which a warp loads 32 lines
    static constexpr int SUMS = 2 * SIDE * SIDE;  // packs of four: what a lane holds

    struct Stage {
        Map x[RUN][PITCH], dy[CHUNK + 2][PITCH];  // dy begins two positions before the chunk
    };

    using Sums = float[SIDE][2][Products::ROWS][Products::COLUMNS];
    // COUNT adjacent pixels, for each eight.
    template <int COUNT>
    __device__ static void read(Pixel (&pixels)[COUNT][EIGHTS], const Map* line) {
#pragma unroll
        for (int p = 0; p < COUNT; ++p)
#pragma unroll
            for (int s = 0; s < EIGHTS; ++s)
                pixels[p][s] = Products::pixel(line + (p + 8 * s) * PITCH);
    }

    // Add the products of this warp's positions.
    __device__ static void multiply(const Stage& tiles, int pitch, Sums& sums) {
        const int lane = threadIdx.x % 32, channel = lane / 4 * 2;
        const int begin = threadIdx.x / 32 * OF_A_WARP + lane % 4 * 2;
#pragma unroll 1
        for (int q = begin; q < begin + OF_A_WARP; q += 8 * EIGHTS) {
            Pixel grads[4][EIGHTS];  // from q - 2 on
            read(grads, &tiles.dy[q][channel]);
            typename Products::Operand right[2][SIDE][2];
#pragma unroll
            for (int c = 0; c < 2; ++c)
#pragma unroll
                for (int tap = 0; tap < SIDE; ++tap)
                    Products::right(right[c][tap], c, grads[2 - tap], grads[3 - tap]);
#pragma unroll
            for (int row = 0; row < SIDE; ++row) {
                Pixel pixels[2][EIGHTS];
                read(pixels, &tiles.x[q + row * pitch][channel]);
                typename Products::Operand left[1][4];
                Products::left(left[0], pixels);
#pragma unroll
                for (int c = 0; c < 2; ++c) Products::add(left, right[c], sums[row][c]);
            }
        }
    }

    // Four adjacent channels of dy, of a tap of a row and of channel 2 g or 2 g + 1 of x.
    __device__ static Pack<float, 4> pack(const Sums& sums, int row, int tap, int odd) {
        const auto &even = sums[row][0][odd], &others = sums[row][1][odd];
        return {even[2 * tap], others[2 * tap], even[2 * tap + 1], others[2 * tap + 1]};
    }
};

template <int WARPS, int STEPS, int CHUNKS, int RUN, int BLOCKS_AT_ONCE>
using Bfloat16WeightRuns = WeightRuns<WARPS, STEPS, CHUNKS, RUN, 0, BLOCKS_AT_ONCE>;

// Brings a chunk into shared memory. A lane finds the pixel at one of 32 positions for its warp.
template <class E, typename S = typename E::Map>
struct ChunkLoader {
    const S *x, *dy;  // at the first channel of the block
    Line line;
    int positions, channels, filters;
    unsigned existing = 0;  // a bit for each pack of x that the thread has copied, for all chunks on the way
    static_assert(E::ROUNDS * E::PACKS * (E::STAGES - 1) <= 32, "a bit for each pack");

    __device__ ChunkLoader(
        const S* x, const S* dy, const Line& line, int positions, int channels, int filters
    )
        : x(x), dy(dy), line(line), positions(positions), channels(channels), filters(filters) {}

    __device__ static int slot() { return threadIdx.x % E::PACKS * E::PACK; }

    // The line of the run that a pack belongs to.
    __device__ static int step(int round, int number) {
        return (round * E::THREADS + threadIdx.x) / 32 * 32 + number * (32 / E::PACKS)
            + threadIdx.x % 32 / E::PACKS;
    }

    // Copy the chunk from position `first` on of a part that ends at `end`.
    __device__ void copy(typename E::Stage& tiles, int first, int end) {
        existing <<= E::ROUNDS * E::PACKS;
        const int ahead = line.pitch() + 1, own = min(end - first, E::CHUNK);
        const int length = own + 2 * line.pitch();  // of the run
        if (own <= 0) return;
#pragma unroll
        for (int round = 0; round < E::ROUNDS; ++round) {
            const int begin = (round * E::THREADS + threadIdx.x) / 32 * 32;
            if (begin >= length) continue;
            const int pixel = line.pixel(first - ahead + begin + threadIdx.x % 32, positions);
#pragma unroll
            for (int number = 0; number < E::PACKS; ++number) {
                const int to = step(round, number), place = to - ahead + 2;
                const index_t from = __shfl_sync(ALL_LANES, pixel, to - begin);
                if (to >= length) continue;
                copy_async<16>(&tiles.x[to][slot()], x + from * channels + slot(), from >= 0);
                existing |= static_cast<unsigned>(from >= 0) << (round * E::PACKS + number);
                if (place >= 0 && place < own + 2)
                    copy_async<16>(&tiles.dy[place][slot()], dy + from * filters + slot(), from >= 0);
            }
        }
    }

    // Apply pending batch norm and ReLU to this thread's packs of x of the oldest chunk, which is there.
    __device__ void normalise(typename E::Stage& tiles, const float (&norm)[3][SLICE]) const {
        const unsigned these = existing >> E::ROUNDS * E::PACKS * (E::STAGES - 2);
#pragma unroll
        for (int round = 0; round < E::ROUNDS; ++round)
#pragma unroll
            for (int number = 0; number < E::PACKS; ++number) {
                if (!(these >> (round * E::PACKS + number) & 1)) continue;
                S* values = &tiles.x[step(round, number)][slot()];
                Pack<S, E::PACK> pack = load<E::PACK>(values);
#pragma unroll
                for (int v = 0; v < E::PACK; ++v) {
                    const int c = slot() + v;
                    const float result = normalised<float>(pack.at[v], norm[0][c], norm[1][c], norm[2][c]);
                    pack.at[v] = static_cast<S>(positive_part(result));
                }
                store(values, pack);
            }
    }
};

// blockIdx counts slices of the channels of x, slices of dy's, and parts of `part` positions. If x_mean
// and its like are given, batch norm and ReLU are pending on x, as in conv3x3.
template <class E, typename S = typename E::Map>
__global__ void __launch_bounds__(E::THREADS, E::RESIDENT) conv3x3_weight_grad(
    const S* __restrict__ dy, const S* __restrict__ x, float* __restrict__ dweight,
    const float* __restrict__ x_mean, const float* __restrict__ x_var,
    const float* __restrict__ x_gamma, const float* __restrict__ x_beta, float eps,
    float* __restrict__ parts, unsigned* __restrict__ counters, index_t part, index_t images,
    index_t height, index_t width, index_t channels, index_t filters
) {
    __shared__ float norm[3][SLICE];
    auto* stages = reinterpret_cast<typename E::Stage*>(dynamic_memory<float>());
    const Line line{static_cast<int>(height), static_cast<int>(width)};
    const int first_c = blockIdx.x * SLICE, first_f = blockIdx.y * SLICE;
    const int begin = blockIdx.z * part, end = begin + part;
    ChunkLoader<E> loader(
        x + first_c, dy + first_f, line, static_cast<int>(images) * (line.height + 1) * line.pitch(),
        static_cast<int>(channels), static_cast<int>(filters)
    );
    constexpr int AHEAD = E::STAGES - 1;
#pragma unroll
    for (int stage = 0; stage < AHEAD; ++stage) {
        loader.copy(stages[stage], begin + stage * E::CHUNK, end);
        commit_copies();
    }
    if (x_mean && threadIdx.x < SLICE) {
        const int c = first_c + threadIdx.x;
        norm[0][threadIdx.x] = x_mean[c];
        norm[1][threadIdx.x] = scale_of(x_gamma[c], x_var[c], eps);
        norm[2][threadIdx.x] = x_beta[c];
    }
    __syncthreads();
    typename E::Sums sums = {};
    int stage = 0;
    for (int first = begin; first < end; first += E::CHUNK) {
        wait_for_copies<AHEAD - 1>();
        if (x_mean) loader.normalise(stages[stage], norm);
        __syncthreads();
        loader.copy(stages[stage == 0 ? AHEAD : stage - 1], first + AHEAD * E::CHUNK, end);
        commit_copies();
        if (first + static_cast<int>(threadIdx.x) / 32 * E::OF_A_WARP < end)
            E::multiply(stages[stage], line.pitch(), sums);
        stage = stage == AHEAD ? 0 : stage + 1;
    }
    // The warps' sums lie one after the other, as lanes hold them: a pack of lane `item % 32`.
    constexpr int ITEMS = E::SUMS * 32;
    auto* of_warps = reinterpret_cast<Pack<float, 4>*>(stages);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < E::SUMS; ++i)
        of_warps[threadIdx.x / 32 * ITEMS + i * 32 + threadIdx.x % 32] =
            E::pack(sums, i / 2 / SIDE, i / 2 % SIDE, i % 2);
    __syncthreads();
    const auto place_of = [=](int item) {
        const int tap = item / 64, c = first_c + item % 32 / 4 * 2 + item / 32 % 2;
        return (tap * channels + c) * filters + first_f + item % 4 * 4;
    };
    const index_t size = SIDE * SIDE * channels * filters, count = gridDim.z;
    float* own = count == 1 ? dweight : parts + blockIdx.z * size;
    for (int item = threadIdx.x; item < ITEMS; item += E::THREADS) {
        Pack<float, 4> sum = of_warps[item];
#pragma unroll
        for (int warp = 1; warp < E::THREADS / 32; ++warp) {
            const Pack<float, 4> more = of_warps[warp * ITEMS + item];
#pragma unroll
            for (int v = 0; v < 4; ++v) sum.at[v] += more.at[v];
        }
        store(own + place_of(item), sum);
    }
    if (count == 1) return;
    const index_t tile = blockIdx.y * gridDim.x + blockIdx.x;
    combine_parts<GROUP_OF_PARTS>(
        blockIdx.z, count, counters + tile * counters_for<GROUP_OF_PARTS>(count),
        [=](index_t first, index_t step, index_t number, bool is_total) {
#pragma unroll 1
            for (int item = threadIdx.x; item < ITEMS; item += E::THREADS) {
                float* place = parts + first * size + place_of(item);
                const Pack<float, 4> sum = sum_of_parts<4>(place, step * size, number);
                store(is_total ? dweight + place_of(item) : place, sum);
            }
        },
        [] {}
    );
}
