// Convolution and its two gradients as implicit matrix products: the columns of im2col are never in
// memory, a loader reads them from the images. Padding is a pixel that does not exist: zero.
// (A small version: kernels/ladder/cuda1_thread.cu and the two after it.)
// The operations around a convolution in a residual network take no pass over memory of their own. Batch
// norm and ReLU *before* it may be pending: then x is normalised when it is loaded. The batch norm
// *after* it needs the result's moments: they are taken while the result is in registers. So are the
// sums that the gradient of the batch norm before it needs.

constexpr int HALF = 16;  // bits: the masks of a kernel's rows and of its columns share a 32-bit word

// ---------------------------------------------------------------- y and dx: windows are lines of k

// The taps, of `count`, at which a window that begins at `start` lies inside an image of `size` pixels,
// with the taps in forward or backward order; as a mask with a bit per tap.
__device__ unsigned taps_inside(int start, int size, int count, int direction) {
    const int begin = direction > 0 ? -start : start - size + 1;
    const int end = direction > 0 ? size - start : start + 1;
    const unsigned below_end = (1u << min(max(end, 0), count)) - 1;
    return below_end & ~((1u << min(max(begin, 0), count)) - 1);
}

// A place in a window, which advances in the order (tap row, tap column, channel).
struct WindowPlace {
    int channel, across, down;

    __device__ WindowPlace(int place, int channels, int taps_across)
        : channel(0), across(0), down(0) {
        move_on(place, channels, taps_across);
    }

    __device__ void move_on(int step, int channels, int taps_across) {
        channel += step;
        while (channel >= channels) {
            channel -= channels;
            if (++across == taps_across) {
                across = 0;
                ++down;
            }
        }
    }
};

// Line m holds the window of pixel m. It begins `starts[m]` values after `images`, perhaps outside its
// own image. `inside[m]` is the mask of the taps inside: rows in the lower half, columns in the upper
// half. For dx the taps run backward: under tap i, a row of x uses row `top` - i of dy. Kernels have
// fewer than 16 rows and columns, so no mask has all bits, and ~0u in `wanted` matches no pixel.
template <class E, int V, int DIRECTION>
struct Windows : AlongK<E, E::M, V, typename E::Map> {
    using S = typename E::Map;
    using Share = AlongK<E, E::M, V, S>;
    using Number = typename E::T;
    static constexpr bool MAY_BE_PENDING = DIRECTION > 0;
    const S* images;
    const Number* norm;  // if batch norm is pending: centre, scale and shift of all channels, else null
    int width, channels, taps_across;
    WindowPlace next, next_norm;
    int start[Share::COUNT];
    unsigned inside[Share::COUNT];

    __device__ Windows(
        const S* images, const int* starts, const unsigned* insides, const Number* norm,
        int width, int channels, int taps_across
    )
        : images(images), norm(norm), width(width), channels(channels), taps_across(taps_across),
          next(Share::slot(), channels, taps_across), next_norm(next) {
#pragma unroll
        for (int number = 0; number < Share::COUNT; ++number) {
            start[number] = Share::holds(number) ? starts[Share::line(number)] : 0;
            inside[number] = Share::holds(number) ? insides[Share::line(number)] : 0;
        }
    }

    template <class Visit>
    __device__ void each(int k, int k_end, const Visit& visit) {
        const int offset = (next.down * width + next.across) * DIRECTION * channels + next.channel;
        const bool is_tap = k + Share::slot() < k_end;
        const unsigned wanted = is_tap ? 1u << next.down | 1u << (HALF + next.across) : ~0u;
#pragma unroll
        for (int number = 0; number < Share::COUNT; ++number) {
            const bool exists = (inside[number] & wanted) == wanted;
            visit(number, images + (start[number] + offset), exists);
        }
        next.move_on(E::K, channels, taps_across);
    }

    __device__ bool pending() const { return norm != nullptr; }
    __device__ void next_is_normalised() { next_norm.move_on(E::K, channels, taps_across); }

