// A sum over all blocks of a launch, without a second launch and with the same bits every time.
//
// Every block writes its part. The last block of a group to arrive adds the group's parts in order. The
// last group to finish adds the groups' sums. That makes two short sums; a single block that added all
// parts would keep the GPU waiting. Only the counters of arrivals are atomic. So it varies which block
// adds, but not what it adds, nor in which order.

// The number of counters of a sum of `count` parts in groups of GROUP: one for the groups, then one
// for each group.
template <int GROUP = 32>
__device__ index_t counters_for(index_t count) {
    return 1 + (count + GROUP - 1) / GROUP;
}

// Whether this block is the last of `count` to arrive here. If so, its threads see what the others wrote
// before, provided that they read it by __ldcg, past this multiprocessor's own cache. Every thread runs
// `meanwhile()` while the counter is updated. The counter is reset to zero for the next launch.
template <class Meanwhile>
__device__ bool last_to_arrive(unsigned* counter, index_t count, const Meanwhile& meanwhile) {
    __shared__ bool is_last;
    __syncthreads();
    unsigned arrived = 0;
    if (threadIdx.x == 0) {
        __threadfence();  // this block's writes become visible before its arrival
        arrived = atomicAdd(counter, 1u);
    }
    meanwhile();
    if (threadIdx.x == 0) {
        is_last = arrived + 1 == count;
        if (is_last) atomicExch(counter, 0u);
        __threadfence();  // the arrivals precede the reads after the barrier
    }
    __syncthreads();
    const bool result = is_last;
    __syncthreads();  // the flag may be written again
    return result;
}

// add(first, step, number, is_total) adds `number` parts: first, first + step, ... It writes the sum to
// the place of the first part or, if it is the total, to the result.
template <int GROUP, class Add, class Meanwhile>
__device__ void combine_parts(
    index_t part, index_t count, unsigned* counters, const Add& add, const Meanwhile& meanwhile
) {
    const index_t group = part / GROUP, first = group * GROUP;
    const index_t members = min(static_cast<index_t>(GROUP), count - first);
    const index_t groups = (count + GROUP - 1) / GROUP;
    if (!last_to_arrive(counters + 1 + group, members, meanwhile)) return;
    add(first, index_t(1), members, groups == 1);
    if (groups > 1 && last_to_arrive(counters, groups, [] {}))
        add(index_t(0), index_t(GROUP), groups, true);
}

// Read V values that other blocks have written, past this multiprocessor's own cache.
template <int V, typename T>
__device__ Pack<T, V> load_from_others(const T* from) {
    Pack<T, V> values;
    if constexpr (V == 4 && sizeof(T) == 4) {
        const float4 four = __ldcg(reinterpret_cast<const float4*>(from));
        values = {four.x, four.y, four.z, four.w};
    } else {
#pragma unroll
        for (int v = 0; v < V; ++v) values.at[v] = __ldcg(from + v);
    }
    return values;
}

constexpr int GROUP_OF_PARTS = 16;

// Add `number` packs that other blocks have written, `pitch` values apart, in order.
template <int W, typename T>
__device__ Pack<T, W> sum_of_parts(const T* place, index_t pitch, index_t number) {
    Pack<T, W> sum = {};
    for (index_t begin = 0; begin < number; begin += GROUP_OF_PARTS) {
        Pack<T, W> some[GROUP_OF_PARTS] = {};
#pragma unroll
        for (int p = 0; p < GROUP_OF_PARTS; ++p)
            if (begin + p < number) some[p] = load_from_others<W>(place + (begin + p) * pitch);
#pragma unroll
        for (int p = 0; p < GROUP_OF_PARTS; ++p)
#pragma unroll
            for (int v = 0; v < W; ++v) sum.at[v] += some[p].at[v];
    }
    return sum;
}

// Parts are pairs of numbers for every channel: parts[part][2][channels]. Derived types define what the
// numbers mean: add(sums, channel, part, step, origin) adds one part, or the combination of `step`
// parts, to a thread's own sums, and pair(sums, origin) makes a pair from these sums.
template <typename Type>
struct Parts {
    using T = Type;
    T* parts;
    index_t channels;

    __device__ T* place(index_t part, index_t channel) const {
        return parts + 2 * channels * part + channel;
    }

    __device__ void put(index_t part, index_t channel, const Pack<T, 2>& values) const {
        *place(part, channel) = values.at[0];
        *(place(part, channel) + channels) = values.at[1];
    }
};

