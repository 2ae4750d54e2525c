"""Convolution, rung 3: columns that stay in cache.

The same copies and the same product, in another order: one row of pixels goes through both before
the next one begins. Its columns (W * 9 * C floats, 74 KB for 32 pixels of 64 channels) are
read while they are still in the L2 cache, then overwritten by those of the next row.

    rung 2:  x --copy--> all columns --> memory --> all columns --times weight--> y
    rung 3:  x --copy--> a row's columns, in cache --times weight--> y       ... row by row

Memory now sees x, the weight and y once each: the least that any program must move.
"""

import numpy as np
from numba import prange

from ..cpu.compiling import parallel_kernel
from .conv2_im2col import copy_windows, multiply


def conv2d(x, weight):
    """y (N, H, W, F) of x (N, H, W, C) and weight (3, 3, C, F); float32."""
    images, height, width, channels = x.shape
    y = np.empty((images * height, width, weight.shape[3]), np.float32)
    row_by_row(x, weight.reshape(9 * channels, -1), y)
    return y.reshape(images, height, width, -1)


@parallel_kernel
def row_by_row(x, weight, y):
    """Threads share the rows; each has its own columns."""
    for row in prange(len(y)):
        columns = np.empty((x.shape[2], len(weight)), np.float32)
        copy_windows(x, row // x.shape[1], row % x.shape[1], columns)
        multiply(columns, weight, y[row])
