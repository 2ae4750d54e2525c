// Batch norm, training and evaluation, with the ReLU and the residual addition in the same pass.
//
// A block is `width` channels across (a power of two, 32 at most) and as many pixels down as its 256
// threads allow, so that a warp reads memory without gaps. Sums over pixels are taken in two steps:
// blocks reduce chunks of pixels (threads, then shuffles, then shared memory), and a second kernel
// combines the chunks, always in the same order.

constexpr int THREADS = 256;
constexpr int WARPS = THREADS / 32;
constexpr unsigned ALL_LANES = 0xffffffff;

// Count, mean and sum of squared distances from the mean: Welford 1962, and Chan, Golub & LeVeque
// 1979 for two sets. E[x^2] - E[x]^2 would cancel.
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

// The two sums of the gradient: of dz, and of dz times the normalised x.
template <typename T>
struct Sums {
    T dz, dz_x;

    __device__ void merge(const Sums& other) {
        dz += other.dz;
        dz_x += other.dz_x;
    }

    __device__ Sums from_lane(int offset) const {
        return {
            __shfl_xor_sync(ALL_LANES, dz, offset), __shfl_xor_sync(ALL_LANES, dz_x, offset)
        };
    }
};

// Merge over all pixels down a block; the threads of its first line hold the result.
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

// Distances from the first pixel are small even where the values are not.
template <typename T>
__global__ void __launch_bounds__(THREADS, 4) moments(
    const T* __restrict__ x, T* __restrict__ parts, index_t pixels, index_t channels,
    index_t width, index_t chunk
) {
    const int down = THREADS / width;
    const index_t channel = blockIdx.y * width + threadIdx.x % width;
    const index_t begin = blockIdx.x * chunk, end = min(begin + chunk, pixels);
    Moments<T> own = {};
    if (channel < channels) {
        const T origin = x[channel];
        for (index_t pixel = begin + threadIdx.x / width; pixel < end; pixel += down)
            own.add(x[pixel * channels + channel] - origin);
    }
    own = over_pixels(own, width);
    if (threadIdx.x < width && channel < channels)
        store<2>(parts + (blockIdx.x * channels + channel) * 2, Pack<T, 2>{own.mean, own.squares});
}

template <typename T>
__global__ void __launch_bounds__(THREADS, 4) combine_moments(
    const T* __restrict__ parts, const T* __restrict__ x, T* __restrict__ mean,
    T* __restrict__ var, index_t pixels, index_t channels, index_t width, index_t chunk
) {
    const int down = THREADS / width;
    const index_t channel = blockIdx.x * width + threadIdx.x % width;
    const index_t chunks = (pixels + chunk - 1) / chunk;
    Moments<T> own = {};
    if (channel < channels)
        for (index_t i = threadIdx.x / width; i < chunks; i += down) {
            const Pack<T, 2> part = load<2>(parts + (i * channels + channel) * 2);
            const T count = static_cast<T>(min(chunk, pixels - i * chunk));
            own.merge({count, part.at[0], part.at[1]});
        }
    own = over_pixels(own, width);
    if (threadIdx.x < width && channel < channels) {
        mean[channel] = x[channel] + own.mean;
        var[channel] = own.squares / static_cast<T>(pixels);
    }
}

// y = (x - mean) / sqrt(var + eps) * gamma + beta, then + residual, then cut off at zero.
template <typename T, int V>
__global__ void __launch_bounds__(THREADS, 4) normalise(
    const T* __restrict__ x, const T* __restrict__ gamma, const T* __restrict__ beta,
    const T* __restrict__ mean, const T* __restrict__ var, const T* __restrict__ residual,
    T* __restrict__ y, T eps, bool relu, index_t pixels, index_t channels, index_t width
) {
    const index_t down = THREADS / width;
    const index_t channel = (blockIdx.y * width + threadIdx.x % width) * V;
    if (channel >= channels) return;
    T scale[V], shift[V], centre[V];
#pragma unroll
    for (int v = 0; v < V; ++v) {
        scale[v] = gamma[channel + v] / sqrt(var[channel + v] + eps);
        shift[v] = beta[channel + v];
        centre[v] = mean[channel + v];
    }
    for (index_t pixel = blockIdx.x * down + threadIdx.x / width; pixel < pixels;
         pixel += gridDim.x * down) {
        const index_t place = pixel * channels + channel;
        Pack<T, V> values = load<V>(x + place);
        Pack<T, V> more = {};
        if (residual) more = load<V>(residual + place);
#pragma unroll
        for (int v = 0; v < V; ++v) {
            const T z = (values.at[v] - centre[v]) * scale[v] + shift[v] + more.at[v];
            values.at[v] = relu ? positive_part(z) : z;
        }
        store<V>(y + place, values);
    }
}