    __device__ void normalise(Pack<S, V>& values) const {
        const Number* from = norm + next_norm.channel;
        const Pack<Number, V> centre = load<V>(from), scale = load<V>(from + channels);
        const Pack<Number, V> shift = load<V>(from + 2 * channels);
#pragma unroll
        for (int v = 0; v < V; ++v)
            values.at[v] = static_cast<S>(positive_part(
                normalised<Number>(values.at[v], centre.at[v], scale.at[v], shift.at[v])
            ));
    }
};

// ---------------------------------------------------------------- y

// The place of this block's tile, in tiles. Blocks start first along x. If large tiles that read the same
// pixels are neighbours, the L2 cache still holds these.
template <class E>
struct Tile {
    static constexpr bool TURNED = E::TILE_VALUES > 0;

    __device__ static unsigned down() { return TURNED ? blockIdx.y : blockIdx.x; }
    __device__ static unsigned across() { return TURNED ? blockIdx.x : blockIdx.y; }
    __device__ static unsigned all_down() { return TURNED ? gridDim.y : gridDim.x; }
};

// If x_mean and its like are given, batch norm and ReLU are pending on x. If `parts` is given, the
// moments of y are taken, and the running statistics, if given, move.
template <class E, int V, typename T = typename E::T, typename S = typename E::Map>
__global__ void __launch_bounds__(E::THREADS, E::RESIDENT) conv2d(
    const S* __restrict__ x, const typename E::Weight* __restrict__ weight, S* __restrict__ y,
    const T* __restrict__ x_mean, const T* __restrict__ x_var, const T* __restrict__ x_gamma,
    const T* __restrict__ x_beta, T* __restrict__ parts, unsigned* __restrict__ counters,
    T* __restrict__ mean, T* __restrict__ var, T* __restrict__ running_mean,
    T* __restrict__ running_var, T momentum, T unbiased, T eps, index_t pixels, index_t height,
    index_t width, index_t channels, index_t rows, index_t columns, index_t filters,
    index_t kernel_height, index_t kernel_width, index_t stride, index_t padding
) {
    __shared__ int starts[E::M];
    __shared__ unsigned taps[E::M];
    const index_t first_m = static_cast<index_t>(Tile<E>::down()) * E::M;
    const index_t first_n = static_cast<index_t>(Tile<E>::across()) * E::N;
    const int lines = inside<E::M>(first_m, pixels), wide = inside<E::N>(first_n, filters);
    int first_image = first_m;
    take(first_image, static_cast<int>(rows * columns));
    for (int m = threadIdx.x; m < E::M; m += E::THREADS) {
        int image = first_m + m;
        const int left = take(image, static_cast<int>(columns)) * stride - padding;
        const int top = take(image, static_cast<int>(rows)) * stride - padding;
        const unsigned down = taps_inside(top, height, kernel_height, 1);
        const unsigned across = taps_inside(left, width, kernel_width, 1);
        const int line = (image - first_image) * static_cast<int>(height) + top;
        starts[m] = (line * static_cast<int>(width) + left) * static_cast<int>(channels);
        taps[m] = m < lines ? down | across << HALF : 0;
    }
    x += first_image * height * width * channels;
    T* norm = nullptr;
    if (x_mean) {
        norm = dynamic_memory<T>() + E::TILE_VALUES;
        for (int c = threadIdx.x; c < channels; c += E::THREADS) {
            norm[c] = x_mean[c];
            norm[channels + c] = scale_of(x_gamma[c], x_var[c], eps);
            norm[2 * channels + c] = x_beta[c];
        }
    }
    __syncthreads();
    Windows<E, V, 1> left_side(
        x, starts, taps, norm, static_cast<int>(width), static_cast<int>(channels),
        static_cast<int>(kernel_width)
    );
    LineForEachK<E, E::N, V, typename E::Weight> right_side(weight, filters, first_n, filters, 0);
    T sums[E::ROWS][E::COLUMNS] = {};
    const int k = kernel_height * kernel_width * channels;
    multiply<E>(left_side, right_side, 0, k, sums);
    round_tile<E, S>(sums);
    const auto write = [&] {
        write_tile<E, V>(sums, lines, wide, y + first_m * filters + first_n, filters);
    };
    if (!parts) {
        write();
        return;
    }
    const MomentParts<T> tiles{{parts, filters}, pixels, E::M};
    moments_over_rows<E>(sums, [=](int m) { return m < lines; }, lines, [&](int n, const Pack<T, 2>& pair) {
        if (n < wide) tiles.put(Tile<E>::down(), first_n + n, pair);
    });
    combine_pairs<E::THREADS>(
        tiles, Tile<E>::down(), Tile<E>::all_down(), first_n, first_n + wide, E::N,
        counters + Tile<E>::across() * counters_for(Tile<E>::all_down()),
        [=](index_t c, const Pack<T, 2>& total) {
            mean[c] = total.at[0];
            var[c] = total.at[1] / static_cast<T>(pixels);
            if (running_mean)
                follow(running_mean + c, running_var + c, mean[c], var[c], momentum, unbiased);
        },
        write
    );
}

