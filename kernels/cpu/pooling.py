"""Pooling: every window is read once; a chunk is an image, so that gradients may overlap.

Bytes: the input once (overlaps come from cache), the output once. The innermost loop runs over
channels, so the compiler turns it into vector code.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .compiling import helper, parallel_kernel
from .dealing import dealt, divided
from .memory import Array, Ints, Shape, flat
from .simd import pointer
from .window import Window, add, window, window_row


def max_pool(x: Array, *, size: int, stride: int, padding: int = 0) -> tuple[Array, Ints]:
    w = window(x.shape, (size, size), stride, padding)
    y = np.full((w.images, w.rows, w.cols, w.channels), -np.inf, np.float32)
    argmax = np.zeros(y.shape, np.int32)
    max_pool_kernel(x, w, y, argmax)
    return y, argmax


def max_pool_grad(
    dy: Array, argmax: Ints, *, x_shape: Shape, size: int, stride: int, padding: int = 0
) -> Array:
    """Each dy goes to its window's winner."""
    dx = np.zeros(x_shape, np.float32)
    places = np.ascontiguousarray(argmax, np.int32)
    max_pool_grad_kernel(dy, places, window(x_shape, (size, size), stride, padding), dx)
    return dx


def avg_pool(x: Array, *, size: int, stride: int, padding: int = 0) -> Array:
    return means(x, window(x.shape, (size, size), stride, padding))


def avg_pool_grad(dy: Array, *, x_shape: Shape, size: int, stride: int, padding: int = 0) -> Array:
    """An equal share for every pixel of the window."""
    return shares(dy, x_shape, window(x_shape, (size, size), stride, padding))


def global_avg_pool(x: Array) -> Array:
    """The mean over a window as large as the map."""
    return means(x, window(x.shape, x.shape[1:3], 1, 0))[:, 0, 0]


def global_avg_pool_grad(dy: Array, *, x_shape: Shape) -> Array:
    """An equal share for every pixel of the map."""
    return shares(dy, x_shape, window(x_shape, x_shape[1:3], 1, 0))


def means(x: Array, w: Window) -> Array:
    y = np.zeros((w.images, w.rows, w.cols, w.channels), np.float32)
    avg_pool_kernel(flat(x), w, flat(y))
    return y


def shares(dy: Array, x_shape: Shape, w: Window) -> Array:
    """Every window's dy, divided among its pixels."""
    dx = np.zeros(x_shape, dy.dtype)
    avg_pool_grad_kernel(flat(dy), w, flat(dx))
    return dx


@helper
def inside(w, row, col, i, j):
    """`(y, x, exists)` of the pixel at position (i, j) of an output pixel's window."""
    y, x = row * w.stride - w.padding + i, col * w.stride - w.padding + j
    return y, x, 0 <= y < w.height and 0 <= x < w.width


@parallel_kernel
def max_pool_kernel(x, w, best, argmax):
    """Start from minus infinity; a NaN wins, and stays, since no comparison with it is true."""
    work = divided(w.images)
    for thread in prange(len(work)):
        for n in dealt(work, thread):
            for row in range(w.rows):
                for col in range(w.cols):
                    for i in range(w.kernel_rows):
                        for j in range(w.kernel_cols):
                            h, v, exists = inside(w, row, col, i, j)
                            if exists:
                                place = np.int32(i * w.kernel_cols + j)
                                keep_larger(
                                    x[n, h, v], place, best[n, row, col], argmax[n, row, col]
                                )


@helper
def keep_larger(values, place, best, argmax):
    """Take what is larger than the best so far, or the first NaN."""
    for c in range(len(values)):
        value, old = values[c], best[c]
        if value > old or (value != value and old == old):
            best[c] = value
            argmax[c] = place


@parallel_kernel
def max_pool_grad_kernel(dy, argmax, w, dx):
    """Scatter. If a window holds only minus infinities, its winner may lie in the padding."""
    work = divided(w.images)
    for thread in prange(len(work)):
        for n in dealt(work, thread):
            for row in range(w.rows):
                for col in range(w.cols):
                    for c in range(w.channels):
                        i, j = divmod(argmax[n, row, col, c], w.kernel_cols)
                        y, x, exists = inside(w, row, col, i, j)
                        if exists:
                            dx[n, y, x, c] += dy[n, row, col, c]


@parallel_kernel
def avg_pool_kernel(x, w, y):
    """Each y gathers a share of every pixel under its window."""
    share = np.float32(1 / (w.kernel_rows * w.kernel_cols))
    work = divided(w.images)
    for thread in prange(len(work)):
        for n in dealt(work, thread):
            for row in range(w.rows):
                for col in range(w.cols):
                    to = ((n * w.rows + row) * w.cols + col) * w.channels
                    for i in range(w.kernel_rows):
                        start, low, high = window_row(w, n, row, col, i)
                        for q in range(low, high, w.channels):
                            add(pointer(x), start + q, pointer(y), to, w.channels, share)


@parallel_kernel
def avg_pool_grad_kernel(dy, w, dx):
    """Every pixel under a window gathers a share of dy."""
    share = np.float32(1 / (w.kernel_rows * w.kernel_cols))
    work = divided(w.images)
    for thread in prange(len(work)):
        for n in dealt(work, thread):
            for row in range(w.rows):
                for col in range(w.cols):
                    at = ((n * w.rows + row) * w.cols + col) * w.channels
                    for i in range(w.kernel_rows):
                        start, low, high = window_row(w, n, row, col, i)
                        for q in range(low, high, w.channels):
                            add(pointer(dy), at, pointer(dx), start + q, w.channels, share)
