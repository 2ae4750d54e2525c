"""Convolution, rung 6: Winograd's F(2 x 2, 3 x 3), less than half of the multiplications.

Two neighbouring results of a filter g of length 3 take 4 inputs d and 6 products. Rearranged they
take 4 products, if sums of g are made beforehand:

    m0 = (d0 - d2) * g0                m1 = (d1 + d2) * (g0 + g1 + g2) / 2
    m3 = (d1 - d3) * g2                m2 = (d2 - d1) * (g0 - g1 + g2) / 2

    y0 = m0 + m1 + m2                  y1 = m1 - m2 - m3

In two dimensions 2 x 2 results take 4 x 4 inputs and 16 products instead of 36. The sum over the
channels comes before the last line, so each of the 16 places is a product of matrices for rung 4's
tile, V (squares, C) times U (C, F). A strip, two rows of results, goes through all steps:

    x --squares of 4 x 4--> V[16] --times U[16]--> M[16] --squares of 2 x 2--> y

The price is the additions, a little more rounding, and V and M, which stay in the L2 cache.
(Lavin & Gray 2015, "Fast algorithms for convolutional neural networks", sec. 4.1.)
"""

import numpy as np
from numba import prange

from ..cpu.compiling import helper, parallel_kernel
from ..cpu.simd import LANES, load, pointer, store
from .conv4_register_tile import FILTERS, PIXELS, tile
from .conv5_panels import in_panels


def conv2d(x, weight):
    """y (N, H, W, F) of x (N, H, W, C) and weight (3, 3, C, F); float32."""
    (images, height, width, _), filters = x.shape, weight.shape[3]
    u = filter_sums(filter_sums(weight).swapaxes(0, 1)).swapaxes(0, 1)
    panels = in_panels(u.reshape(16, -1, filters))
    across = width + -width % (2 * PIXELS)
    y = np.empty((images, height + height % 2, across, panels.shape[1] * FILTERS), np.float32)
    strip_by_strip(x, panels, y)
    return np.ascontiguousarray(y[:, :height, :width, :filters])


def filter_sums(g):
    """The factors in m0 to m3 made from the three numbers of a filter, along the first axis."""
    g0, g1, g2 = g
    return np.stack([g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2])


@parallel_kernel
def strip_by_strip(x, panels, y):
    """Threads share the strips."""
    (images, rows, across, filters), channels = y.shape, x.shape[3]
    depth = (channels + LANES - 1) // LANES * LANES
    for strip in prange(images * rows // 2):
        n, r = strip // (rows // 2), np.int64(strip % (rows // 2) * 2)
        d = np.zeros((4, across + 2, depth), np.float32)
        v = np.empty((16, across // 2, depth), np.float32)
        m = np.empty((16, across // 2, filters), np.float32)
        copy_rows(x, n, r, d)
        transform_input(d, v)
        multiply(v, panels, m)
        transform_output(m, y[n, r:])


@helper
def copy_rows(x, n, r, d):
    """Rows r - 1 to r + 2 of an image, with zeros around."""
    _, height, width, channels = x.shape
    for i in range(max(0, 1 - r), min(4, height + 1 - r)):
        d[i, 1 : width + 1, :channels] = x[n, r + i - 1]


@helper
def transform_input(d, v):
    """Each square of 4 x 4, first along its columns, then along its rows."""
    (_, squares, depth), step = v.shape, d.shape[1] * d.shape[2]
    for s in range(squares):
        for k in range(0, depth, LANES):
            at = 2 * s * depth + k
            c0 = input_sums(pointer(d), at, step)
            c1 = input_sums(pointer(d), at + depth, step)
            c2 = input_sums(pointer(d), at + 2 * depth, step)
            c3 = input_sums(pointer(d), at + 3 * depth, step)
            for i in range(4):
                to, gap = (4 * i * squares + s) * depth + k, squares * depth
                store(c0[i] - c2[i], pointer(v), to)
                store(c1[i] + c2[i], pointer(v), to + gap)
                store(c2[i] - c1[i], pointer(v), to + 2 * gap)
                store(c1[i] - c3[i], pointer(v), to + 3 * gap)


@helper
def input_sums(d, at, step):
    """The factors in m0 to m3 made from four inputs."""
    d0, d1 = load(d, at), load(d, at + step)
    d2, d3 = load(d, at + 2 * step), load(d, at + 3 * step)
    return d0 - d2, d1 + d2, d2 - d1, d1 - d3


@helper
def multiply(v, panels, m):
    """M = V U at each of the 16 places."""
    (_, squares, depth), filters, channels = v.shape, m.shape[2], panels.shape[2]
    for place in range(16):
        for f in range(0, filters, FILTERS):
            for s in range(0, squares, PIXELS):
                a, at = (place * squares + s) * depth, (place * squares + s) * filters + f
                b = (place * filters + f) * channels
                y = pointer(m)
                tile(channels, pointer(v), a, depth, pointer(panels), b, FILTERS, y, at, filters)


@helper
def transform_output(m, y):
    """Each square of 2 x 2, first along the columns of M, then along the rows."""
    _, squares, filters = m.shape
    column, row = squares * filters, 2 * squares * filters
    for s in range(squares):
        for f in range(0, filters, LANES):
            at = s * filters + f
            c0 = output_sums(pointer(m), at, 4 * column)
            c1 = output_sums(pointer(m), at + column, 4 * column)
            c2 = output_sums(pointer(m), at + 2 * column, 4 * column)
            c3 = output_sums(pointer(m), at + 3 * column, 4 * column)
            for i in range(2):
                to = i * row + 2 * s * filters + f
                store(c0[i] + c1[i] + c2[i], pointer(y), to)
                store(c1[i] - c2[i] - c3[i], pointer(y), to + filters)


@helper
def output_sums(m, at, step):
    """y0 and y1 of four products."""
    m0, m1 = load(m, at), load(m, at + step)
    m2, m3 = load(m, at + 2 * step), load(m, at + 3 * step)
    return m0 + m1 + m2, m1 - m2 - m3
