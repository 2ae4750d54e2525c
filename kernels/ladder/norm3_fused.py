"""Batch norm with ReLU, rung 3: two passes, the ReLU in the second.

The ReLU of a number needs only that number. So it is applied while the number is in a register,
before it is written for the first time. A separate pass would read every y from memory only to
write it again.

    rung 2:   x -> statistics      x -> y      y -> y
    rung 3:   x -> statistics      x -> y

12 bytes for each number of x, 4 + 8: half of rung 1's, and the same arithmetic. It is the least for
arrays larger than any cache, since the statistics must be known before the first y. To move fewer
bytes, x must not go to memory in between: the engine sums the moments of a convolution's result
while it is in cache (`kernels/cpu/finish.py`).
"""

import numpy as np
from numba import prange

from ..cpu.compiling import parallel_kernel
from .norm1_three_passes import scale_of
from .norm2_two_passes import moments


def batch_norm_relu(x, gamma, beta, *, eps):
    """y (N, H, W, C), mean and var (C,) of x (N, H, W, C), gamma and beta (C,); float32."""
    pixels = x.reshape(-1, x.shape[3])
    mean, var = moments(pixels)
    y = np.empty_like(pixels)
    normalise_relu(pixels, mean, scale_of(gamma, var, eps), beta, y)
    return y.reshape(x.shape), mean, var


@parallel_kernel
def normalise_relu(pixels, mean, scale, beta, y):
    """y = max((x - mean) * scale + beta, 0); NaN stays NaN."""
    for p in prange(len(pixels)):
        for c in range(len(mean)):
            value = (pixels[p, c] - mean[c]) * scale[c] + beta[c]
            y[p, c] = np.float32(0) if value <= 0 else value
