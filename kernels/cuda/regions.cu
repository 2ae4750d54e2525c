// Regions of maps, for detection. The geometry is computed in float64, and no product of it is fused
// with an addition: so samples, bins and overlaps are those of the CPU to the last bit. Gradients
// gather: a thread has a pixel's channels and visits the bins that touch it, in order.

typedef unsigned long long Bits;

// ---------------------------------------------------------------- bins along one axis

// What each pixel of an axis gives to the mean over each bin, (R, bins, pixels), and from where to
// where a bin reads, (R, bins, 2). `axis` is 0 across the map, 1 down it. Boxes that are not finite
// have no samples.
template <typename T>
__global__ void align_axis(
    const T* __restrict__ boxes, T* __restrict__ weights, int* __restrict__ reach, index_t count,
    index_t axis, index_t bins, index_t pixels, double scale, index_t sampling, bool aligned
) {
    const index_t target = thread_index();
    if (target >= count) return;
    index_t index = target;
    const int pixel = take(index, pixels), bin = take(index, bins);
    const T* ends = boxes + index * 4 + axis;
    const double offset = aligned ? 0.5 : 0.0, last = pixels - 1;
    const double begin = __dmul_rn(ends[0], scale) - offset;
    double length = __dmul_rn(ends[2], scale) - offset - begin;
    if (!aligned) length = max(length, 1.0);
    const double step = length / bins, start = begin + __dmul_rn(bin, step);
    const double samples = step - step != 0 ? 0.0 : sampling > 0 ? double(sampling) : ceil(step);
    double share = 0;
    int low = pixels, high = 0;
    for (double k = 0; k < samples; ++k) {
        double at = start + (k + 0.5) * step / samples;
        if (!(at >= -1 && at <= pixels)) continue;
        at = min(max(at, 0.0), last);
        const int first = at, second = min(first + 1, static_cast<int>(last));
        if (first == pixel) share += (1 - (at - first)) / samples;
        if (second == pixel) share += (at - first) / samples;
        low = min(low, first);
        high = max(high, second + 1);
    }
    weights[target] = share;
    if (pixel == 0) store(reach + target / pixels * 2, Pack<int, 2>{low, high});
}

// To a whole number, halves away from zero. No map has 2**40 pixels along an axis.
__device__ index_t rounded(double value) {
    return max(min(round(value), 0x1p40), -0x1p40);
}

// The pixels from where to where each bin of max pooling reads, (R, bins, 2), in whole numbers.
template <typename T>
__global__ void max_pool_axis(
    const T* __restrict__ boxes, int* __restrict__ reach, index_t count, index_t axis, index_t bins,
    index_t pixels, double scale
) {
    const index_t target = thread_index();
    if (target >= count) return;
    index_t index = target;
    const index_t bin = take(index, bins);
    const T* ends = boxes + index * 4 + axis;
    const index_t first = rounded(ends[0] * scale), last = rounded(ends[2] * scale);
    const index_t length = max(last - first + 1, index_t(1));
    const index_t edges[] = {bin * length / bins, ((bin + 1) * length + bins - 1) / bins};
    Pack<int, 2> result;
    for (int i = 0; i < 2; ++i) result.at[i] = min(max(first + edges[i], index_t(0)), pixels);
    store(reach + target * 2, result);
}

// ---------------------------------------------------------------- pooling

// Where the regions lie: the image and, along each axis, the reach of the bins.
struct Regions {
    const index_t* images;
    const int *rows, *columns;
    index_t count, bins_down, bins_across;
};

__device__ bool reaches(const int* reach, index_t bin, int pixel) {
    const Pack<int, 2> bounds = load<2>(reach + 2 * bin);
    return pixel >= bounds.at[0] && pixel < bounds.at[1];
}

// Visit the rows of bins that touch a row of an image, in order: visit(region, row of bins).
template <class Visit>
__device__ void each_row(const Regions& regions, index_t image, int h, const Visit& visit) {
    for (index_t r = 0; r < regions.count; ++r) {
        if (regions.images[r] != image) continue;
        for (index_t p = r * regions.bins_down; p < (r + 1) * regions.bins_down; ++p)
            if (reaches(regions.rows, p, h)) visit(r, p);
    }
}

// Of those, the bins that touch column w: visit(region and column, bin).
template <class Visit>
__device__ void each_bin(
    const Regions& regions, index_t region, index_t row, int w, const Visit& visit
) {
    for (index_t q = 0; q < regions.bins_across; ++q) {
        const index_t column = region * regions.bins_across + q;
        if (reaches(regions.columns, column, w)) visit(column, row * regions.bins_across + q);
    }
}

