// Pooling, one thread per result or pack of results; neighbouring threads take neighbouring channels. Gradients gather: a
// thread reads every window that contains its pixel, so nothing is written twice.

template <typename T>
__device__ bool is_nan(T x) {
    return x != x;
}

// The first of the largest, or the first NaN; padding counts as minus infinity. A thread has V channels.
template <typename S, int V, typename T = Computed<S>>
__global__ void max_pool(
    const S* __restrict__ x, S* __restrict__ y, int* __restrict__ argmax, index_t count,
    index_t height, index_t width, index_t channels, index_t rows, index_t columns, index_t size,
    index_t stride, index_t padding
) {
    const index_t target = thread_index() * V;
    if (target >= count) return;
    index_t index = target;
    const index_t channel = take(index, channels);
    const int left = take(index, columns) * stride - padding;
    const int top = take(index, rows) * stride - padding;
    const int bottom = min(top + size, height), right = min(left + size, width);
    x += index * height * width * channels + channel;
    Pack<T, V> best;
    Pack<int, V> winner = {};
#pragma unroll
    for (int v = 0; v < V; ++v) best.at[v] = T(-1) / T(0);
    for (int h = max(top, 0); h < bottom; ++h)
        for (int w = max(left, 0); w < right; ++w) {
            const Pack<T, V> values = load_map<V>(x + (h * width + w) * channels);
#pragma unroll
            for (int v = 0; v < V; ++v) {
                const T value = values.at[v];
                if (value > best.at[v] || (is_nan(value) && !is_nan(best.at[v]))) {
                    best.at[v] = value;
                    winner.at[v] = (h - top) * static_cast<int>(size) + (w - left);
                }
            }
        }
    store_map(y + target, best);
    store(argmax + target, winner);
}

// Visit the windows that contain pixel (h, w) of an image, in order: visit(window, place within it).
template <class Visit>
__device__ void each_window(
    index_t image, int h, int w, int rows, int columns, int size, int stride, const Visit& visit
) {
    for (int down = h % stride; down < size && down <= h; down += stride)
        for (int across = w % stride; across < size && across <= w; across += stride) {
            const int row = (h - down) / stride, column = (w - across) / stride;
            if (row < rows && column < columns)
                visit((image * rows + row) * columns + column, down * size + across);
        }
}

template <typename S, int V, typename T = Computed<S>>
__global__ void max_pool_grad(
    const S* __restrict__ dy, const int* __restrict__ argmax, S* __restrict__ dx, index_t count,
    index_t height, index_t width, index_t channels, index_t rows, index_t columns, index_t size,
    index_t stride, index_t padding
) {
    const index_t target = thread_index() * V;
    if (target >= count) return;
    index_t index = target;
    const index_t channel = take(index, channels);
    const index_t w = take(index, width) + padding, h = take(index, height) + padding;
    Pack<T, V> total = {};
    each_window(index, h, w, rows, columns, size, stride, [&](index_t window, int place) {
        const index_t from = window * channels + channel;
        const Pack<int, V> winners = load<V>(argmax + from);
        const Pack<T, V> grads = load_map<V>(dy + from);
#pragma unroll
        for (int v = 0; v < V; ++v)
            if (winners.at[v] == place) total.at[v] += grads.at[v];
    });
    store_map(dx + target, total);
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
    each_window(index, h, w, rows, columns, size, stride, [&](index_t window, int) {
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
