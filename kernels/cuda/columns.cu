// im2col and its transpose, for convolutions that make their columns in memory.

// A thread copies V values: (image, row, column of the output; tap row, tap column, channel).
template <typename T, int V>
__global__ void im2col(
    const T* __restrict__ x, T* __restrict__ result, index_t count, index_t height, index_t width,
    index_t channels, index_t rows, index_t columns, index_t kernel_height, index_t kernel_width,
    index_t stride, index_t padding
) {
    index_t index = thread_index();
    if (index >= count) return;
    T* const target = result + index * V;
    const index_t channel = take(index, channels / V) * V;
    const index_t across = take(index, kernel_width), down = take(index, kernel_height);
    const index_t w = take(index, columns) * stride + across - padding;
    const index_t h = take(index, rows) * stride + down - padding;
    Pack<T, V> values = {};
    if (h >= 0 && h < height && w >= 0 && w < width)
        values = load<V>(x + ((index * height + h) * width + w) * channels + channel);
    store<V>(target, values);
}

// A thread gathers V values of x from every window that contains them, so nothing is written twice.
template <typename T, int V>
__global__ void col2im(
    const T* __restrict__ from, T* __restrict__ x, index_t count, index_t height, index_t width,
    index_t channels, index_t rows, index_t columns, index_t kernel_height, index_t kernel_width,
    index_t stride, index_t padding
) {
    index_t index = thread_index();
    if (index >= count) return;
    T* const target = x + index * V;
    const index_t channel = take(index, channels / V) * V;
    const index_t w = take(index, width) + padding, h = take(index, height) + padding;
    Pack<T, V> total = {};
    for (index_t down = h % stride; down < kernel_height && down <= h; down += stride)
        for (index_t across = w % stride; across < kernel_width && across <= w; across += stride) {
            const index_t row = (h - down) / stride, column = (w - across) / stride;
            if (row >= rows || column >= columns) continue;
            const index_t window = (index * rows + row) * columns + column;
            const index_t tap = (window * kernel_height + down) * kernel_width + across;
            const Pack<T, V> values = load<V>(from + tap * channels + channel);
#pragma unroll
            for (int v = 0; v < V; ++v) total.at[v] += values.at[v];
        }
    store<V>(target, total);
}