// An image that is not in the batch makes the result NaN, since a kernel can't raise an error.
template <typename T, int V>
__global__ void roi_align(
    const T* __restrict__ x, const index_t* __restrict__ images, const T* __restrict__ down,
    const int* __restrict__ rows, const T* __restrict__ across, const int* __restrict__ columns,
    T* __restrict__ y, index_t count, index_t batch, index_t height, index_t width,
    index_t channels, index_t bins_down, index_t bins_across
) {
    const index_t target = thread_index() * V;
    if (target >= count) return;
    index_t index = target;
    const index_t channel = take(index, channels), q = take(index, bins_across), p = index;
    const index_t region = p / bins_down, column = region * bins_across + q;
    const index_t image = images[region];
    const bool is_there = image >= 0 && image < batch;
    x += image * height * width * channels + channel;
    Pack<T, V> total;
#pragma unroll
    for (int v = 0; v < V; ++v) total.at[v] = is_there ? T(0) : T(0) / T(0);
    const Pack<int, 2> rows_of_bin = load<2>(rows + 2 * p);
    const Pack<int, 2> columns_of_bin = load<2>(columns + 2 * column);
    for (int h = rows_of_bin.at[0]; is_there && h < rows_of_bin.at[1]; ++h)
        for (int w = columns_of_bin.at[0]; w < columns_of_bin.at[1]; ++w) {
            const T weight = down[p * height + h] * across[column * width + w];
            const Pack<T, V> values = load<V>(x + (h * width + w) * channels);
#pragma unroll
            for (int v = 0; v < V; ++v) total.at[v] = fma(weight, values.at[v], total.at[v]);
        }
    store(y + target, total);
}

template <typename T, int V>
__global__ void roi_align_grad(
    const T* __restrict__ dy, const index_t* __restrict__ images, const T* __restrict__ down,
    const int* __restrict__ rows, const T* __restrict__ across, const int* __restrict__ columns,
    T* __restrict__ dx, index_t count, index_t regions, index_t height, index_t width,
    index_t channels, index_t bins_down, index_t bins_across
) {
    const index_t target = thread_index() * V;
    if (target >= count) return;
    index_t index = target;
    const index_t channel = take(index, channels);
    const int w = take(index, width), h = take(index, height);
    const Regions all = {images, rows, columns, regions, bins_down, bins_across};
    Pack<T, V> total = {};
    each_row(all, index, h, [&](index_t r, index_t p) {
        Pack<T, V> line = {};  // across first, then down, as on the CPU: the same bits
        each_bin(all, r, p, w, [&](index_t column, index_t bin) {
            const T weight = across[column * width + w];
            const Pack<T, V> grads = load<V>(dy + bin * channels + channel);
#pragma unroll
            for (int v = 0; v < V; ++v) line.at[v] = fma(weight, grads.at[v], line.at[v]);
        });
        const T weight = down[p * height + h];
#pragma unroll
        for (int v = 0; v < V; ++v) total.at[v] = fma(weight, line.at[v], total.at[v]);
    });
    store(dx + target, total);
}

// The first of the largest, or the first NaN.
template <typename T, int V>
__global__ void roi_max_pool(
    const T* __restrict__ x, const index_t* __restrict__ images, const int* __restrict__ rows,
    const int* __restrict__ columns, T* __restrict__ y, int* __restrict__ argmax, index_t count,
    index_t batch, index_t height, index_t width, index_t channels, index_t bins_down,
    index_t bins_across
) {
    const index_t target = thread_index() * V;
    if (target >= count) return;
    index_t index = target;
    const index_t channel = take(index, channels), q = take(index, bins_across), p = index;
    const index_t region = p / bins_down, column = region * bins_across + q;
    const index_t image = images[region];
    const bool is_there = image >= 0 && image < batch;
    x += image * height * width * channels + channel;
    Pack<T, V> best;
    Pack<int, V> winner;
#pragma unroll
    for (int v = 0; v < V; ++v) {
        best.at[v] = is_there ? T(0) : T(0) / T(0);
        winner.at[v] = -1;
    }
    const Pack<int, 2> rows_of_bin = load<2>(rows + 2 * p);
    const Pack<int, 2> columns_of_bin = load<2>(columns + 2 * column);
    for (int h = rows_of_bin.at[0]; is_there && h < rows_of_bin.at[1]; ++h)
        for (int w = columns_of_bin.at[0]; w < columns_of_bin.at[1]; ++w) {
            const int place = h * static_cast<int>(width) + w;
            const Pack<T, V> values = load<V>(x + place * channels);
#pragma unroll
            for (int v = 0; v < V; ++v) {
                const T value = values.at[v], least = best.at[v];
                if (winner.at[v] < 0 || value > least || (value != value && least == least)) {
                    best.at[v] = value;
                    winner.at[v] = place;
                }
            }
        }
    store(y + target, best);
    store(argmax + target, winner);
}

