"""Convolution, rung 2: im2col in memory, and a product of matrices.

Copy the window under each pixel into a row. The convolution is then one product, and the innermost
loop can run over the filters, which are adjacent in the weight and in y: the compiler uses vectors
of 8 or 16 floats, and no sum waits for another.

                       9 * C                        F
                  +-------------+              +---------+            F
                  | window of 0 |        9 * C | weight  |       +---------+
    N * H * W     | window of 1 |    times     |         |   =   |    y    |
                  | window of 2 |              +---------+       +---------+
                  |     ...     |

The price is memory: the columns have nine times the floats of x. They are written and read again.
"""

import numpy as np
from numba import prange

from ..cpu.compiling import helper, parallel_kernel


def conv2d(x, weight):
    """y (N, H, W, F) of x (N, H, W, C) and weight (3, 3, C, F); float32."""
    images, height, width, channels = x.shape
    columns = np.empty((images * height, width, 9 * channels), np.float32)
    y = np.empty((images * height, width, weight.shape[3]), np.float32)
    im2col(x, columns)
    product(columns, weight.reshape(9 * channels, -1), y)
    return y.reshape(images, height, width, -1)


@parallel_kernel
def im2col(x, columns):
    """Threads share the rows of all images."""
    for row in prange(len(columns)):
        copy_windows(x, row // x.shape[1], row % x.shape[1], columns[row])


@helper
def copy_windows(x, n, r, columns):
    """columns[c] = the window of pixel (r, c) of image n, with zeros outside."""
    _, height, width, channels = x.shape
    for c in range(width):
        for i in range(3):
            for j in range(3):
                here, k = 0 <= r + i - 1 < height and 0 <= c + j - 1 < width, (3 * i + j) * channels
                if here:
                    columns[c, k : k + channels] = x[n, r + i - 1, c + j - 1]
                else:
                    columns[c, k : k + channels] = 0


@parallel_kernel
def product(columns, weight, y):
    """y[row] = columns[row] @ weight."""
    for row in prange(len(columns)):
        multiply(columns[row], weight, y[row])


@helper
def multiply(columns, weight, y):
    """One number of the columns at a time, times a row of the weight."""
    y[:] = 0
    for c in range(len(y)):
        for k in range(len(weight)):
            value = columns[c, k]
            for f in range(y.shape[1]):
                y[c, f] += value * weight[k, f]