// ---------------------------------------------------------------- dx

// The weights as dx uses them: line n is channel n of x; k is (tap row, tap column, filter), with only
// the taps first_row, first_row + stride, ...
template <class E, int V>
struct Taps : AlongK<E, E::N, V, typename E::Weight> {
    using T = typename E::Weight;
    using Share = AlongK<E, E::N, V, T>;
    static constexpr bool MAY_BE_PENDING = false;
    const T* weight;  // of the first tap and channel
    int lines, channels, filters, kernel_width, taps_across, stride;
    WindowPlace next;

    __device__ Taps(
        const T* weight, index_t first, int channels, int filters, int kernel_width,
        int taps_across, int first_row, int first_column, int stride
    )
        : weight(weight + ((first_row * kernel_width + first_column) * channels + first) * filters),
          lines(static_cast<int>(channels - first)), channels(channels), filters(filters),
          kernel_width(kernel_width), taps_across(taps_across), stride(stride),
          next(Share::slot(), filters, taps_across) {}

    template <class Visit>
    __device__ void each(int k, int k_end, const Visit& visit) {
        const index_t tap = (next.down * kernel_width + next.across) * stride;
        const T* from = weight + (tap * channels + Share::line(0)) * filters + next.channel;
        const bool is_tap = k + Share::slot() < k_end;
#pragma unroll
        for (int number = 0; number < Share::COUNT; ++number) {
            const bool exists = is_tap && Share::holds(number) && Share::line(number) < lines;
            visit(number, from + number * Share::STEP * filters, exists);
        }
        next.move_on(E::K, filters, taps_across);
    }
};

