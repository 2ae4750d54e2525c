// Convolution and its two gradients as implicit matrix products: the columns of im2col are never in
// memory, a loader reads them from the images. Padding is a pixel that does not exist: zero.

constexpr int NOWHERE = -(1 << 29);  // a row so far outside that no tap reaches an image

// ---------------------------------------------------------------- y and dx: windows are lines of k

// Line m holds the window of pixel m, in the order (tap row, tap column, channel): `image` is the
// first pixel of its image, `top` and `left` where its first tap lies. For dx the taps are walked the
// other way: a row of x meets row `top` - i of dy under tap i.
template <typename T, int BM, int BK, int V, int THREADS, int DIRECTION>
struct Windows : AlongK<T, BM, BK, V, THREADS> {
    using Share = AlongK<T, BM, BK, V, THREADS>;
    const T* images;
    const index_t* image;
    const int* top;
    const int* left;
    int height, width, channels, taps_across;

    __device__ void fetch(index_t k, index_t k_end) {
        const unsigned place = static_cast<unsigned>(k) + Share::slot();
        const unsigned tap = place / channels;
        const int channel = place % channels;
        const int down = static_cast<int>(tap / taps_across) * DIRECTION;
        const int across = static_cast<int>(tap % taps_across) * DIRECTION;
#pragma unroll
        for (int number = 0; number < Share::COUNT; ++number) {
            const int line = Share::line(number);
            this->carried[number] = {};
            if (place >= k_end || line >= BM) continue;
            const int row = top[line] + down, column = left[line] + across;
            if (row >= 0 && row < height && column >= 0 && column < width) {
                const index_t pixel = image[line] + static_cast<index_t>(row) * width + column;
                this->carried[number] = load<V>(images + pixel * channels + channel);
            }
        }
    }
};

template <typename T, int BM, int BN, int BK, int TM, int TN, int V>
__global__ void __launch_bounds__(BM / TM * BN / TN, 4) conv2d(
    const T* __restrict__ x, const T* __restrict__ weight, T* __restrict__ y, index_t pixels,
    index_t height, index_t width, index_t channels, index_t rows, index_t columns,
    index_t filters, index_t kernel_height, index_t kernel_width, index_t stride, index_t padding
) {
    constexpr int THREADS = BM / TM * BN / TN;
    __shared__ index_t image[BM];
    __shared__ int top[BM];
    __shared__ int left[BM];
    const index_t first_m = static_cast<index_t>(blockIdx.x) * BM;
    const index_t first_n = static_cast<index_t>(blockIdx.y) * BN;
    for (int m = threadIdx.x; m < BM; m += THREADS) {
        index_t pixel = first_m + m;
        const bool exists = pixel < pixels;
        left[m] = take(pixel, columns) * stride - padding;
        top[m] = exists ? take(pixel, rows) * stride - padding : NOWHERE;
        image[m] = pixel * height * width;
    }
    __syncthreads();
    Windows<T, BM, BK, V, THREADS, 1> left_side{
        {}, x, image, top, left, static_cast<int>(height), static_cast<int>(width),
        static_cast<int>(channels), static_cast<int>(kernel_width)
    };
    LineForEachK<T, BN, BK, V, THREADS> right_side(weight, filters, first_n, filters);
    T sums[TM][TN] = {};
    const index_t k = kernel_height * kernel_width * channels;
    multiply<T, BM, BN, BK, TM, TN>(left_side, right_side, 0, k, sums);
    write_tile<V, BN>(
        sums, first_m, pixels, first_n, filters,
        [=](index_t m, index_t n, Pack<T, V>& values) { store<V>(y + m * filters + n, values); }
    );
}

// The weights as dx meets them: line n is channel n of x; k is (tap row, tap column, filter), of the
// taps first_row, first_row + stride, ... alone.
template <typename T, int BN, int BK, int V, int THREADS>
struct Taps : AlongK<T, BN, BK, V, THREADS> {
    using Share = AlongK<T, BN, BK, V, THREADS>;
    const T* weight;
    index_t first;
    int channels, filters, kernel_width, taps_across, first_row, first_column, stride;

