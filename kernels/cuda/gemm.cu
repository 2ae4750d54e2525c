// Matrix products of stacks: c = a @ b, where a or b may be stored transposed.
//
// blockIdx.z counts the stack, or the parts into which a long sum over k is cut.

template <class E, int V, bool A_TRANSPOSED, bool B_TRANSPOSED, typename T = typename E::T>
__global__ void __launch_bounds__(E::THREADS, E::RESIDENT) gemm(
    const T* __restrict__ a, const T* __restrict__ b, T* __restrict__ c, T* __restrict__ parts,
    unsigned* __restrict__ counters, index_t m, index_t n, index_t k, index_t a_step,
    index_t b_step, index_t part
) {
    const index_t first_m = static_cast<index_t>(blockIdx.x) * E::M;
    const index_t first_n = static_cast<index_t>(blockIdx.y) * E::N;
    const bool in_parts = part < k;
    const int begin = in_parts ? blockIdx.z * part : 0, end = min(begin + part, k);
    if (!in_parts) {
        a += blockIdx.z * a_step;
        b += blockIdx.z * b_step;
        c += blockIdx.z * m * n;
    }
    T sums[E::ROWS][E::COLUMNS] = {};
    if constexpr (A_TRANSPOSED) {
        LineForEachK<E, E::M, V> left(a, m, first_m, m, begin);
        LineForEachK<E, E::N, V> right(b, n, first_n, n, begin);
        multiply<E>(left, right, begin, end, sums);
    } else if constexpr (B_TRANSPOSED) {
        LinesOfK<E, E::M, V> left(a, k, first_m, m, begin);
        LinesOfK<E, E::N, V> right(b, k, first_n, n, begin);
        multiply<E>(left, right, begin, end, sums);
    } else {
        LinesOfK<E, E::M, V> left(a, k, first_m, m, begin);
        LineForEachK<E, E::N, V> right(b, n, first_n, n, begin);
        multiply<E>(left, right, begin, end, sums);
    }
    if (in_parts) {
        add_parts<E, V>(sums, c, parts, counters, first_m, m, first_n, n);
        return;
    }
    write_tile<E, V>(
        sums, inside<E::M>(first_m, m), inside<E::N>(first_n, n), c + first_m * n + first_n, n
    );
}