// Sums over a chunk of pixels; dz is dy where the ReLU let it pass (y > 0), or all of dy.
template <typename T>
__global__ void __launch_bounds__(THREADS, 4) gradient_sums(
    const T* __restrict__ dy, const T* __restrict__ x, const T* __restrict__ y,
    const T* __restrict__ mean, const T* __restrict__ var, T* __restrict__ parts, T eps,
    index_t pixels, index_t channels, index_t width, index_t chunk
) {
    const int down = THREADS / width;
    const index_t channel = blockIdx.y * width + threadIdx.x % width;
    const index_t begin = blockIdx.x * chunk, end = min(begin + chunk, pixels);
    Sums<T> own = {};
    if (channel < channels) {
        const T centre = mean[channel], scale = T(1) / sqrt(var[channel] + eps);
        for (index_t pixel = begin + threadIdx.x / width; pixel < end; pixel += down) {
            const index_t place = pixel * channels + channel;
            const T dz = !y || y[place] > T(0) ? dy[place] : T(0);
            own.merge({dz, dz * ((x[place] - centre) * scale)});
        }
    }
    own = over_pixels(own, width);
    if (threadIdx.x < width && channel < channels)
        store<2>(parts + (blockIdx.x * channels + channel) * 2, Pack<T, 2>{own.dz, own.dz_x});
}

template <typename T>
__global__ void __launch_bounds__(THREADS, 4) combine_sums(
    const T* __restrict__ parts, T* __restrict__ dgamma, T* __restrict__ dbeta, index_t chunks,
    index_t channels, index_t width
) {
    const int down = THREADS / width;
    const index_t channel = blockIdx.x * width + threadIdx.x % width;
    Sums<T> own = {};
    if (channel < channels)
        for (index_t i = threadIdx.x / width; i < chunks; i += down) {
            const Pack<T, 2> part = load<2>(parts + (i * channels + channel) * 2);
            own.merge({part.at[0], part.at[1]});
        }
    own = over_pixels(own, width);
    if (threadIdx.x < width && channel < channels) {
        dbeta[channel] = own.dz;
        dgamma[channel] = own.dz_x;
    }
}

// dx = gamma / std * (dz - average(dz) - x_hat * average(dz * x_hat)); in evaluation, where mean and
// variance are constants, gamma / std * dz. `dresidual`, if wanted, is dz.
template <typename T, int V>
__global__ void __launch_bounds__(THREADS, 4) normalise_grad(
    const T* __restrict__ dy, const T* __restrict__ x, const T* __restrict__ y,
    const T* __restrict__ gamma, const T* __restrict__ mean, const T* __restrict__ var,
    const T* __restrict__ dgamma, const T* __restrict__ dbeta, T* __restrict__ dx,
    T* __restrict__ dresidual, T eps, bool training, index_t pixels, index_t channels,
    index_t width
) {
    const index_t down = THREADS / width;
    const index_t channel = (blockIdx.y * width + threadIdx.x % width) * V;
    if (channel >= channels) return;
    T scale[V], centre[V], average[V], slope[V];
#pragma unroll
    for (int v = 0; v < V; ++v) {
        const T inverse = T(1) / sqrt(var[channel + v] + eps);
        scale[v] = gamma[channel + v] * inverse;
        centre[v] = mean[channel + v];
        average[v] = training ? dbeta[channel + v] / pixels : T(0);
        slope[v] = training ? dgamma[channel + v] / pixels * inverse : T(0);
    }
    for (index_t pixel = blockIdx.x * down + threadIdx.x / width; pixel < pixels;
         pixel += gridDim.x * down) {
        const index_t place = pixel * channels + channel;
        Pack<T, V> dz = load<V>(dy + place);
        const Pack<T, V> values = load<V>(x + place);
        if (y) {
            const Pack<T, V> results = load<V>(y + place);
#pragma unroll
            for (int v = 0; v < V; ++v)
                if (!(results.at[v] > T(0))) dz.at[v] = T(0);
        }
        if (dresidual) store<V>(dresidual + place, dz);
#pragma unroll
        for (int v = 0; v < V; ++v)
            dz.at[v] = scale[v] * (dz.at[v] - average[v] - (values.at[v] - centre[v]) * slope[v]);
        store<V>(dx + place, dz);
    }
}

// running = (1 - momentum) * running + momentum * batch; the running variance is the unbiased one.
template <typename T>
__global__ void update_running_statistics(
    T* __restrict__ running_mean, T* __restrict__ running_var, const T* __restrict__ mean,
    const T* __restrict__ var, T momentum, T unbiased, index_t channels
) {
    const index_t channel = thread_index();
    if (channel >= channels) return;
    running_mean[channel] = (T(1) - momentum) * running_mean[channel] + momentum * mean[channel];
    running_var[channel] =
        (T(1) - momentum) * running_var[channel] + momentum * (var[channel] * unbiased);
}
