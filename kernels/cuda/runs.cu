// 3 x 3 convolutions that keep the size, and the gradient of their input, on tensor cores: a tile's
// pixels are read once, not once for each of the nine taps that use them.
//
// The trick is a way to number pixels. Every row of an image is followed by a column of zeros, and every
// image by a row of zeros; positions number all of these in one line. The left neighbour of a row's
// first pixel is then the zero after the row before, and the pixel above the first row lies in the
// zeros below the image before. So a tap is a distance along the line, the same for every pixel:
//
//     image 0, row 0   . . . . 0        a tile: M positions from `first` on
//              row 1   . . . . 0        what its taps read: a *run* from first - (width + 2) on,
//              zeros   0 0 0 0 0        2 (width + 2) positions longer
//     image 1, row 0   . . . . 0
//
// The run lies in shared memory, 16 channels at a time. It is already split for the tensor cores, and
// what is pending on x has been applied. Each tap multiplies the same run, shifted, by its weights, which
// are loaded a row of three taps at a time. Results at positions of zeros are discarded: one of
// width + 1 in each row.

template <int BM, int BN, int WM, int WN, int RUN, int PRODUCTS>
struct Runs : TensorCores<BM, BN, 16, WM, WN, 2, PRODUCTS> {
    static constexpr int LONGEST = RUN;
    static constexpr int RESIDENT = 5;  // blocks: as many as shared memory holds
};

template <int BM, int BN, int WM, int WN, int RUN>
struct Bfloat16Runs : Bfloat16Cores<BM, BN, 16, WM, WN, 2> {
    static constexpr int LONGEST = RUN;
    static constexpr int RESIDENT = 5;
};

constexpr int DEPTH = 16;           // channels at a time
constexpr int RUN_PITCH = DEPTH + 4;  // 4 more: lanes then read different memory banks
constexpr int SIDE = 3;             // taps in a row, and rows of taps

// Images with their zeros, as one line of positions.
struct Line {
    int height, width;

    __device__ int pitch() const { return width + 1; }

    // The pixel at a position, counted without zeros from image 0 on; -1 if there is none.
    __device__ int pixel(int position, int positions) const {
        if (position < 0 || position >= positions) return -1;
        int row = position;
        const int column = take(row, pitch());
        int image = row;
        row = take(image, height + 1);
        return row < height && column < width ? (image * height + row) * width + column : -1;
    }
};

// What lies in shared memory, and its products. For TF32: numbers split into parts.
template <class E, bool PAIRS = E::PAIRS>
struct RunTiles {
    static constexpr int PARTS = sizeof(typename E::Split) / sizeof(unsigned);
    typedef unsigned RunTile[PARTS][E::LONGEST][RUN_PITCH];
    typedef unsigned WeightTile[SIDE][PARTS][DEPTH][E::N + 8];

    template <class Put>
    __device__ static void store_split(const Pack<float, 4>& values, const Put& put) {
        typename E::Split split[4];
#pragma unroll
        for (int v = 0; v < 4; ++v) split[v] = typename E::Split(values.at[v]);
#pragma unroll
        for (int part = 0; part < PARTS; ++part) {
            Pack<unsigned, 4> bits;
#pragma unroll
            for (int v = 0; v < 4; ++v) bits.at[v] = split[v].part[part];
            put(part, bits);
        }
    }

    __device__ static void put_run(
        RunTile& run, int step, int slot, const Pack<float, 4>& values
    ) {
        store_split(values, [&](int part, const Pack<unsigned, 4>& bits) {
            store(&run[part][step][slot], bits);
        });
    }

    // With DIRECTION 1 the pack runs along n, else along k.
    template <int DIRECTION>
    __device__ static void put_weights(
        WeightTile& tile, int tap, int k, int n, const Pack<float, 4>& values
    ) {
        store_split(values, [&](int part, const Pack<unsigned, 4>& bits) {
            if constexpr (DIRECTION > 0) {
                store(&tile[tap][part][k][n], bits);
            } else {
#pragma unroll
                for (int v = 0; v < 4; ++v) tile[tap][part][k + v][n] = bits.at[v];
            }
        });
    }

