"""Batch norm with ReLU, rung 2: two passes, and one for the ReLU.

The variance needs the mean, so it seems to need another pass. The textbook's formula, average of
x^2 minus the square of the average, subtracts two large numbers if the mean is large, and all
digits may cancel. But a *chunk* of x stays in cache, so reading it twice costs nothing: its mean
first, then the squared distances from that mean. Chunks are merged exactly:

    total = sum of n                                    n: pixels of a chunk
    mean  = sum of n * mean_of_chunk / total
    var   = sum of n * (var_of_chunk + (mean_of_chunk - mean)^2) / total

    |--chunk--|--chunk--|--chunk--|        memory is read once,
     1>>>>>>>>                             a chunk twice, from cache the second time
     2>>>>>>>>

The second term is how far the chunk's mean lies from that of all. (Chan, Golub & LeVeque 1983,
"Algorithms for computing the sample variance".) So x is read once for both statistics: 20 bytes for
each number of x, 4 + 8 + 8.
"""

import numpy as np
from numba import prange

from ..cpu.compiling import parallel_kernel
from .norm1_three_passes import PIXELS, add, add_squares, normalise, relu, scale_of


def batch_norm_relu(x, gamma, beta, *, eps):
    """y (N, H, W, C), mean and var (C,) of x (N, H, W, C), gamma and beta (C,); float32."""
    pixels = x.reshape(-1, x.shape[3])
    mean, var = moments(pixels)
    y = np.empty_like(pixels)
    normalise(pixels, mean, scale_of(gamma, var, eps), beta, y)
    relu(y)
    return y.reshape(x.shape), mean, var


def moments(pixels):
    """Mean and variance of each channel."""
    starts = np.arange(0, len(pixels), PIXELS)
    n = np.minimum(PIXELS, len(pixels) - starts)[:, None]
    means, squares = np.empty((2, len(starts), pixels.shape[1]), np.float32)
    moments_of_chunks(pixels, means, squares)
    mean = (n * means.astype(np.float64)).sum(0) / len(pixels)
    var = (squares + n * (means - mean) ** 2).sum(0) / len(pixels)
    return mean.astype(np.float32), var.astype(np.float32)


@parallel_kernel
def moments_of_chunks(pixels, means, squares):
    """Mean of each chunk, and the sum of squared distances from it."""
    for i in prange(len(means)):
        chunk = pixels[i * PIXELS : (i + 1) * PIXELS]
        add(chunk, means[i])
        means[i] /= np.float32(len(chunk))
        add_squares(chunk, means[i], squares[i])