// Plain sums.
template <typename T>
struct SumParts : Parts<T> {
    static constexpr int NUMBERS = 2;

    __device__ void add(T (&sums)[2], index_t channel, index_t part, index_t, T) const {
        const T* from = this->place(part, channel);
        sums[0] += __ldcg(from);
        sums[1] += __ldcg(from + this->channels);
    }

    __device__ Pack<T, 2> pair(const T (&sums)[2], T) const { return {sums[0], sums[1]}; }
};

// Mean and sum of squared distances from it, for runs of `chunk` pixels. The means' distances are taken
// from the first part's mean, the origin. So they are small even if the values are large; E[x^2] -
// E[x]^2 would cancel. Chan, Golub & LeVeque 1979.
template <typename T>
struct MomentParts : Parts<T> {
    static constexpr int NUMBERS = 3;
    index_t pixels, chunk;

    __device__ void add(T (&sums)[3], index_t channel, index_t part, index_t step, T origin) const {
        const T* from = this->place(part, channel);
        const T distance = __ldcg(from) - origin;
        const T count = static_cast<T>(min(chunk * step, pixels - part * chunk));
        sums[0] += count;
        sums[1] += count * distance;
        sums[2] += __ldcg(from + this->channels) + count * distance * distance;
    }

    __device__ Pack<T, 2> pair(const T (&sums)[3], T origin) const {
        const T shift = sums[1] / sums[0];
        return {origin + shift, sums[2] - sums[1] * shift};
    }
};

// The same for runs with any number of pixels; the number is the third value of a part.
template <typename Type>
struct CountedMomentParts {
    using T = Type;
    static constexpr int NUMBERS = 3;
    struct Values {
        T at[3];  // mean, squares, count
    };
    T* parts;
    index_t channels;

    __device__ T* place(index_t part, index_t channel) const {
        return parts + 3 * channels * part + channel;
    }

    __device__ void put(index_t part, index_t channel, const Values& values) const {
#pragma unroll
        for (int v = 0; v < 3; ++v) place(part, channel)[v * channels] = values.at[v];
    }

    __device__ void add(T (&sums)[3], index_t channel, index_t part, index_t, T origin) const {
        const T* from = place(part, channel);
        const T distance = __ldcg(from) - origin, count = __ldcg(from + 2 * channels);
        sums[0] += count;
        sums[1] += count * distance;
        sums[2] += __ldcg(from + channels) + count * distance * distance;
    }

    __device__ Values pair(const T (&sums)[3], T origin) const {
        const T shift = sums[1] / max(sums[0], T(1));
        return {origin + shift, sums[2] - sums[1] * shift, sums[0]};
    }
};

// Combine pairs for the channels from `begin` to `end`, at most `width` (a power of two). The last
// block passes each total to finish(channel, pair). All its threads share the parts of a channel, so
// that each thread waits for few of them. Every block runs `meanwhile()` once.
template <int THREADS_OF_BLOCK, class P, class Finish, class Meanwhile>
__device__ void combine_pairs(
    const P& parts, index_t part, index_t count, index_t begin, index_t end, int width,
    unsigned* counters, const Finish& finish, const Meanwhile& meanwhile
) {
    using T = typename P::T;
    __shared__ T shared[P::NUMBERS][THREADS_OF_BLOCK];
    combine_parts<32>(
        part, count, counters,
        [&](index_t first, index_t step, index_t number, bool is_total) {
            const index_t c = begin + threadIdx.x % width;
            const T origin = c < end ? __ldcg(parts.place(first, c)) : T(0);
            T sums[P::NUMBERS] = {};
            if (c < end)
#pragma unroll 4
                for (index_t i = threadIdx.x / width; i < number; i += blockDim.x / width)
                    parts.add(sums, c, first + i * step, step, origin);
            for (int kind = 0; kind < P::NUMBERS; ++kind) shared[kind][threadIdx.x] = sums[kind];
            __syncthreads();
            if (threadIdx.x >= width || c >= end) return;
            for (int other = threadIdx.x + width; other < blockDim.x; other += width)
                for (int kind = 0; kind < P::NUMBERS; ++kind) sums[kind] += shared[kind][other];
            if (is_total)
                finish(c, parts.pair(sums, origin));
            else
                parts.put(first, c, parts.pair(sums, origin));
        },
        meanwhile
    );
}