// With a stride, pixels of x fall into stride x stride classes by the taps that reach them. blockIdx.z
// counts the classes, so no product with a tap that misses is ever formed.
//
// `addend`, if given, came through a skip connection and is added; a strided shortcut read every
// `addend_stride`-th pixel, into the first `channels` of the addend's channels.
//
// If `z` is given, x is the result of batch norm, of z, and ReLU. Then the gradient is masked to where x
// is positive (x is `result`, or else z is normalised again). The sums that the gradient of the batch
// norm needs are taken with it: of the gradient, and of its product with z - mean.
template <class E, int V, typename T = typename E::T, typename S = typename E::Map>
__global__ void __launch_bounds__(E::THREADS, E::RESIDENT) conv2d_input_grad(
    const S* __restrict__ dy, const typename E::Weight* __restrict__ weight, S* __restrict__ dx,
    const S* __restrict__ addend, index_t addend_stride, index_t addend_rows,
    index_t addend_columns, index_t addend_channels, const S* __restrict__ z,
    const S* __restrict__ result, const T* __restrict__ mean, const T* __restrict__ var,
    const T* __restrict__ gamma, const T* __restrict__ beta, T eps, T* __restrict__ parts,
    unsigned* __restrict__ counters, T* __restrict__ totals, index_t images, index_t height,
    index_t width, index_t channels, index_t rows, index_t columns, index_t filters,
    index_t kernel_height, index_t kernel_width, index_t stride, index_t padding
) {
    __shared__ int starts[E::M];
    __shared__ unsigned taps[E::M];
    __shared__ int target[E::M], source[E::M];
    __shared__ T centre[E::N], scale[E::N], shift[E::N];
    const int class_row = blockIdx.z / stride, class_column = blockIdx.z % stride;
    const int first_row = (class_row + padding) % stride;
    const int first_column = (class_column + padding) % stride;
    const int down = (height - class_row + stride - 1) / stride;
    const int across = (width - class_column + stride - 1) / stride;
    const index_t pixels = images * down * across;
    const index_t first_m = static_cast<index_t>(Tile<E>::down()) * E::M;
    const index_t first_n = static_cast<index_t>(Tile<E>::across()) * E::N;
    const int lines = inside<E::M>(first_m, pixels), wide = inside<E::N>(first_n, channels);
    int first_image = first_m;
    take(first_image, max(down * across, 1));
    const int taps_down = (kernel_height - first_row + stride - 1) / stride;
    const int taps_across = (kernel_width - first_column + stride - 1) / stride;
    for (int m = threadIdx.x; m < E::M; m += E::THREADS) {
        starts[m] = taps[m] = 0;
        if (m >= lines) continue;  // perhaps for the whole block: classes differ in size
        int image = first_m + m;
        const int column = class_column + take(image, across) * stride;
        const int row = class_row + take(image, down) * stride;
        const int left = (column + padding - first_column) / stride;
        const int top = (row + padding - first_row) / stride;
        const unsigned rows_inside = taps_inside(top, rows, taps_down, -1);
        const unsigned columns_inside = taps_inside(left, columns, taps_across, -1);
        image -= first_image;
        starts[m] = ((image * rows + top) * columns + left) * filters;
        taps[m] = rows_inside | columns_inside << HALF;
        target[m] = ((image * height + row) * width + column) * channels;
        const int addend_row = row / addend_stride, addend_column = column / addend_stride;
        const bool was_read =
            addend_row * addend_stride == row && addend_column * addend_stride == column;
        const int line = image * addend_rows + addend_row;
        source[m] = was_read ? (line * addend_columns + addend_column) * addend_channels : -1;
    }
    const index_t corner = first_image * height * width * channels + first_n;
    if (addend) addend += first_image * addend_rows * addend_columns * addend_channels + first_n;
    if (z)
        for (int n = threadIdx.x; n < E::N && first_n + n < channels; n += E::THREADS) {
            centre[n] = mean[first_n + n];
            if (result) continue;
            scale[n] = scale_of(gamma[first_n + n], var[first_n + n], eps);
            shift[n] = beta[first_n + n];
        }
    __syncthreads();
    const int k = taps_down > 0 && taps_across > 0 ? taps_down * taps_across * filters : 0;
    Windows<E, V, -1> left_side(
        dy + first_image * rows * columns * filters, starts, taps, nullptr, static_cast<int>(columns), static_cast<int>(filters), max(taps_across, 1)
    );
    Taps<E, V> right_side(
        weight, first_n, static_cast<int>(channels), static_cast<int>(filters),
        static_cast<int>(kernel_width), max(taps_across, 1), first_row, first_column,
        static_cast<int>(stride)
    );
    T sums[E::ROWS][E::COLUMNS] = {};
    multiply<E>(left_side, right_side, 0, k, sums);
    Pack<T, 2> own[E::COLUMNS] = {};
    change_tile<E, V>(
        sums, lines, wide,
        [&](int m, int n, int j, auto& values) {
            constexpr int TOGETHER = sizeof(values) / sizeof(T);
            const index_t place = corner + target[m] + n;
            const int from = source[m];
            if (addend && from >= 0) {
                const auto more = load_map<TOGETHER>(addend + from + n);
#pragma unroll
                for (int v = 0; v < TOGETHER; ++v) values.at[v] += more.at[v];
            }
            round_as_stored<S>(values);
            if (!z) return;
            const auto before = load_map<TOGETHER>(z + place);
            auto after = before;
            if (result) {
                after = load_map<TOGETHER>(result + place);
            } else {
#pragma unroll
                for (int v = 0; v < TOGETHER; ++v) {
                    const int c = n + v;
                    after.at[v] = normalised(before.at[v], centre[c], scale[c], shift[c]);
                }
            }
            mask_and_sum(values, after, before, centre + n, own + j);
        }
    );
    const auto write = [&] {
        change_tile<E, V>(sums, lines, wide, [&](int m, int n, int, auto& values) {
            store_map(dx + corner + target[m] + n, values);
        });
    };
    if (!z) {
        write();
        return;
    }
    const index_t part = blockIdx.z * Tile<E>::all_down() + Tile<E>::down(), count = Tile<E>::all_down() * gridDim.z;
    total_sums<E>(own, part, count, first_n, wide, channels, parts, counters, totals, write);
}

