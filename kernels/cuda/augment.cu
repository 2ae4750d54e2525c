// Normalise, pad, crop and flip a batch of uint8 images in one pass, a thread a value.

template <typename T>
__global__ void crop_flip(
    const unsigned char* __restrict__ images, const index_t* __restrict__ offsets,
    const bool* __restrict__ flips, const T* __restrict__ mean, const T* __restrict__ scale,
    T* __restrict__ batch, index_t count, index_t height, index_t width, index_t channels,
    index_t padding
) {
    const index_t target = thread_index();
    if (target >= count) return;
    index_t image = target;
    const index_t channel = take(image, channels);
    const index_t column = take(image, width), row = take(image, height);
    const index_t h = row + offsets[2 * image] - padding;
    const index_t w = (flips[image] ? width - 1 - column : column) + offsets[2 * image + 1] - padding;
    T value = 0;
    if (h >= 0 && h < height && w >= 0 && w < width) {
        const index_t pixel = (h * width + w) * channels + channel;
        const T grey = images[image * height * width * channels + pixel];
        value = (grey - mean[pixel]) * scale[channel];
    }
    batch[target] = value;
}
