// A sum over all blocks of a launch, without a second launch and with the same bits every time.
//
// Every block writes its part. Whoever arrives last in a group of blocks adds the group's parts, in
// their order; whoever arrives last of the groups adds the groups' sums: two short sums, where one
// block that added all parts would keep the GPU waiting. Only the counters of arrivals are atomic, so
// which block adds varies, but never what it adds, nor in which order.

// How many counters a sum of `count` parts needs, in groups of GROUP: one for the groups, then one for
// each group.
template <int GROUP = 32>
__device__ index_t counters_for(index_t count) {
    return 1 + (count + GROUP - 1) / GROUP;
}

// Whether this block is the last of `count` to come here. Its threads then see what all of them have
// written, if they read it by __ldcg: past this multiprocessor's own cache. The counter is left at
// zero, for the next launch.
__device__ bool last_to_arrive(unsigned* counter, index_t count) {
    __shared__ bool is_last;
    __threadfence();  // what this thread has written comes before its arrival
    __syncthreads();
    if (threadIdx.x == 0) {
        is_last = atomicAdd(counter, 1u) + 1 == count;
        if (is_last) atomicExch(counter, 0u);
    }
    __syncthreads();
    const bool result = is_last;
    if (result) __threadfence();
    __syncthreads();  // the flag may be written again
    return result;
}

// add(first, step, number, is_total) adds the parts first, first + step, ..., `number` of them, and
// puts the sum into the place of the first or, if it is the total, where that belongs.
template <int GROUP, class Add>
__device__ void combine_parts(index_t part, index_t count, unsigned* counters, const Add& add) {
    const index_t group = part / GROUP, first = group * GROUP;
    const index_t members = min(static_cast<index_t>(GROUP), count - first);
    const index_t groups = (count + GROUP - 1) / GROUP;
    if (!last_to_arrive(counters + 1 + group, members)) return;
    add(first, index_t(1), members, groups == 1);
    if (groups > 1 && last_to_arrive(counters, groups)) add(index_t(0), index_t(GROUP), groups, true);
}

// Parts are pairs of numbers for every channel: parts[part][2][channels]. What they are, and so how
// they are added, differs.

// Mean and sum of squared distances from it, for a run of `chunk` pixels each. Distances from the
// first part's mean are small even where the values are not: E[x^2] - E[x]^2 would cancel. Chan,
// Golub & LeVeque 1979.
template <typename T>
struct MomentParts {
    T* parts;
    index_t channels, pixels, chunk;

    __device__ Pack<T, 2> sum(index_t channel, index_t first, index_t step, index_t number) const {
        const index_t pitch = 2 * channels * step, length = chunk * step;
        const T* part = parts + 2 * channels * first + channel;
        const T origin = __ldcg(part);
        T count = 0, distances = 0, squares = 0;
#pragma unroll 4  // 8 would take more registers than `moments` has on sm_120
        for (index_t i = 0; i < number; ++i) {
            const T size = static_cast<T>(min(length, pixels - (first + i * step) * chunk));
            const T distance = __ldcg(part + i * pitch) - origin;
            count += size;
            distances += size * distance;
            squares += __ldcg(part + i * pitch + channels) + size * distance * distance;
        }
        const T shift = distances / count;
        return {origin + shift, squares - distances * shift};
    }

    __device__ void put(index_t part, index_t channel, const Pack<T, 2>& values) const {
        parts[2 * channels * part + channel] = values.at[0];
        parts[2 * channels * part + channels + channel] = values.at[1];
    }
};

// Plain sums.
template <typename T>
struct SumParts {
    T* parts;
    index_t channels;

    __device__ Pack<T, 2> sum(index_t channel, index_t first, index_t step, index_t number) const {
        const index_t pitch = 2 * channels * step;
        const T* part = parts + 2 * channels * first + channel;
        Pack<T, 2> total = {};
#pragma unroll 8
        for (index_t i = 0; i < number; ++i) {
            total.at[0] += __ldcg(part + i * pitch);
            total.at[1] += __ldcg(part + i * pitch + channels);
        }
        return total;
    }

    __device__ void put(index_t part, index_t channel, const Pack<T, 2>& values) const {
        parts[2 * channels * part + channel] = values.at[0];
        parts[2 * channels * part + channels + channel] = values.at[1];
    }
};

// Combine pairs for the channels from `begin` to `end`, a thread a channel; the last block hands each
// total to finish(channel, pair).
template <class Parts, class Finish>
__device__ void combine_pairs(
    const Parts& parts, index_t part, index_t count, index_t begin, index_t end, unsigned* counters,
    const Finish& finish
) {
    combine_parts<32>(
        part, count, counters,
        [&](index_t first, index_t step, index_t number, bool is_total) {
            for (index_t c = begin + threadIdx.x; c < end; c += blockDim.x) {
                const auto total = parts.sum(c, first, step, number);
                if (is_total)
                    finish(c, total);
                else
                    parts.put(first, c, total);
            }
        }
    );
}
