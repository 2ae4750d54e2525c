// Sums over the rows of a tile while it is in registers: batch norm needs them of a convolution's result
// or of the gradient of its input.

constexpr unsigned ALL_LANES = 0xffffffff;

// Add a pair of numbers per column over all rows of a tile; take(n, pair) gets the sums of column n.
template <class E, typename T, class Take>
__device__ void sum_over_rows(Pack<T, 2> (&own)[E::COLUMNS], const Take& take) {
    __shared__ T by_warp[2][E::WARP_ROWS][E::N];
#pragma unroll
    for (int j = 0; j < E::COLUMNS; ++j)
#pragma unroll
        for (int kind = 0; kind < 2; ++kind) {
            T& value = own[j].at[kind];
#pragma unroll
            for (int offset = 16; offset >= E::ACROSS; offset /= 2)
                value += __shfl_xor_sync(ALL_LANES, value, offset);
            if (threadIdx.x % 32 < E::ACROSS) by_warp[kind][E::warp_row()][E::column(j)] = value;
        }
    __syncthreads();
    for (int n = threadIdx.x; n < E::N; n += E::THREADS) {
        Pack<T, 2> total = {};
#pragma unroll
        for (int row = 0; row < E::WARP_ROWS; ++row) {
            total.at[0] += by_warp[0][row][n];
            total.at[1] += by_warp[1][row][n];
        }
        take(n, total);
    }
}

// Mean and sum of squared distances of each column of a tile, over the `number` rows m with counts(m).
// take(n, pair) gets them. Distances are taken from the column's first value: they are small even if
// the values are large.
template <class E, typename T, class Counts, class Take>
__device__ void moments_over_rows(
    const T (&values)[E::ROWS][E::COLUMNS], const Counts& counts, int number, const Take& take
) {
    __shared__ T origin[E::N];
#pragma unroll
    for (int j = 0; j < E::COLUMNS; ++j)
        if (E::row(0) == 0) origin[E::column(j)] = values[0][j];
    __syncthreads();
    Pack<T, 2> own[E::COLUMNS] = {};
#pragma unroll
    for (int j = 0; j < E::COLUMNS; ++j)
#pragma unroll
        for (int i = 0; i < E::ROWS; ++i) {
            const T distance = counts(E::row(i)) ? values[i][j] - origin[E::column(j)] : T(0);
            own[j].at[0] += distance;
            own[j].at[1] += distance * distance;
        }
    const T rows = static_cast<T>(max(number, 1));
    sum_over_rows<E>(own, [&](int n, const Pack<T, 2>& sums) {
        const T shift = sums.at[0] / rows;
        take(n, Pack<T, 2>{origin[n] + shift, sums.at[1] - sums.at[0] * shift});
    });
}

// Mask gradients: keep them where the results of the ReLU before are positive. Add them, and their
// products with z - mean, to the sums of their columns.
template <int V, typename T>
__device__ void mask_and_sum(
    Pack<T, V>& grads, const Pack<T, V>& results, const Pack<T, V>& z, const T* mean,
    Pack<T, 2>* sums
) {
#pragma unroll
    for (int v = 0; v < V; ++v) {
        if (!(results.at[v] > T(0))) grads.at[v] = T(0);
        sums[v].at[0] += grads.at[v];
        sums[v].at[1] = fma(grads.at[v], z.at[v] - mean[v], sums[v].at[1]);
    }
}

// Add the sums of each thread's columns over all pixels, to totals[2][channels].
template <class E, typename T, class Meanwhile>
__device__ void total_sums(
    Pack<T, 2> (&own)[E::COLUMNS], index_t part, index_t count, index_t first_n, int wide,
    index_t channels, T* parts, unsigned* counters, T* totals, const Meanwhile& meanwhile
) {
    const SumParts<T> tiles{{parts, channels}};
    sum_over_rows<E>(own, [&](int n, const Pack<T, 2>& pair) {
        if (n < wide) tiles.put(part, first_n + n, pair);
    });
    combine_pairs<E::THREADS>(
        tiles, part, count, first_n, first_n + wide, E::N,
        counters + first_n / E::N * counters_for(count),
        [=](index_t c, const Pack<T, 2>& total) {
            totals[c] = total.at[0];
            totals[channels + c] = total.at[1];
        },
        meanwhile
    );
}
