"""Shapes that show mistakes of convolutions and pools, and pieces of wrong programs for them."""

import numpy as np

# x shape, (kh, kw), stride, padding, what is awkward about it
GEOMETRIES = (
    ((2, 5, 4, 3), (3, 3), 1, 1, "the usual 3 x 3"),
    ((1, 6, 5, 1), (1, 1), 1, 0, "a batch of one, a 1 x 1 kernel"),
    ((2, 7, 6, 2), (3, 2), 2, 0, "the kernel is not square"),
    ((2, 6, 8, 3), (3, 3), 2, 1, "the stride leaves rows over, as in every CIFAR ResNet"),
    ((3, 8, 5, 2), (2, 3), 3, 0, "stride 3"),
)


def drawn(rng):
    """One more geometry, at random."""
    ranges = ((1, 4), (4, 8), (4, 8), (1, 4))
    n, height, width, channels = (int(rng.integers(*ends)) for ends in ranges)
    kernel = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    stride, padding = int(rng.integers(1, 4)), int(rng.integers(0, 2))
    return (n, height, width, channels), kernel, stride, padding, "drawn at random"


def all_geometries(rng):
    """The awkward ones, and a random one."""
    return (*GEOMETRIES, drawn(rng))


def output_size(x_shape, kernel_size, stride, padding):
    """(OH, OW)."""
    return tuple(
        (side + 2 * padding - kernel) // stride + 1
        for side, kernel in zip(x_shape[1:3], kernel_size, strict=True)
    )


def columns_shape(x_shape, kernel_size, stride, padding):
    """Shape of im2col's result."""
    size = output_size(x_shape, kernel_size, stride, padding)
    return (x_shape[0], *size, kernel_size[0] * kernel_size[1] * x_shape[3])


def settings(kernel_size, stride, padding):
    """As arguments of a case."""
    return {"kernel_size": kernel_size, "stride": stride, "padding": padding}


def windows_of(padded, kernel_size, stride, size):
    """(place in the kernel, the pixels of a padded image that it meets), one after the other."""
    for i in range(kernel_size[0]):
        for j in range(kernel_size[1]):
            rows = slice(i, i + stride * size[0], stride)
            cols = slice(j, j + stride * size[1], stride)
            yield i, j, padded[:, rows, cols]


def scatter(dcolumns, x_shape, kernel_size, stride, padding, *, add=True):
    """col2im before cropping: the padded images. With add=False the last window wins."""
    n, height, width, channels = x_shape
    size = dcolumns.shape[1:3]
    places = dcolumns.reshape(n, *size, *kernel_size, channels)
    padded = np.zeros((n, height + 2 * padding, width + 2 * padding, channels))
    for i, j, target in windows_of(padded, kernel_size, stride, size):
        target[...] = places[:, :, :, i, j] + (target if add else 0)
    return padded


def scatter_by_window(dcolumns, x_shape, kernel_size, stride, padding):
    """As scatter(add=False), but looping over the windows, so that another one wins."""
    n, height, width, channels = x_shape
    kh, kw = kernel_size
    padded = np.zeros((n, height + 2 * padding, width + 2 * padding, channels))
    for r, c in np.ndindex(dcolumns.shape[1:3]):
        top, left = stride * r, stride * c
        padded[:, top : top + kh, left : left + kw] = dcolumns[:, r, c].reshape(n, kh, kw, channels)
    return padded


def crop(padded, x_shape, top, left):
    """x_shape's part of padded images."""
    return padded[:, top : top + x_shape[1], left : left + x_shape[2]]
