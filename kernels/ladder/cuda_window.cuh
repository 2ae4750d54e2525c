// All rungs read this: number k of the window around a pixel, (row, column, channel) of 3 x 3 pixels.
// Outside the image are zeros. Pixels are counted through all images.
__device__ float window(const float* x, int pixel, int k, int height, int width, int channels) {
    const int down = k / channels / 3 - 1, across = k / channels % 3 - 1;
    const int row = pixel / width % height + down, column = pixel % width + across;
    if (row < 0 || row >= height || column < 0 || column >= width) return 0;
    return x[(pixel + down * width + across) * channels + k % channels];
}