// The same sums for a gradient dy in memory, added in the same order: so the sums have the same bits
// wherever they are taken. Without `result` there was no ReLU, so nothing is masked.
template <class E, int V, typename T = typename E::T, typename S = typename E::Map>
__global__ void __launch_bounds__(E::THREADS, E::RESIDENT) gradient_sums(
    const S* __restrict__ dy, const S* __restrict__ z, const S* __restrict__ result,
    const T* __restrict__ mean, T* __restrict__ parts, unsigned* __restrict__ counters,
    T* __restrict__ totals, index_t pixels, index_t channels
) {
    const index_t first_m = static_cast<index_t>(blockIdx.x) * E::M;
    const index_t first_n = static_cast<index_t>(blockIdx.y) * E::N;
    const int wide = inside<E::N>(first_n, channels);
    const index_t corner = first_m * channels + first_n;
    T grads[E::ROWS][E::COLUMNS] = {};
    Pack<T, 2> own[E::COLUMNS] = {};
    change_tile<E, V>(
        grads, inside<E::M>(first_m, pixels), wide,
        [&](int m, int n, int j, auto& values) {
            constexpr int TOGETHER = sizeof(values) / sizeof(T);
            const index_t place = corner + m * channels + n;
            values = load_map<TOGETHER>(dy + place);
            const auto before = load_map<TOGETHER>(z + place);
            auto after = before;
#pragma unroll
            for (int v = 0; v < TOGETHER; ++v) after.at[v] = T(1);
            if (result) after = load_map<TOGETHER>(result + place);
            mask_and_sum(values, after, before, mean + first_n + n, own + j);
        }
    );
    total_sums<E>(
        own, blockIdx.x, gridDim.x, first_n, wide, channels, parts, counters, totals, [] {}
    );
}

// ---------------------------------------------------------------- dweight: there is a line for each k

// Line k is the window of pixel k; m is (tap row, tap column, channel). A thread keeps its place in the
// window, and its pixels advance by K with every tile: only the first position needs divisions.
template <class E, int V>
struct WindowForEachK : AlongSide<E, E::M, V, typename E::Map> {
    using S = typename E::Map;
    using Share = AlongSide<E, E::M, V, S>;
    using Number = typename E::T;
    static constexpr bool MAY_BE_PENDING = true;
    const S* images;
    int height, width, channels, rows, columns, stride;
    int channel, down, across;                  // this thread's place in every window
    int image[Share::COUNT];                    // of its pixels: image, row and column of y
    int row[Share::COUNT], column[Share::COUNT];
    int step_images, step_rows, step_columns;   // an advance by K pixels
    bool exists, awaits_norm = false;           // whether batch norm and ReLU are pending on x
    Pack<Number, V> centre, scale, shift;       // these, of the thread's channels

    __device__ WindowForEachK(
        const S* images, index_t first_m, index_t m_end, int first_k, index_t height,
        index_t width, index_t channels, index_t rows, index_t columns, index_t kernel_width,
        index_t stride, index_t padding
    )
        : height(height), width(width), channels(channels), rows(rows), columns(columns),
          stride(stride) {
        int place = first_m + Share::slot();
        exists = place < m_end;
        channel = take(place, static_cast<int>(channels));
        across = take(place, static_cast<int>(kernel_width)) - padding;
        down = place - padding;
        int first_image = first_k;
        take(first_image, static_cast<int>(rows * columns));
        this->images = images + first_image * height * width * channels + channel;
#pragma unroll
        for (int number = 0; number < Share::COUNT; ++number) {
            int pixel = first_k + Share::line(number);
            column[number] = take(pixel, static_cast<int>(columns));
            row[number] = take(pixel, static_cast<int>(rows));
            image[number] = pixel - first_image;
        }
        step_images = E::K;
        step_columns = take(step_images, static_cast<int>(columns));
        step_rows = take(step_images, static_cast<int>(rows));
    }

