// Matrix products of stacks: c = a @ b, where a or b may be stored transposed.
//
// blockIdx.z counts the stack, or the parts into which a long sum over k is cut; the parts are then
// added by sum_parts, always in the same order.

template <
    typename T, int BM, int BN, int BK, int TM, int TN, int V, bool A_TRANSPOSED, bool B_TRANSPOSED>
__global__ void __launch_bounds__(BM / TM * BN / TN, 4) gemm(
    const T* __restrict__ a, const T* __restrict__ b, T* __restrict__ c, index_t m, index_t n,
    index_t k, index_t a_step, index_t b_step, index_t part
) {
    constexpr int THREADS = BM / TM * BN / TN;
    const index_t first_m = static_cast<index_t>(blockIdx.x) * BM;
    const index_t first_n = static_cast<index_t>(blockIdx.y) * BN;
    const index_t parts = (k + part - 1) / part, z = blockIdx.z;
    const index_t begin = z % parts * part, end = min(begin + part, k);
    a += z / parts * a_step;
    b += z / parts * b_step;
    c += z * m * n;
    T sums[TM][TN] = {};
    if constexpr (A_TRANSPOSED) {
        LineForEachK<T, BM, BK, V, THREADS> left(a, m, first_m, m);
        LineForEachK<T, BN, BK, V, THREADS> right(b, n, first_n, n);
        multiply<T, BM, BN, BK, TM, TN>(left, right, begin, end, sums);
    } else if constexpr (B_TRANSPOSED) {
        LinesOfK<T, BM, BK, V, THREADS> left(a, k, first_m, m);
        LinesOfK<T, BN, BK, V, THREADS> right(b, k, first_n, n);
        multiply<T, BM, BN, BK, TM, TN>(left, right, begin, end, sums);
    } else {
        LinesOfK<T, BM, BK, V, THREADS> left(a, k, first_m, m);
        LineForEachK<T, BN, BK, V, THREADS> right(b, n, first_n, n);
        multiply<T, BM, BN, BK, TM, TN>(left, right, begin, end, sums);
    }
    write_tile<V, BN>(sums, first_m, m, first_n, n, [=](index_t i, index_t j, Pack<T, V>& values) {
        store<V>(c + i * n + j, values);
    });
}

template <typename T>
__global__ void sum_parts(
    const T* __restrict__ parts, T* __restrict__ total, index_t size, index_t count
) {
    const index_t i = thread_index();
    if (i >= size) return;
    T sum = 0;
#pragma unroll 8
    for (index_t part = 0; part < count; ++part) sum += parts[part * size + i];
    total[i] = sum;
}