// From where to where the winners of each line of bins lie, (R, bins, 2): of rows if `down`, else of
// columns. A warp has a line, which is `runs` of `length` winners, `stride` apart.
template <bool down>
__global__ void winners_axis(
    const int* __restrict__ argmax, int* __restrict__ reach, index_t lines, index_t bins,
    index_t runs, index_t length, index_t stride, index_t width
) {
    const index_t line = thread_index() / 32;
    if (line >= lines) return;
    argmax += line / bins * bins * runs * length + line % bins * length;
    int low = 0x7fffffff, high = 0;
    for (index_t run = 0; run < runs; ++run)
        for (index_t i = threadIdx.x % 32; i < length; i += 32) {
            const int place = argmax[run * stride + i], columns = width;
            if (place < 0) continue;
            const int pixel = down ? place / columns : place % columns;
            low = min(low, pixel);
            high = max(high, pixel + 1);
        }
    for (int offset = 16; offset > 0; offset /= 2) {
        low = min(low, __shfl_xor_sync(0xffffffff, low, offset));
        high = max(high, __shfl_xor_sync(0xffffffff, high, offset));
    }
    if (threadIdx.x % 32 == 0) store(reach + line * 2, Pack<int, 2>{low, high});
}

template <typename T, int V>
__global__ void roi_max_pool_grad(
    const T* __restrict__ dy, const int* __restrict__ argmax, const index_t* __restrict__ images,
    const int* __restrict__ rows, const int* __restrict__ columns, T* __restrict__ dx,
    index_t count, index_t regions, index_t height, index_t width, index_t channels,
    index_t bins_down, index_t bins_across
) {
    const index_t target = thread_index() * V;
    if (target >= count) return;
    index_t index = target;
    const index_t channel = take(index, channels);
    const int w = take(index, width), h = take(index, height);
    const int place = h * static_cast<int>(width) + w;
    const Regions all = {images, rows, columns, regions, bins_down, bins_across};
    Pack<T, V> total = {};
    each_row(all, index, h, [&](index_t r, index_t p) {
        each_bin(all, r, p, w, [&](index_t, index_t bin) {
            const Pack<int, V> winners = load<V>(argmax + bin * channels + channel);
            const Pack<T, V> grads = load<V>(dy + bin * channels + channel);
#pragma unroll
            for (int v = 0; v < V; ++v)
                if (winners.at[v] == place) total.at[v] += grads.at[v];
        });
    });
    store(dx + target, total);
}

// ---------------------------------------------------------------- suppression

constexpr int GROUP = 64;  // boxes whose fates fit into one word

// Whether the intersection over union of two boxes is above a threshold.
template <typename T>
__device__ bool overlap(const T* a, const T* b, double threshold) {
    const double x1 = a[0], y1 = a[1], x2 = a[2], y2 = a[3];
    const double u1 = b[0], v1 = b[1], u2 = b[2], v2 = b[3];
    const double width = min(x2, u2) - max(x1, u1), height = min(y2, v2) - max(y1, v1);
    if (!(width > 0 && height > 0)) return false;
    const double shared = __dmul_rn(width, height);
    const double areas = __dmul_rn(x2 - x1, y2 - y1) + __dmul_rn(u2 - u1, v2 - v1);
    return shared / (areas - shared) > threshold;
}

// Bit k of word (g, i): whether box i would suppress box 64 g + k, which comes later.
template <typename T>
__global__ void overlaps_of_boxes(
    const T* __restrict__ boxes, Bits* __restrict__ overlaps, index_t count, index_t words,
    double threshold
) {
    const index_t target = thread_index();
    if (target >= count * words) return;
    index_t group = target;
    const index_t box = take(group, count), first = group * GROUP;
    Bits bits = 0;
    for (index_t other = max(first, box + 1); other < min(first + GROUP, count); ++other)
        if (overlap(boxes + 4 * box, boxes + 4 * other, threshold)) bits |= Bits(1) << other - first;
    overlaps[target] = bits;
}

// One block. A thread decides about a group of boxes; then all threads mark what those that stay
// suppress in later groups. `gone` begins with zeros, a bit for each box.
template <int threads>
__global__ void __launch_bounds__(threads) unsuppressed(
    const Bits* __restrict__ overlaps, Bits* __restrict__ gone, index_t* __restrict__ kept,
    index_t* __restrict__ kept_count, index_t count, index_t words
) {
    __shared__ Bits within[GROUP];
    __shared__ Bits staying;
    index_t total = 0;
    for (index_t group = 0; group < words; ++group) {
        const index_t first = group * GROUP, size = min(count - first, index_t(GROUP));
        if (threadIdx.x < size) within[threadIdx.x] = overlaps[group * count + first + threadIdx.x];
        __syncthreads();
        if (threadIdx.x == 0) {
            Bits out = gone[group];
            staying = 0;
            for (int k = 0; k < size; ++k)
                if (!(out >> k & 1)) {
                    kept[total++] = first + k;
                    staying |= Bits(1) << k;
                    out |= within[k];
                }
        }
        __syncthreads();
        for (index_t word = group + 1 + threadIdx.x; word < words; word += threads) {
            Bits out = 0;
            for (int k = 0; k < size; ++k)
                if (staying >> k & 1) out |= overlaps[word * count + first + k];
            gone[word] |= out;
        }
    }
    if (threadIdx.x == 0) *kept_count = total;
}
