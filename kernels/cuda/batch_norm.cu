// Batch norm, training and evaluation, with the ReLU and the residual addition in the same pass.
//
// A block is `width` channels wide (a power of two, at most 32) and as many pixels high as its 256
// threads allow, so that a warp reads memory without gaps. Sums over pixels are made in steps: blocks
// reduce chunks of pixels (threads, then shuffles, then shared memory), and the last blocks to arrive
// combine the chunks, always in the same order.

constexpr int THREADS = 256;
constexpr int WARPS = THREADS / 32;
constexpr unsigned ALL_LANES = 0xffffffff;

// Count, mean and sum of squared distances from the mean: Welford 1962; for two sets, Chan, Golub &
// LeVeque 1979. E[x^2] - E[x]^2 would cancel.
template <typename T>
struct Moments {
    T count, mean, squares;

    __device__ void add(T value) {
        count += 1;
        const T distance = value - mean;
        mean += distance / count;
        squares += distance * (value - mean);
    }

    __device__ void merge(const Moments& other) {
        if (other.count == 0) return;
        const T total = count + other.count, share = other.count / total;
        const T distance = other.mean - mean;
        mean += distance * share;
        squares += other.squares + distance * distance * (count * share);
        count = total;
    }

    __device__ Moments from_lane(int offset) const {
        return {
            __shfl_xor_sync(ALL_LANES, count, offset), __shfl_xor_sync(ALL_LANES, mean, offset),
            __shfl_xor_sync(ALL_LANES, squares, offset)
        };
    }
};

// Merge over all pixels of a block; the threads of its first line hold the result.
template <class S>
__device__ S over_pixels(S own, int width) {
    for (int offset = 16; offset >= width; offset /= 2) own.merge(own.from_lane(offset));
    __shared__ S by_warp[WARPS][32];
    if (threadIdx.x % 32 < width) by_warp[threadIdx.x / 32][threadIdx.x % 32] = own;
    __syncthreads();
    if (threadIdx.x < width)
        for (int warp = 1; warp < WARPS; ++warp) own.merge(by_warp[warp][threadIdx.x]);
    return own;
}

// Mean and biased variance of every channel; the running statistics, if given, move. Values are taken
// relative to the first pixel, so they are small even if x is large.
template <typename S, typename T = Computed<S>>
__global__ void __launch_bounds__(THREADS, 4) moments(
    const S* __restrict__ x, T* __restrict__ parts, unsigned* __restrict__ counters,
    T* __restrict__ mean, T* __restrict__ var, T* __restrict__ running_mean,
    T* __restrict__ running_var, T momentum, T unbiased, index_t pixels, index_t channels,
    index_t width, index_t chunk
) {
    const int down = THREADS / width;
    const index_t first = blockIdx.y * width, channel = first + threadIdx.x % width;
    const index_t begin = blockIdx.x * chunk, end = min(begin + chunk, pixels);
    Moments<T> own = {};
    const T origin = channel < channels ? static_cast<T>(x[channel]) : T(0);
    if (channel < channels)
        for (index_t pixel = begin + threadIdx.x / width; pixel < end; pixel += down)
            own.add(x[pixel * channels + channel] - origin);
    own = over_pixels(own, width);
    const MomentParts<T> chunks{{parts, channels}, pixels, chunk};
    if (threadIdx.x < width && channel < channels)
        chunks.put(blockIdx.x, channel, {own.mean, own.squares});  // relative to the first pixel
    combine_pairs<THREADS>(
        chunks, blockIdx.x, gridDim.x, first, min(first + width, channels), width,
        counters + blockIdx.y * counters_for(gridDim.x),
        [=](index_t c, const Pack<T, 2>& total) {
            mean[c] = x[c] + total.at[0];
            var[c] = total.at[1] / static_cast<T>(pixels);
            if (running_mean)
                follow(running_mean + c, running_var + c, mean[c], var[c], momentum, unbiased);
        },
        [] {}
    );
}

// Where the residual of a pixel of a map of rows x columns lies: in a map `stride` times as large, with
// `channels` channels.
struct Residual {
    index_t stride, rows, columns, channels;

    __device__ index_t place(index_t pixel, index_t own_rows, index_t own_columns) const {
        if (stride == 1) return pixel * channels;
        const index_t column = take(pixel, own_columns) * stride;
        const index_t row = take(pixel, own_rows) * stride;
        return ((pixel * rows + row) * columns + column) * channels;
    }
};