    __device__ static void multiply_tap(
        const RunTile& run, const WeightTile& tile, int tap, int shift,
        float (&sums)[E::ROWS][E::COLUMNS]
    ) {
        const int lane = threadIdx.x % 4, n = E::column(0) - lane * 2 + threadIdx.x % 32 / 4;
#pragma unroll
        for (int k = 0; k < DEPTH; k += 8) {
            typename E::Split right[E::COLUMNS / 2][2], left[E::ROWS / 2][4];
#pragma unroll
            for (int part = 0; part < PARTS; ++part) {
#pragma unroll
                for (int j = 0; j < E::COLUMNS / 2; ++j)
#pragma unroll
                    for (int q = 0; q < 2; ++q)
                        right[j][q].part[part] = tile[tap][part][k + lane + 4 * q][n + 8 * j];
#pragma unroll
                for (int i = 0; i < E::ROWS / 2; ++i)
#pragma unroll
                    for (int q = 0; q < 4; ++q) {
                        const int step = E::row(2 * i + q % 2) + shift;
                        left[i][q].part[part] = run[part][step][k + lane + q / 2 * 4];
                    }
            }
            E::add_split_products(left, right, sums);
        }
    }
};

// For bfloat16: lines of both tiles run along k, so that two adjacent values are a register.
template <class E>
struct RunTiles<E, true> {
    static constexpr int PITCH = DEPTH + 8;
    typedef bfloat16 RunTile[E::LONGEST][PITCH];
    typedef bfloat16 WeightTile[SIDE][E::N][PITCH];

    __device__ static void put_run(
        RunTile& run, int step, int slot, const Pack<float, 4>& values
    ) {
        store_map(&run[step][slot], values);
    }

    template <int DIRECTION>
    __device__ static void put_weights(
        WeightTile& tile, int tap, int k, int n, const Pack<float, 4>& values
    ) {
        if constexpr (DIRECTION > 0) {
#pragma unroll
            for (int v = 0; v < 4; ++v) tile[tap][n + v][k] = static_cast<bfloat16>(values.at[v]);
        } else {
            store_map(&tile[tap][n][k], values);
        }
    }

    __device__ static unsigned pair(const bfloat16 (&line)[PITCH], int k) {
        return *reinterpret_cast<const unsigned*>(&line[k]);
    }

    __device__ static void multiply_tap(
        const RunTile& run, const WeightTile& tile, int tap, int shift,
        float (&sums)[E::ROWS][E::COLUMNS]
    ) {
        const int k = threadIdx.x % 4 * 2, n = E::column(0) - k + threadIdx.x % 32 / 4;
        unsigned right[E::COLUMNS / 2][2], left[E::ROWS / 2][4];
#pragma unroll
        for (int j = 0; j < E::COLUMNS / 2; ++j)
#pragma unroll
            for (int q = 0; q < 2; ++q) right[j][q] = pair(tile[tap][n + 8 * j], k + 8 * q);
#pragma unroll
        for (int i = 0; i < E::ROWS / 2; ++i)
#pragma unroll
            for (int q = 0; q < 4; ++q)
                left[i][q] = pair(run[E::row(2 * i + q % 2) + shift], k + q / 2 * 8);
        E::add_products(left, right, sums);
    }
};

// Add the products of a run with the nine taps. With DIRECTION 1, weight(tap, k, n) is
// weight[tap][k][n]. With -1, for the gradient, it is weight[tap][n][k], where n is a channel of x, and
// the taps run backward.
template <class E, int DIRECTION>
struct RunProduct {
    using Map = typename E::Map;
    using Tiles = RunTiles<E>;
    using RunTile = typename Tiles::RunTile;
    using WeightTile = typename Tiles::WeightTile;
    static constexpr int PACKS = (E::LONGEST * DEPTH / 4 + E::THREADS - 1) / E::THREADS;
    static constexpr int WEIGHT_PACKS = (DEPTH * E::N / 4 + E::THREADS - 1) / E::THREADS;

