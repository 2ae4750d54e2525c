// Convolution on a GPU, rung 3: a register tile.
//
// A thread makes 4 x 4 results instead of one, in registers. For each k it reads 4 numbers of a and 4 of
// b, and uses each 4 times: 8 reads of shared memory for 16 multiply-adds instead of 32. The block's
// tile grows to 64 pixels by 64 filters, so global memory moves a quarter of rung 2's bytes as well.
//
//              b[k][f]  b[k][f + 16]  b[k][f + 32]  b[k][f + 48]
//   a[p     ]    sum        sum           sum           sum
//   a[p + 16]    sum        sum           sum           sum       the 16 results of thread (f, p)
//   a[p + 32]    sum        sum           sum           sum
//   a[p + 48]    sum        sum           sum           sum
//
// They lie 16 apart, so that neighbouring threads read neighbouring numbers of b, and write
// neighbouring results. The next steps, wider reads, copies during the arithmetic and tensor cores,
// are in `kernels/cuda/product.cuh`.

extern "C" __global__ void conv2d(
    const float* x, const float* weight, float* y, int pixels, int height, int width, int channels,
    int filters
) {
    __shared__ float a[64][16], b[16][64];
    const int f = threadIdx.x, p = threadIdx.y, depth = 9 * channels;
    const int first_filter = blockIdx.x * 64, first_pixel = blockIdx.y * 64;
    float sums[4][4] = {};
    for (int k = 0; k < depth; k += 16) {
        for (int i = 0; i < 64; i += 16) {
            const int pixel = first_pixel + p + i, filter = first_filter + f + i;
            const bool is_window = pixel < pixels && k + f < depth;
            a[p + i][f] = is_window ? window(x, pixel, k + f, height, width, channels) : 0;
            const bool is_weight = filter < filters && k + p < depth;
            b[p][f + i] = is_weight ? weight[(k + p) * filters + filter] : 0;
        }
        __syncthreads();
        for (int n = 0; n < 16; ++n) {
            float left[4], right[4];
            for (int i = 0; i < 4; ++i) left[i] = a[p + 16 * i][n], right[i] = b[n][f + 16 * i];
            for (int i = 0; i < 4; ++i)
                for (int j = 0; j < 4; ++j) sums[i][j] += left[i] * right[j];
        }
        __syncthreads();
    }
    for (int i = 0; i < 4; ++i) {
        for (int j = 0; j < 4; ++j) {
            const int pixel = first_pixel + p + 16 * i, filter = first_filter + f + 16 * j;
            if (pixel < pixels && filter < filters) y[pixel * filters + filter] = sums[i][j];
        }
    }
}