    __device__ void normalise_by(
        const Number* mean, const Number* var, const Number* gamma, const Number* beta,
        Number eps
    ) {
        awaits_norm = exists;
        if (!exists) return;
#pragma unroll
        for (int v = 0; v < V; ++v) {
            centre.at[v] = mean[channel + v];
            scale.at[v] = scale_of(gamma[channel + v], var[channel + v], eps);
            shift.at[v] = beta[channel + v];
        }
    }

    template <class Visit>
    __device__ void each(int k, int k_end, const Visit& visit) {
        const int left = k_end - k;
#pragma unroll
        for (int number = 0; number < Share::COUNT; ++number) {
            const unsigned h = row[number] * stride + down, w = column[number] * stride + across;
            const bool inside = exists && h < height && w < width;  // unsigned, so below 0 is very large
            const int pixel = (image[number] * height + static_cast<int>(h)) * width + w;
            visit(number, images + pixel * channels, inside && Share::line(number) < left);
            move_on(number);
        }
    }

    __device__ bool pending() const { return awaits_norm; }
    __device__ void next_is_normalised() const {}

    __device__ void normalise(Pack<S, V>& values) const {
#pragma unroll
        for (int v = 0; v < V; ++v)
            values.at[v] = static_cast<S>(positive_part(
                normalised<Number>(values.at[v], centre.at[v], scale.at[v], shift.at[v])
            ));
    }

    __device__ void move_on(int number) {
        column[number] += step_columns;
        row[number] += step_rows;
        image[number] += step_images;
        if (column[number] >= columns) {
            column[number] -= columns;
            ++row[number];
        }
        if (row[number] >= rows) {
            row[number] -= rows;
            ++image[number];
        }
    }
};

// The sum over all pixels is cut into parts of `part` pixels, counted by blockIdx.z. Each block writes
// its part, and the last blocks to arrive add the parts in order. If x_mean and its like are given,
// batch norm and ReLU are pending on x, as in conv2d.
template <class E, int V, typename T = typename E::T, typename S = typename E::Map>
__global__ void __launch_bounds__(E::THREADS, E::RESIDENT) conv2d_weight_grad(
    const S* __restrict__ dy, const S* __restrict__ x, T* __restrict__ dweight,
    const T* __restrict__ x_mean, const T* __restrict__ x_var, const T* __restrict__ x_gamma,
    const T* __restrict__ x_beta, T eps, T* __restrict__ parts, unsigned* __restrict__ counters,
    index_t pixels, index_t part, index_t height, index_t width, index_t channels, index_t rows,
    index_t columns, index_t filters, index_t kernel_height, index_t kernel_width, index_t stride,
    index_t padding
) {
    const index_t first_m = static_cast<index_t>(blockIdx.x) * E::M;
    const index_t first_n = static_cast<index_t>(blockIdx.y) * E::N;
    const int begin = blockIdx.z * part, end = min(begin + part, pixels);
    const index_t m_end = kernel_height * kernel_width * channels;
    WindowForEachK<E, V> left_side(
        x, first_m, m_end, begin, height, width, channels, rows, columns, kernel_width, stride,
        padding
    );
    if (x_mean) left_side.normalise_by(x_mean, x_var, x_gamma, x_beta, eps);
    LineForEachK<E, E::N, V, S> right_side(dy, filters, first_n, filters, begin);
    T sums[E::ROWS][E::COLUMNS] = {};
    multiply<E>(left_side, right_side, begin, end, sums);
    add_parts<E, V>(sums, dweight, parts, counters, first_m, m_end, first_n, filters);
}