    __device__ void fetch(index_t k, index_t k_end) {
        const unsigned place = static_cast<unsigned>(k) + Share::slot();
        const unsigned tap = place / filters;
        const int row = first_row + tap / taps_across * stride;
        const int column = first_column + tap % taps_across * stride;
        const index_t line = (static_cast<index_t>(row) * kernel_width + column) * channels + first;
#pragma unroll
        for (int number = 0; number < Share::COUNT; ++number) {
            const int n = Share::line(number);
            this->carried[number] = {};
            if (place < k_end && n < BN && first + n < channels)
                this->carried[number] = load<V>(weight + (line + n) * filters + place % filters);
        }
    }
};

// With a stride, pixels of x fall into stride x stride classes by the taps that reach them, and
// blockIdx.z counts the classes: no product with a tap that misses is ever formed. `addend`, if
// there is one, is added to the result: what came through a skip connection.
template <typename T, int BM, int BN, int BK, int TM, int TN, int V>
__global__ void __launch_bounds__(BM / TM * BN / TN, 4) conv2d_input_grad(
    const T* __restrict__ dy, const T* __restrict__ weight, const T* __restrict__ addend,
    T* __restrict__ dx, index_t images, index_t height, index_t width, index_t channels,
    index_t rows, index_t columns, index_t filters, index_t kernel_height, index_t kernel_width,
    index_t stride, index_t padding
) {
    constexpr int THREADS = BM / TM * BN / TN;
    __shared__ index_t image[BM];
    __shared__ int top[BM];
    __shared__ int left[BM];
    __shared__ index_t target[BM];
    const int class_row = blockIdx.z / stride, class_column = blockIdx.z % stride;
    const int first_row = (class_row + padding) % stride;
    const int first_column = (class_column + padding) % stride;
    const index_t down = (height - class_row + stride - 1) / stride;
    const index_t across = (width - class_column + stride - 1) / stride;
    const index_t pixels = images * down * across;
    const index_t first_m = static_cast<index_t>(blockIdx.x) * BM;
    const index_t first_n = static_cast<index_t>(blockIdx.y) * BN;
    if (first_m >= pixels) return;  // the whole block: this class is smaller than the first
    for (int m = threadIdx.x; m < BM; m += THREADS) {
        index_t pixel = first_m + m;
        const bool exists = pixel < pixels;
        const index_t column = class_column + take(pixel, across) * stride;
        const index_t row = class_row + take(pixel, down) * stride;
        left[m] = (column + padding - first_column) / stride;
        top[m] = exists ? (row + padding - first_row) / stride : NOWHERE;
        image[m] = pixel * rows * columns;
        target[m] = (pixel * height + row) * width + column;
    }
    __syncthreads();
    const index_t taps_down = (kernel_height - first_row + stride - 1) / stride;
    const index_t taps_across = (kernel_width - first_column + stride - 1) / stride;
    const index_t k = taps_down > 0 && taps_across > 0 ? taps_down * taps_across * filters : 0;
    Windows<T, BM, BK, V, THREADS, -1> left_side{
        {}, dy, image, top, left, static_cast<int>(rows), static_cast<int>(columns),
        static_cast<int>(filters), static_cast<int>(taps_across)
    };
    Taps<T, BN, BK, V, THREADS> right_side{
        {}, weight, first_n, static_cast<int>(channels), static_cast<int>(filters),
        static_cast<int>(kernel_width), static_cast<int>(taps_across), first_row, first_column,
        static_cast<int>(stride)
    };
    T sums[TM][TN] = {};
    if (k > 0) multiply<T, BM, BN, BK, TM, TN>(left_side, right_side, 0, k, sums);
    write_tile<V, BN>(
        sums, first_m, pixels, first_n, channels,
        [=](index_t m, index_t n, Pack<T, V>& values) {
            const index_t place = target[m - first_m] * channels + n;
            if (addend) {
                const Pack<T, V> more = load<V>(addend + place);
#pragma unroll
                for (int v = 0; v < V; ++v) values.at[v] += more.at[v];
            }
            store<V>(dx + place, values);
        }
    );
}

