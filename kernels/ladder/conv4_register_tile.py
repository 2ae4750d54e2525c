"""Convolution, rung 4: a register tile.

In rung 3 each multiply-add loads a vector of the weight and one of y, and stores y again: three
trips to the L1 cache for one instruction of arithmetic. A processor does two loads and two
multiply-adds in a cycle, so their numbers should be about equal. So a tile of y, 4 pixels by 2
vectors, stays in 8 registers from the first product to the last. A step loads 2 vectors of the
weight and 4 numbers of the columns, for 8 multiply-adds, none of which waits for another:

                     weight[k]:  w0      w1
    columns[0, k]  a0          [ y00 ][ y01 ]
    columns[1, k]  a1          [ y10 ][ y11 ]      y[p][v] += a[p] * w[v]
    columns[2, k]  a2          [ y20 ][ y21 ]
    columns[3, k]  a3          [ y30 ][ y31 ]

The compiler does not find this by itself. So vectors are a type here (`cpu/simd.py`), and a
variable of it is a register. Sizes are rounded up to whole tiles; the excess results are cut off.
"""

import numpy as np
from numba import prange

from ..cpu.compiling import helper, parallel_kernel
from ..cpu.simd import LANES, broadcast, fma, keep, load, pointer, store
from .conv2_im2col import copy_windows

PIXELS, FILTERS = 4, 2 * LANES  # of a tile


def conv2d(x, weight):
    """y (N, H, W, F) of x (N, H, W, C) and weight (3, 3, C, F); float32."""
    (images, height, width, channels), filters = x.shape, weight.shape[3]
    matrix = weight.reshape(9 * channels, filters)
    matrix = np.pad(matrix, ((0, 0), (0, -filters % FILTERS)))
    y = np.empty((images, height, width + -width % PIXELS, matrix.shape[1]), np.float32)
    tile_by_tile(x, matrix, y)
    return np.ascontiguousarray(y[:, :, :width, :filters])


@parallel_kernel
def tile_by_tile(x, weight, y):
    """Threads share the rows."""
    (images, height, width, filters), depth = y.shape, len(weight)
    for row in prange(images * height):
        columns = np.empty((width, depth), np.float32)
        copy_windows(x, row // height, row % height, columns)
        for f in range(0, filters, FILTERS):
            for c in range(0, width, PIXELS):
                at = (row * width + c) * filters + f
                a, b = pointer(columns), pointer(weight)
                tile(depth, a, c * depth, depth, b, f, filters, pointer(y), at, filters)
        keep(columns)


@helper
def tile(depth, a, i, a_step, b, j, b_step, y, at, y_step):
    """4 rows of `a` from element i on, times 2 vectors of each row of `b` from j on, to y[at].

    Rows lie a_step, b_step and y_step elements apart.
    """
    zero = broadcast(np.float32(0))
    y00 = y01 = y10 = y11 = y20 = y21 = y30 = y31 = zero
    for k in range(depth):
        w0, w1 = load(b, j + k * b_step), load(b, j + k * b_step + LANES)
        a0, a1 = broadcast(a[i + k]), broadcast(a[i + a_step + k])
        a2, a3 = broadcast(a[i + 2 * a_step + k]), broadcast(a[i + 3 * a_step + k])
        y00, y01, y10, y11 = fma(a0, w0, y00), fma(a0, w1, y01), fma(a1, w0, y10), fma(a1, w1, y11)
        y20, y21, y30, y31 = fma(a2, w0, y20), fma(a2, w1, y21), fma(a3, w0, y30), fma(a3, w1, y31)
    store_row(y00, y01, y, at)
    store_row(y10, y11, y, at + y_step)
    store_row(y20, y21, y, at + 2 * y_step)
    store_row(y30, y31, y, at + 3 * y_step)


@helper
def store_row(first, second, y, at):
    """A tile's row of two vectors."""
    store(first, y, at)
    store(second, y, at + LANES)
