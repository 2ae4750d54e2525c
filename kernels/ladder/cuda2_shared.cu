// Convolution on a GPU, rung 2: shared memory.
//
// A block's threads need the same numbers, so they fetch them together: 16 numbers of each pixel's
// window and of each filter at a time. Each thread fetches one of each, into the block's shared memory
// on the chip. Each number is fetched once and used 16 times; global memory moves a sixteenth of the bytes.
//
//                        16 filters
//                      +-----------+
//                      |     b     | 16 of k       all wait, then each thread adds up
//        16 of k       +-----------+                   a[p][0] * b[0][f] + ... + a[p][15] * b[15][f]
//      +---------+     +-----------+               all wait, then the next 16 of k
//   16 |    a    |     |           |
//   pi-|         |     |  results  |
//  xels+---------+     +-----------+
//
// The first __syncthreads() waits until all numbers are stored, the second until all threads have read
// them. Now shared memory is the bottleneck: two numbers for each multiply-add.

extern "C" __global__ void conv2d(
    const float* x, const float* weight, float* y, int pixels, int height, int width, int channels,
    int filters
) {
    __shared__ float a[16][16], b[16][16];
    const int f = threadIdx.x, p = threadIdx.y, depth = 9 * channels;
    const int filter = blockIdx.x * 16 + f, pixel = blockIdx.y * 16 + p;
    float sum = 0;
    for (int k = 0; k < depth; k += 16) {
        const bool is_window = pixel < pixels && k + f < depth;
        a[p][f] = is_window ? window(x, pixel, k + f, height, width, channels) : 0;
        b[p][f] = filter < filters && k + p < depth ? weight[(k + p) * filters + filter] : 0;
        __syncthreads();
        for (int i = 0; i < 16; ++i) sum += a[p][i] * b[i][f];
        __syncthreads();
    }
    if (filter < filters && pixel < pixels) y[pixel * filters + filter] = sum;
}