    const Map* images;
    const float* weight;
    const int* pixels;          // of the run
    int depth, columns, pitch;  // channels of the images, and of the result; positions of a row
    int first_n;
    Pack<float, 4> weights[SIDE][WEIGHT_PACKS];

    __device__ RunProduct(
        const Map* images, const float* weight, const int* pixels, int pitch, int depth,
        int columns, int first_n
    )
        : images(images), weight(weight), pixels(pixels), depth(depth), columns(columns),
          pitch(pitch), first_n(first_n) {}

    // step: the position of a pack in the run; slot: its first channel of DEPTH.
    __device__ static int step(int number) {
        return (threadIdx.x + number * E::THREADS) / (DEPTH / 4);
    }

    __device__ static int slot() { return threadIdx.x % (DEPTH / 4) * 4; }

    // Load the run's channels from `from` on into shared memory; change(pack) applies what is pending.
    template <class Change>
    __device__ void load_run(RunTile& run, int from, const Change& change) const {
        Pack<float, 4> packs[PACKS];
#pragma unroll
        for (int number = 0; number < PACKS; ++number) {
            packs[number] = {};
            const int pixel = step(number) < E::LONGEST ? pixels[step(number)] : -1;
            if (pixel < 0) continue;
            packs[number] = load_map<4>(images + static_cast<index_t>(pixel) * depth + from + slot());
            change(packs[number]);
        }
#pragma unroll
        for (int number = 0; number < PACKS; ++number) {
            if (step(number) < E::LONGEST)
                Tiles::put_run(run, step(number), slot(), packs[number]);
        }
    }

    // The place of a pack of weights in a tile. Packs run along n for y and along k for dx, as in memory.
    __device__ static int weight_k(int number) {
        const int index = threadIdx.x + number * E::THREADS;
        return DIRECTION > 0 ? index / (E::N / 4) : index % (DEPTH / 4) * 4;
    }

    __device__ static int weight_n(int number) {
        const int index = threadIdx.x + number * E::THREADS;
        return DIRECTION > 0 ? index % (E::N / 4) * 4 : index / (DEPTH / 4);
    }

    __device__ static bool holds_weight(int number) {
        return DIRECTION > 0 ? weight_k(number) < DEPTH : weight_n(number) < E::N;
    }

    // Load the weights of a row of taps into registers; the current row is multiplied meanwhile.
    __device__ void fetch_weights(int row, int from) {
#pragma unroll
        for (int tap = 0; tap < SIDE; ++tap)
#pragma unroll
            for (int number = 0; number < WEIGHT_PACKS; ++number) {
                const int k = from + weight_k(number), n = first_n + weight_n(number);
                weights[tap][number] = {};
                if (!holds_weight(number) || n >= columns) continue;
                const int place = row * SIDE + tap;
                const int line = DIRECTION > 0 ? (place * depth + k) * columns + n
                                               : (place * columns + n) * depth + k;
                weights[tap][number] = load<4>(weight + line);
            }
    }

    __device__ void store_weights(WeightTile& tile) const {
#pragma unroll
        for (int tap = 0; tap < SIDE; ++tap)
#pragma unroll
            for (int number = 0; number < WEIGHT_PACKS; ++number) {
                if (!holds_weight(number)) continue;
                Tiles::template put_weights<DIRECTION>(
                    tile, tap, weight_k(number), weight_n(number), weights[tap][number]
                );
            }
    }

