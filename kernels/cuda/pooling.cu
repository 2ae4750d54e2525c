// Pooling, one thread per result; neighbouring threads take neighbouring channels. Gradients gather: a
// thread reads every window that contains its pixel, so nothing is written twice.

template <typename T>
__device__ bool is_nan(T x) {
    return x != x;
}

// The first of the largest, or the first NaN; padding counts as minus infinity.
template <typename S, typename T = Computed<S>>
__global__ void max_pool(
    const S* __restrict__ x, S* __restrict__ y, int* __restrict__ argmax, index_t count,
    index_t height, index_t width, index_t channels, index_t rows, index_t columns, index_t size,
    index_t stride, index_t padding
) {
    const index_t target = thread_index();
    if (target >= count) return;
    index_t index = target;
    const index_t channel = take(index, channels);
    const index_t left = take(index, columns) * stride - padding;
    const index_t top = take(index, rows) * stride - padding;
    const index_t bottom = min(top + size, height), right = min(left + size, width);
    T best = T(-1) / T(0);
    int winner = 0;
    for (index_t h = max(top, index_t(0)); h < bottom; ++h)
        for (index_t w = max(left, index_t(0)); w < right; ++w) {
            const T value = x[((index * height + h) * width + w) * channels + channel];
            if (value > best || (is_nan(value) && !is_nan(best))) {
                best = value;
                winner = static_cast<int>((h - top) * size + (w - left));
            }
        }
    y[target] = static_cast<S>(best);
    argmax[target] = winner;
}

// Visit the windows that contain pixel (h, w) of an image, in order: visit(window, place within it).
template <class Visit>
__device__ void each_window(
    index_t image, index_t h, index_t w, index_t rows, index_t columns, index_t size,
    index_t stride, const Visit& visit
) {
    for (index_t down = h % stride; down < size && down <= h; down += stride)
        for (index_t across = w % stride; across < size && across <= w; across += stride) {
            const index_t row = (h - down) / stride, column = (w - across) / stride;
            if (row < rows && column < columns)
                visit((image * rows + row) * columns + column, down * size + across);
        }
}

template <typename S, typename T = Computed<S>>
__global__ void max_pool_grad(
    const S* __restrict__ dy, const int* __restrict__ argmax, S* __restrict__ dx, index_t count,
    index_t height, index_t width, index_t channels, index_t rows, index_t columns, index_t size,
    index_t stride, index_t padding
) {
    const index_t target = thread_index();
    if (target >= count) return;
    index_t index = target;
    const index_t channel = take(index, channels);
    const index_t w = take(index, width) + padding, h = take(index, height) + padding;
    T total = 0;
    each_window(index, h, w, rows, columns, size, stride, [&](index_t window, index_t place) {
        const index_t from = window * channels + channel;
        if (argmax[from] == place) total += static_cast<T>(dy[from]);
    });
    dx[target] = static_cast<S>(total);
}

template <typename S, typename T = Computed<S>>
__global__ void avg_pool(
    const S* __restrict__ x, S* __restrict__ y, index_t count, index_t height, index_t width,
    index_t channels, index_t rows, index_t columns, index_t size, index_t stride, index_t padding
) {
    const index_t target = thread_index();
    if (target >= count) return;
    index_t index = target;
    const index_t channel = take(index, channels);
    const index_t left = take(index, columns) * stride - padding;
    const index_t top = take(index, rows) * stride - padding;
    const index_t bottom = min(top + size, height), right = min(left + size, width);
    T total = 0;
    for (index_t h = max(top, index_t(0)); h < bottom; ++h)
        for (index_t w = max(left, index_t(0)); w < right; ++w)
            total += static_cast<T>(x[((index * height + h) * width + w) * channels + channel]);
    y[target] = static_cast<S>(total / static_cast<T>(size * size));
}

template <typename S, typename T = Computed<S>>
__global__ void avg_pool_grad(
    const S* __restrict__ dy, S* __restrict__ dx, index_t count, index_t height, index_t width,
    index_t channels, index_t rows, index_t columns, index_t size, index_t stride, index_t padding
) {
    const index_t target = thread_index();
    if (target >= count) return;
    index_t index = target;
    const index_t channel = take(index, channels);
    const index_t w = take(index, width) + padding, h = take(index, height) + padding;
    T total = 0;
    each_window(index, h, w, rows, columns, size, stride, [&](index_t window, index_t) {
        total += static_cast<T>(dy[window * channels + channel]);
    });
    dx[target] = static_cast<S>(total / static_cast<T>(size * size));
}

// The mean of each channel's map, (N, pixels, C) -> (N, C), and its gradient. The mean is a
// number to compute with, whatever the maps are stored as.
template <typename S, typename T = Computed<S>>
__global__ void global_avg_pool(
    const S* __restrict__ x, T* __restrict__ y, index_t count, index_t pixels, index_t channels
) {
    const index_t target = thread_index();
    if (target >= count) return;
    index_t image = target;
    const index_t channel = take(image, channels);
    const S* from = x + image * pixels * channels + channel;
    T total = 0;
#pragma unroll 4
    for (index_t pixel = 0; pixel < pixels; ++pixel) total += static_cast<T>(from[pixel * channels]);
    y[target] = total / static_cast<T>(pixels);
}

template <typename S, typename T = Computed<S>>
__global__ void global_avg_pool_grad(
    const S* __restrict__ dy, S* __restrict__ dx, index_t count, index_t pixels, index_t channels
) {
    const index_t target = thread_index();
    if (target >= count) return;
    index_t image = target;
    const index_t channel = take(image, channels);
    take(image, pixels);
    dx[target] = static_cast<S>(static_cast<T>(dy[image * channels + channel]) / static_cast<T>(pixels));
}
