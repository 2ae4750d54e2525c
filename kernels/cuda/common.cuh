// Code that all kernels share. Arrays are NHWC, C-contiguous. Every size and index that a launch passes
// is a 64-bit integer, so that no map is too large. If a value always fits into 32 bits, kernels compute
// with 32 bits, several times as fast. Kernels include nothing, so NVRTC needs no headers.

typedef long long index_t;

// V adjacent values, moved 16 bytes at a time: four floats.
template <typename T, int V>
struct alignas(V * sizeof(T) < 16 ? V * sizeof(T) : 16) Pack {
    T at[V];
};

template <int V, typename T>
__device__ Pack<T, V> load(const T* from) {
    return *reinterpret_cast<const Pack<T, V>*>(from);
}

template <int V, typename T>
__device__ void store(T* to, const Pack<T, V>& values) {
    *reinterpret_cast<Pack<T, V>*>(to) = values;
}

// The upper half of a float: its exponent, and 7 mantissa bits. Maps and their gradients may be stored
// so; what a kernel computes with them is float.
struct bfloat16 {
    unsigned short bits;

    bfloat16() = default;

    // To the nearest, halves to even, as cvt.rn.bf16.f32; that instruction came with Ampere.
    __device__ explicit bfloat16(float x) {
        const unsigned whole = __float_as_uint(x);
        bits = x != x ? 0x7fff : (whole + 0x7fff + (whole >> 16 & 1)) >> 16;
    }

    __device__ operator float() const {
        return __uint_as_float(static_cast<unsigned>(bits) << 16);
    }
};

// The type that a kernel computes with, for maps of type S.
template <typename S>
struct Computing {
    typedef S T;
};

template <>
struct Computing<bfloat16> {
    typedef float T;
};

template <typename S>
using Computed = typename Computing<S>::T;

// V values of a map, as numbers to compute with.
template <int V, typename S>
__device__ Pack<Computed<S>, V> load_map(const S* from) {
    const Pack<S, V> stored = load<V>(from);
    Pack<Computed<S>, V> values;
#pragma unroll
    for (int v = 0; v < V; ++v) values.at[v] = stored.at[v];
    return values;
}

template <typename S, typename T, int V>
__device__ void store_map(S* to, const Pack<T, V>& values) {
    Pack<S, V> stored;
#pragma unroll
    for (int v = 0; v < V; ++v) stored.at[v] = static_cast<S>(values.at[v]);
    store<V>(to, stored);
}

// Results as they will be stored. What is computed from a map must see these, whether it is made from
// registers or from memory.
template <typename S, typename T, int V>
__device__ void round_as_stored(Pack<T, V>& values) {
#pragma unroll
    for (int v = 0; v < V; ++v) values.at[v] = static_cast<S>(values.at[v]);
}

__device__ index_t thread_index() {
    return static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

// Split off the last coordinate, of `size` places, from an index. If both numbers fit, the division has
// 32 bits, which is several times as fast as 64.
__device__ index_t take(index_t& index, index_t size) {
    index_t quotient, rest;
    if (((index | size) >> 32) == 0) {
        const unsigned short_index = static_cast<unsigned>(index);
        const unsigned short_size = static_cast<unsigned>(size);
        quotient = short_index / short_size;
        rest = short_index % short_size;
    } else {
        quotient = index / size;
        rest = index % size;
    }
    index = quotient;
    return rest;
}

// The same if both always fit into 32 bits.
__device__ int take(int& index, int size) {
    const unsigned quotient = static_cast<unsigned>(index) / static_cast<unsigned>(size);
    const int rest = index - static_cast<int>(quotient) * size;
    index = quotient;
    return rest;
}

// max(x, 0); NaN stays NaN.
template <typename T>
__device__ T positive_part(T x) {
    return x < T(0) ? T(0) : x;
}

// Shared memory whose size is set at the launch.
template <typename T>
__device__ T* dynamic_memory() {
    extern __shared__ __align__(16) double memory[];
    return reinterpret_cast<T*>(memory);
}

// ---------------------------------------------------------------- batch norm of one value

// Always the same operations, so that normalising again gives the same bits.
template <typename T>
__device__ T scale_of(T gamma, T var, T eps) {
    return gamma / sqrt(var + eps);
}

template <typename T>
__device__ T normalised(T x, T centre, T scale, T shift) {
    return fma(x - centre, scale, shift);
}

// running = (1 - momentum) * running + momentum * batch; the running variance is the unbiased one.
template <typename T>
__device__ void follow(
    T* running_mean, T* running_var, T mean, T var, T momentum, T unbiased
) {
    *running_mean = (T(1) - momentum) * *running_mean + momentum * mean;
    *running_var = (T(1) - momentum) * *running_var + momentum * (var * unbiased);
}