// y = (x - mean) / sqrt(var + eps) * gamma + beta, then + residual, then ReLU. The residual of a strided
// shortcut is every stride-th pixel of a larger map; channels that this map lacks are zero.
template <typename S, int V, typename T = Computed<S>>
__global__ void __launch_bounds__(THREADS, 4) normalise(
    const S* __restrict__ x, const T* __restrict__ gamma, const T* __restrict__ beta,
    const T* __restrict__ mean, const T* __restrict__ var, const S* __restrict__ residual,
    index_t residual_stride, index_t residual_rows, index_t residual_columns,
    index_t residual_channels, S* __restrict__ y, T eps, bool relu, index_t rows, index_t columns,
    index_t pixels, index_t channels, index_t width
) {
    const Residual shortcut{residual_stride, residual_rows, residual_columns, residual_channels};
    const index_t down = THREADS / width;
    const index_t channel = (blockIdx.y * width + threadIdx.x % width) * V;
    if (channel >= channels) return;
    T scale[V], shift[V], centre[V];
#pragma unroll
    for (int v = 0; v < V; ++v) {
        scale[v] = scale_of(gamma[channel + v], var[channel + v], eps);
        shift[v] = beta[channel + v];
        centre[v] = mean[channel + v];
    }
    for (index_t pixel = blockIdx.x * down + threadIdx.x / width; pixel < pixels;
         pixel += gridDim.x * down) {
        const index_t place = pixel * channels + channel;
        Pack<T, V> values = load_map<V>(x + place);
        Pack<T, V> more = {};
        if (residual && channel < residual_channels)
            more = load_map<V>(residual + shortcut.place(pixel, rows, columns) + channel);
#pragma unroll
        for (int v = 0; v < V; ++v) {
            const T z = normalised(values.at[v], centre[v], scale[v], shift[v]) + more.at[v];
            values.at[v] = relu ? positive_part(z) : z;
        }
        store_map(y + place, values);
    }
}

// dx = gamma / std * (dz - average(dz) - x_hat * average(dz * x_hat)). In evaluation, with mean and
// variance constant, it is gamma / std * dz. `sums` are those of dz and of dz * (x - mean). The first
// blocks also write the gradients of gamma and beta, made from them. `dresidual`, if wanted, is dz.
template <typename S, int V, typename T = Computed<S>>
__global__ void __launch_bounds__(THREADS, 4) normalise_grad(
    const S* __restrict__ dy, const S* __restrict__ x, const S* __restrict__ y,
    const T* __restrict__ gamma, const T* __restrict__ mean, const T* __restrict__ var,
    const T* __restrict__ sums, T* __restrict__ dgamma, T* __restrict__ dbeta, S* __restrict__ dx,
    S* __restrict__ dresidual, T eps, bool training, index_t pixels, index_t channels,
    index_t width
) {
    const index_t down = THREADS / width;
    const index_t channel = (blockIdx.y * width + threadIdx.x % width) * V;
    if (channel >= channels) return;
    T scale[V], centre[V], average[V], slope[V];
#pragma unroll
    for (int v = 0; v < V; ++v) {
        const index_t c = channel + v;
        const T inverse = T(1) / sqrt(var[c] + eps);
        scale[v] = gamma[c] * inverse;
        centre[v] = mean[c];
        average[v] = training ? sums[c] / pixels : T(0);
        slope[v] = training ? sums[channels + c] * inverse / pixels * inverse : T(0);
        if (blockIdx.x == 0 && threadIdx.x < width) {
            dbeta[c] = sums[c];
            dgamma[c] = sums[channels + c] * inverse;
        }
    }
    for (index_t pixel = blockIdx.x * down + threadIdx.x / width; pixel < pixels;
         pixel += gridDim.x * down) {
        const index_t place = pixel * channels + channel;
        Pack<T, V> dz = load_map<V>(dy + place);
        const Pack<T, V> values = load_map<V>(x + place);
        if (y) {
            const Pack<T, V> results = load_map<V>(y + place);
#pragma unroll
            for (int v = 0; v < V; ++v)
                if (!(results.at[v] > T(0))) dz.at[v] = T(0);
        }
        if (dresidual) store_map(dresidual + place, dz);
#pragma unroll
        for (int v = 0; v < V; ++v)
            dz.at[v] = scale[v] * (dz.at[v] - average[v] - (values.at[v] - centre[v]) * slope[v]);
        store_map(dx + place, dz);
    }
}

template <typename T>
__global__ void update_running_statistics(
    T* __restrict__ running_mean, T* __restrict__ running_var, const T* __restrict__ mean,
    const T* __restrict__ var, T momentum, T unbiased, index_t channels
) {
    const index_t c = thread_index();
    if (c < channels) follow(running_mean + c, running_var + c, mean[c], var[c], momentum, unbiased);
}
