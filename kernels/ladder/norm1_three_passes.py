"""Batch norm with ReLU, rung 1: three passes, and one for the ReLU.

The definition, written as loops. For each channel, over all images and pixels:

    mean = average of x                 pass 1 reads x
    var  = average of (x - mean)^2      pass 2 reads x
    y    = (x - mean) / sqrt(var + eps) * gamma + beta      pass 3 reads x, writes y
    y    = max(y, 0)                    pass 4 reads y, writes y

All rungs have this signature: x (N, H, W, C), gamma and beta (C,), float32, give y, mean, var. They
show the training's forward pass.

Why it is slow: there are about ten operations for each number. The processor could do them in a
fraction of the time that memory takes to deliver it. So the bytes that are moved decide the time.
Here they are 24 for each number of x: 4 + 4 + 8 + 8.

A pass goes through x in chunks of PIXELS pixels, which threads share. Four pixels are added at a
time, so that a sum waits less for the one before it. The chunks' sums are added in order, in
float64.
"""

import numpy as np
from numba import prange

from ..cpu.compiling import helper, parallel_kernel

PIXELS = 64  # of a chunk


def batch_norm_relu(x, gamma, beta, *, eps):
    """y (N, H, W, C), mean and var (C,) of x (N, H, W, C), gamma and beta (C,); float32."""
    pixels = x.reshape(-1, x.shape[3])
    parts = np.zeros((-(-len(pixels) // PIXELS), len(gamma)), np.float32)
    add_chunks(pixels, parts)
    mean = (parts.sum(0, dtype=np.float64) / len(pixels)).astype(np.float32)
    add_chunks_of_squares(pixels, mean, parts)
    var = (parts.sum(0, dtype=np.float64) / len(pixels)).astype(np.float32)
    y = np.empty_like(pixels)
    normalise(pixels, mean, scale_of(gamma, var, eps), beta, y)
    relu(y)
    return y.reshape(x.shape), mean, var


def scale_of(gamma, var, eps):
    """The factor of a distance from the mean."""
    return (gamma / np.sqrt(var + eps)).astype(np.float32)


@parallel_kernel
def add_chunks(pixels, parts):
    """The sums of each chunk."""
    for i in prange(len(parts)):
        add(pixels[i * PIXELS : (i + 1) * PIXELS], parts[i])


@parallel_kernel
def add_chunks_of_squares(pixels, mean, parts):
    """The sums of squared distances of each chunk."""
    for i in prange(len(parts)):
        add_squares(pixels[i * PIXELS : (i + 1) * PIXELS], mean, parts[i])


@helper
def add(x, total):
    """total[c] = the sum of x[:, c]."""
    total[:] = 0
    whole = len(x) // 4 * 4
    for p in range(0, whole, 4):
        for c in range(len(total)):
            total[c] += (x[p, c] + x[p + 1, c]) + (x[p + 2, c] + x[p + 3, c])
    for p in range(whole, len(x)):
        for c in range(len(total)):
            total[c] += x[p, c]


@helper
def add_squares(x, mean, total):
    """total[c] = the sum of (x[:, c] - mean[c]) ** 2."""
    total[:] = 0
    whole = len(x) // 4 * 4
    for p in range(0, whole, 4):
        for c in range(len(total)):
            first = (x[p, c] - mean[c]) ** 2 + (x[p + 1, c] - mean[c]) ** 2
            total[c] += first + ((x[p + 2, c] - mean[c]) ** 2 + (x[p + 3, c] - mean[c]) ** 2)
    for p in range(whole, len(x)):
        for c in range(len(total)):
            total[c] += (x[p, c] - mean[c]) ** 2


@parallel_kernel
def normalise(pixels, mean, scale, beta, y):
    """y = (x - mean) * scale + beta."""
    for p in prange(len(pixels)):
        for c in range(len(mean)):
            y[p, c] = (pixels[p, c] - mean[c]) * scale[c] + beta[c]


@parallel_kernel
def relu(y):
    """max(y, 0) in place; NaN stays NaN."""
    for p in prange(len(y)):
        for c in range(y.shape[1]):
            y[p, c] = np.float32(0) if y[p, c] <= 0 else y[p, c]
