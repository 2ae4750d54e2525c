// Softmax cross-entropy and counting, one warp per image, in one block: batches have few images.

constexpr int THREADS = 256;
constexpr int WARPS = THREADS / 32;
constexpr unsigned ALL_LANES = 0xffffffff;

template <typename T>
__device__ T warp_sum(T value) {
    for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(ALL_LANES, value, offset);
    return value;
}

template <typename T>
__device__ T warp_max(T value) {
    for (int offset = 16; offset > 0; offset /= 2)
        value = max(value, __shfl_xor_sync(ALL_LANES, value, offset));
    return value;
}

// Add one value per warp, in the order of the warps; the first thread holds the sum.
template <typename T>
__device__ T sum_over_warps(T value) {
    __shared__ T by_warp[WARPS];
    if (threadIdx.x % 32 == 0) by_warp[threadIdx.x / 32] = value;
    __syncthreads();
    if (threadIdx.x == 0)
        for (int warp = 1; warp < WARPS; ++warp) value += by_warp[warp];
    return value;
}

// The largest logit is subtracted first, so that exp cannot overflow. A NaN among the logits makes the
// total NaN. A label that is no class makes the loss NaN, since a kernel can't raise an error.
template <typename T>
__global__ void __launch_bounds__(THREADS) softmax_cross_entropy(
    const T* __restrict__ logits, const index_t* __restrict__ labels, T* __restrict__ loss,
    T* __restrict__ probabilities, index_t images, index_t classes
) {
    const int lane = threadIdx.x % 32;
    T own = 0;
    for (index_t image = threadIdx.x / 32; image < images; image += WARPS) {
        const T* row = logits + image * classes;
        T* result = probabilities + image * classes;
        T largest = row[0];
        for (index_t i = lane; i < classes; i += 32) largest = max(largest, row[i]);
        largest = warp_max(largest);
        T total = 0;
        for (index_t i = lane; i < classes; i += 32) total += result[i] = exp(row[i] - largest);
        total = warp_sum(total);
        for (index_t i = lane; i < classes; i += 32) result[i] /= total;
        const index_t label = labels[image];
        const bool is_class = label >= 0 && label < classes;
        own += is_class ? log(total) - (row[label] - largest) : T(0) / T(0);
    }
    own = sum_over_warps(own);
    if (threadIdx.x == 0) *loss = own / static_cast<T>(images);
}

template <typename T>
__global__ void softmax_cross_entropy_grad(
    const T* __restrict__ probabilities, const index_t* __restrict__ labels,
    T* __restrict__ grad, index_t images, index_t classes
) {
    const index_t i = thread_index();
    if (i >= images * classes) return;
    index_t image = i;
    const index_t own_class = take(image, classes);
    const T truth = labels[image] == own_class ? T(1) : T(0);
    grad[i] = (probabilities[i] - truth) / static_cast<T>(images);
}

// Whether class i is chosen over class j: the larger logit, the first of equals, or the first NaN.
template <typename T>
__device__ bool beats(const T* logits, index_t i, index_t j) {
    const T a = logits[i], b = logits[j];
    if (a != a) return b == b || i < j;
    return a > b || (a == b && i < j);
}

// totals[0] += loss * images; totals[1] += images whose chosen class is not their label. A label that
// is no class counts as wrong, and no memory is read at it.
template <typename T>
__global__ void __launch_bounds__(THREADS) tally(
    double* __restrict__ totals, const T* __restrict__ loss, const T* __restrict__ logits,
    const index_t* __restrict__ labels, index_t images, index_t classes
) {
    double wrong = 0;
    for (index_t image = threadIdx.x / 32; image < images; image += WARPS) {
        const index_t label = labels[image];
        bool beaten = label < 0 || label >= classes;
        for (index_t i = threadIdx.x % 32; i < classes; i += 32)
            beaten = beaten || (i != label && beats(logits + image * classes, i, label));
        wrong += __any_sync(ALL_LANES, beaten) ? 1 : 0;
    }
    wrong = sum_over_warps(wrong);
    if (threadIdx.x == 0) {
        totals[0] += static_cast<double>(*loss) * static_cast<double>(images);
        totals[1] += wrong;
    }
}