// ---------------------------------------------------------------- dweight: there is a line for each k

// Line k is the window of pixel k; m is (tap row, tap column, channel). A thread's place in the
// window stays, and its pixels move on by BK with every tile: no division but the first.
template <typename T, int BM, int BK, int V, int THREADS>
struct WindowForEachK : AlongSide<T, BM, BK, V, THREADS> {
    using Share = AlongSide<T, BM, BK, V, THREADS>;
    const T* images;
    int height, width, channels, rows, columns, stride;
    int channel, down, across;                  // this thread's place in every window
    index_t image[Share::COUNT];                // of its pixels: image, row and column of y
    int row[Share::COUNT], column[Share::COUNT];
    int step_images, step_rows, step_columns;   // BK pixels further
    bool exists;

    __device__ WindowForEachK(
        const T* images, index_t first_m, index_t m_end, index_t first_k, index_t height,
        index_t width, index_t channels, index_t rows, index_t columns, index_t kernel_width,
        index_t stride, index_t padding
    )
        : images(images), height(height), width(width), channels(channels), rows(rows),
          columns(columns), stride(stride) {
        index_t place = first_m + Share::slot();
        exists = place < m_end;
        channel = take(place, channels);
        across = take(place, kernel_width) - padding;
        down = place - padding;
#pragma unroll
        for (int number = 0; number < Share::COUNT; ++number) {
            index_t pixel = first_k + Share::line(number);
            column[number] = take(pixel, columns);
            row[number] = take(pixel, rows);
            image[number] = pixel;
        }
        index_t step = BK;
        step_columns = take(step, columns);
        step_rows = take(step, rows);
        step_images = step;
    }

    __device__ void fetch(index_t k, index_t k_end) {
#pragma unroll
        for (int number = 0; number < Share::COUNT; ++number) {
            const int h = row[number] * stride + down, w = column[number] * stride + across;
            const bool inside = h >= 0 && h < height && w >= 0 && w < width;
            this->carried[number] = {};
            if (exists && inside && Share::line(number) < BK && k + Share::line(number) < k_end) {
                const index_t pixel = (image[number] * height + h) * width + w;
                this->carried[number] = load<V>(images + pixel * channels + channel);
            }
            move_on(number);
        }
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

// The sum over all pixels is cut into parts of `part` pixels, counted by blockIdx.z: block z writes
// part z, and sum_parts adds the parts in their order. No atomics, so the bits never vary.
template <typename T, int BM, int BN, int BK, int TM, int TN, int V>
__global__ void __launch_bounds__(BM / TM * BN / TN, 4) conv2d_weight_grad(
    const T* __restrict__ dy, const T* __restrict__ x, T* __restrict__ parts, index_t pixels,
    index_t part, index_t height, index_t width, index_t channels, index_t rows, index_t columns,
    index_t filters, index_t kernel_height, index_t kernel_width, index_t stride, index_t padding
) {
    constexpr int THREADS = BM / TM * BN / TN;
    const index_t first_m = static_cast<index_t>(blockIdx.x) * BM;
    const index_t first_n = static_cast<index_t>(blockIdx.y) * BN;
    const index_t begin = blockIdx.z * part, end = min(begin + part, pixels);
    const index_t m_end = kernel_height * kernel_width * channels;
    WindowForEachK<T, BM, BK, V, THREADS> left_side(
        x, first_m, m_end, begin, height, width, channels, rows, columns, kernel_width, stride,
        padding
    );
    LineForEachK<T, BN, BK, V, THREADS> right_side(dy, filters, first_n, filters);
    T sums[TM][TN] = {};
    multiply<T, BM, BN, BK, TM, TN>(left_side, right_side, begin, end, sums);
    parts += blockIdx.z * m_end * filters;
    write_tile<V, BN>(
        sums, first_m, m_end, first_n, filters,
        [=](index_t m, index_t n, Pack<T, V>& values) { store<V>(parts + m * filters + n, values); }
    );
}
