// Convolution on a GPU, rung 1: one thread per result.
//
// The definition, written for one result. A GPU runs thousands of threads, so no loop over results is
// needed. A block of 16 x 16 threads makes the results of 16 pixels and 16 filters.
//
//                     filters
//                  0  1  2 .. 15
//    pixels   0    t  t  t     t        thread (f, p): the sum over k of window(p, k) * weight[k, f]
//             1    t  t  t     t
//            ..                         x (N, H, W, C), weight (3, 3, C, F), y (N, H, W, F)
//            15    t  t  t     t
//
// Why it is slow: each multiply-add asks memory for two numbers, 8 bytes. The 16 threads of a row need
// the same number of x, and the 16 of a column the same weight. A warp, 32 threads in two rows, loads
// each once, but the next warp loads the weights again.

extern "C" __global__ void conv2d(
    const float* x, const float* weight, float* y, int pixels, int height, int width, int channels,
    int filters
) {
    const int filter = blockIdx.x * 16 + threadIdx.x, pixel = blockIdx.y * 16 + threadIdx.y;
    if (filter >= filters || pixel >= pixels) return;
    float sum = 0;
    for (int k = 0; k < 9 * channels; ++k)
        sum += window(x, pixel, k, height, width, channels) * weight[k * filters + filter];
    y[pixel * filters + filter] = sum;
}