    template <class Norm>
    __device__ void multiply(float (&sums)[E::ROWS][E::COLUMNS], const Norm& norm_of) {
        __shared__ alignas(16) RunTile run;
        __shared__ alignas(16) WeightTile tile;
        fetch_weights(0, 0);
        for (int from = 0; from < depth; from += DEPTH) {
            load_run(run, from, norm_of(from + slot()));
            store_weights(tile);
            __syncthreads();
#pragma unroll 1
            for (int row = 0; row < SIDE; ++row) {
                const bool is_last = row + 1 == SIDE;
                if (!is_last || from + DEPTH < depth)
                    fetch_weights(is_last ? 0 : row + 1, is_last ? from + DEPTH : from);
                const int down = DIRECTION > 0 ? row : SIDE - 1 - row;
#pragma unroll 1
                for (int tap = 0; tap < SIDE; ++tap) {
                    const int across = DIRECTION > 0 ? tap : SIDE - 1 - tap;
                    Tiles::multiply_tap(run, tile, tap, down * pitch + across, sums);
                }
                __syncthreads();
                if (is_last) continue;  // the next run and its weights are stored together
                store_weights(tile);
                __syncthreads();
            }
        }
    }
};

// Find the pixels of the run of a tile that begins at position `first`; -1 if there is none. The tile's
// own positions begin at `pitch + 1` of the run; returns the number of pixels among them.
template <class E>
__device__ int place_run(int (&pixels)[E::LONGEST], const Line& line, int first, int positions) {
    const int ahead = line.pitch() + 1;
    int count = 0;
    for (int begin = 0; begin < E::LONGEST; begin += E::THREADS) {
        const int step = begin + threadIdx.x;
        const bool is_met = step < min(E::LONGEST, E::M + 2 * ahead);
        const int pixel = is_met ? line.pixel(first - ahead + step, positions) : -1;
        if (step < E::LONGEST) pixels[step] = pixel;
        count += __syncthreads_count(pixel >= 0 && step >= ahead && step < E::M + ahead);
    }
    return count;
}

// y from x, or from relu(norm(x)) if `x_mean` and its like are given, and its moments, as in conv2d.
template <class E, typename S = typename E::Map>
__global__ void __launch_bounds__(E::THREADS, E::RESIDENT) conv3x3(
    const S* __restrict__ x, const float* __restrict__ weight, S* __restrict__ y,
    const float* __restrict__ x_mean, const float* __restrict__ x_var,
    const float* __restrict__ x_gamma, const float* __restrict__ x_beta,
    float* __restrict__ parts, unsigned* __restrict__ counters, float* __restrict__ mean,
    float* __restrict__ var, float* __restrict__ running_mean, float* __restrict__ running_var,
    float momentum, float unbiased, float eps, index_t images, index_t height, index_t width,
    index_t channels, index_t filters
) {
    __shared__ int pixels[E::LONGEST];
    const Line line{static_cast<int>(height), static_cast<int>(width)};
    const int positions = images * (height + 1) * (width + 1), first = blockIdx.x * E::M;
    const index_t first_n = static_cast<index_t>(blockIdx.y) * E::N;
    const int wide = inside<E::N>(first_n, filters);
    const int count = place_run<E>(pixels, line, first, positions);
    const int* target = pixels + line.pitch() + 1;
    RunProduct<E, 1> product(
        x, weight, pixels, line.pitch(), static_cast<int>(channels), static_cast<int>(filters),
        static_cast<int>(first_n)
    );
    float sums[E::ROWS][E::COLUMNS] = {};
    product.multiply(sums, [&](int channel) {
        Pack<float, 4> centre = {}, scale = {}, shift = {};
        if (x_mean)
#pragma unroll
            for (int v = 0; v < 4; ++v) {
                centre.at[v] = x_mean[channel + v];
                scale.at[v] = scale_of(x_gamma[channel + v], x_var[channel + v], eps);
                shift.at[v] = x_beta[channel + v];
            }
        return [=](Pack<float, 4>& values) {
            if (!x_mean) return;
#pragma unroll
            for (int v = 0; v < 4; ++v)
                values.at[v] = positive_part(
                    normalised(values.at[v], centre.at[v], scale.at[v], shift.at[v])
                );
        };
    });
    round_tile<E, S>(sums);
    const auto write = [&] {
        change_tile<E, 4>(sums, E::M, wide, [&](int m, int n, int, auto& values) {
            if (target[m] >= 0) store_map(y + target[m] * filters + first_n + n, values);
        });
    };
    if (!parts) {
        write();
        return;
    }
    const CountedMomentParts<float> tiles{parts, filters};
    moments_over_rows<E>(
        sums, [&](int m) { return target[m] >= 0; }, count,
        [&](int n, const Pack<float, 2>& pair) {
            if (n < wide)
                tiles.put(
                    blockIdx.x, first_n + n, {pair.at[0], pair.at[1], static_cast<float>(count)}
                );
        }
    );
    combine_pairs<E::THREADS>(
        tiles, blockIdx.x, gridDim.x, first_n, first_n + wide, E::N,
        counters + blockIdx.y * counters_for(gridDim.x),
        [=](index_t c, const auto& total) {
            mean[c] = total.at[0];
            var[c] = total.at[1] / total.at[2];
            if (running_mean)
                follow(running_mean + c, running_var + c, mean[c], var[c], momentum, unbiased);
        },
        write
    );
}

