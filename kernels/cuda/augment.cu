// Normalise, pad, crop and flip uint8 images in one pass, one thread per value.

// The value at `row`, `column` and `channel` of an image, cropped at `offset`, mirrored if `flip`.
template <typename T>
__device__ T cropped(
    const unsigned char* image, const index_t* offset, bool flip, const T* mean, const T* scale,
    index_t row, index_t column, index_t channel, index_t height, index_t width, index_t channels,
    index_t padding
) {
    const index_t h = row + offset[0] - padding;
    const index_t w = (flip ? width - 1 - column : column) + offset[1] - padding;
    if (h < 0 || h >= height || w < 0 || w >= width) return T(0);
    const index_t pixel = (h * width + w) * channels + channel;
    const T grey = image[pixel];
    return (grey - mean[pixel]) * scale[channel];
}

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
    batch[target] = cropped(
        images + image * height * width * channels, offsets + 2 * image, flips[image], mean, scale,
        row, column, channel, height, width, channels, padding
    );
}

// The same for the images of batch `position` in the order of an epoch, and their labels.
template <typename T>
__global__ void epoch_batch(
    const unsigned char* __restrict__ images, const index_t* __restrict__ labels,
    const index_t* __restrict__ order, const index_t* __restrict__ offsets,
    const bool* __restrict__ flips, const index_t* __restrict__ position,
    const T* __restrict__ mean, const T* __restrict__ scale, T* __restrict__ batch,
    index_t* __restrict__ classes, index_t batch_size, index_t height, index_t width,
    index_t channels, index_t padding
) {
    const index_t target = thread_index(), size = height * width * channels;
    if (target >= batch_size * size) return;
    index_t image = target;
    const index_t channel = take(image, channels);
    const index_t column = take(image, width), row = take(image, height);
    const index_t place = *position * batch_size + image;
    batch[target] = cropped(
        images + order[place] * size, offsets + 2 * place, flips[place], mean, scale, row, column,
        channel, height, width, channels, padding
    );
    if (target == image * size) classes[image] = labels[order[place]];
}
