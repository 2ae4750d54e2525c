"""Convolution, rung 1: seven loops.

The definition, written as loops. Every result is a sum over a window of 3 x 3 pixels and all
channels; outside the image there are zeros.

    y[n, r, c, f] = sum over i, j, k of x[n, r + i - 1, c + j - 1, k] * weight[i, j, k, f]

All rungs have this signature: x (N, H, W, C) and weight (3, 3, C, F), float32, give y (N, H, W, F),
at stride 1 with padding 1.

Why it is slow: an addition waits for the one before it (about 4 cycles), the weights of one filter
lie F floats apart, and each multiply-add loads two numbers. The processor could do 16 to 64
multiply-adds in a cycle; here it does one in four.
"""

import numpy as np
from numba import prange

from ..cpu.compiling import parallel_kernel


def conv2d(x, weight):
    """y (N, H, W, F) of x (N, H, W, C) and weight (3, 3, C, F); float32."""
    y = np.empty((*x.shape[:3], weight.shape[3]), np.float32)
    seven_loops(x, weight, y)
    return y


@parallel_kernel
def seven_loops(x, weight, y):
    """Threads share the images."""
    images, height, width, channels = x.shape
    for n in prange(images):
        for r in range(height):
            for c in range(width):
                for f in range(y.shape[3]):
                    total = np.float32(0)
                    for i in range(max(0, 1 - r), min(3, height + 1 - r)):
                        for j in range(max(0, 1 - c), min(3, width + 1 - c)):
                            for k in range(channels):
                                total += x[n, r + i - 1, c + j - 1, k] * weight[i, j, k, f]
                    y[n, r, c, f] = total