// dx, masked by the ReLU before x and summed for the batch norm, of z, before that, as in
// conv2d_input_grad without a shortcut. x itself is not in memory; norm(z) tells where it is positive.
template <class E, typename S = typename E::Map>
__global__ void __launch_bounds__(E::THREADS, E::RESIDENT) conv3x3_input_grad(
    const S* __restrict__ dy, const float* __restrict__ weight, S* __restrict__ dx,
    const S* __restrict__ z, const float* __restrict__ mean, const float* __restrict__ var,
    const float* __restrict__ gamma, const float* __restrict__ beta, float eps,
    float* __restrict__ parts, unsigned* __restrict__ counters, float* __restrict__ totals,
    index_t images, index_t height, index_t width, index_t channels, index_t filters
) {
    __shared__ int pixels[E::LONGEST];
    __shared__ float centre[E::N], scale[E::N], shift[E::N];
    const Line line{static_cast<int>(height), static_cast<int>(width)};
    const int positions = images * (height + 1) * (width + 1), first = blockIdx.x * E::M;
    const index_t first_n = static_cast<index_t>(blockIdx.y) * E::N;
    const int wide = inside<E::N>(first_n, channels);
    place_run<E>(pixels, line, first, positions);
    const int* target = pixels + line.pitch() + 1;
    for (int n = threadIdx.x; n < wide; n += E::THREADS) {
        centre[n] = mean[first_n + n];
        scale[n] = scale_of(gamma[first_n + n], var[first_n + n], eps);
        shift[n] = beta[first_n + n];
    }
    RunProduct<E, -1> product(
        dy, weight, pixels, line.pitch(), static_cast<int>(filters), static_cast<int>(channels),
        static_cast<int>(first_n)
    );
    float sums[E::ROWS][E::COLUMNS] = {};
    product.multiply(sums, [](int) { return [](Pack<float, 4>&) {}; });
    round_tile<E, S>(sums);
    Pack<float, 2> own[E::COLUMNS] = {};
    change_tile<E, 4>(sums, E::M, wide, [&](int m, int n, int j, auto& values) {
        constexpr int TOGETHER = sizeof(values) / sizeof(float);
        if (target[m] < 0) return;
        const auto before = load_map<TOGETHER>(z + target[m] * channels + first_n + n);
        auto after = before;
#pragma unroll
        for (int v = 0; v < TOGETHER; ++v)
            after.at[v] = normalised(before.at[v], centre[n + v], scale[n + v], shift[n + v]);
        mask_and_sum(values, after, before, centre + n, own + j);
    });
    total_sums<E>(
        own, blockIdx.x, gridDim.x, first_n, wide, channels, parts, counters, totals, [&] {
            change_tile<E, 4>(sums, E::M, wide, [&](int m, int n, int, auto& values) {
                if (target[m] >= 0) store_map(dx + target[m] * channels + first_n + n, values);
            });
        }
    );
}
