"""A window slid over images: its sizes, and copying and adding the pixels under it.

One row of a window is a run of consecutive floats, since channels are innermost: `kernel_cols`
pixels of C channels. It is a run in the columns too. So copying a window means copying
`kernel_rows` runs, without the parts in the padding:

      image row     . . . . [ p p p ] . . .          p: 3 pixels, 3 * C floats
      columns     [ row 0 ][ row 1 ][ row 2 ]
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..checks import output_shape
from .compiling import helper
from .memory import LINE, Shape
from .simd import (
    LANES,
    broadcast,
    fma,
    load,
    load_inside,
    load_lanes,
    load_some,
    prefetch,
    store,
    store_inside,
    store_lanes,
    store_some,
)

by_shape = functools.lru_cache(maxsize=256)  # for what every training step computes again


class Window(NamedTuple):
    """The geometry of a window that slides over images; kernels take it as one argument."""

    images: int
    height: int
    width: int
    channels: int
    kernel_rows: int
    kernel_cols: int
    stride: int
    padding: int
    rows: int  # of the output
    cols: int


def window(x_shape: Sequence[int], kernel_size: Sequence[int], stride: int, padding: int) -> Window:
    """The window for images of this shape, in plain ints: then Numba compiles for one type only."""
    return known_window(tuple(x_shape), tuple(kernel_size), stride, padding)


@by_shape
def known_window(x_shape: Shape, kernel_size: Shape, stride: int, padding: int) -> Window:
    output = output_shape(x_shape, kernel_size, stride, padding)
    return Window(*map(int, (*x_shape, *kernel_size, stride, padding, *output)))


def turned_window(
    dy_shape: Sequence[int], weight_shape: Sequence[int], stride: int, padding: int
) -> Window | None:
    """The window over dy that gives the input gradient as a convolution; None if there is none.

    At stride 1 the windows that cover a pixel of x are neighbours, so its gradient is a window of
    dy: dx is a convolution of dy, padded by kernel - 1 - padding.
    """
    rows, cols = weight_shape[:2]
    if stride == 1 and rows == cols and padding < rows:
        return window(dy_shape, (rows, cols), 1, rows - 1 - padding)
    return None


@helper
def window_size(w):
    """Floats under a window, which are the rows of a flattened weight."""
    return w.kernel_rows * w.kernel_cols * w.channels


@helper
def pixels(w):
    """Output pixels of all images."""
    return w.images * w.rows * w.cols


@helper
def position(w, pixel):
    """`(image, row, column)` of an output pixel counted through all images."""
    image, rest = divmod(pixel, w.rows * w.cols)
    row, col = divmod(rest, w.cols)
    return image, row, col


@helper
def next_position(w, image, row, col):
    """The position of the next pixel. It saves the divisions of `position`, which are slow."""
    if col + 1 < w.cols:
        return image, row, col + 1
    if row + 1 < w.rows:
        return image, row + 1, 0
    return image + 1, 0, 0


@helper
def window_row(w, image, row, col, i):
    """`(start, low, high)` of row `i` of the window under an output pixel.

    Float q of the row is x[start + q] for low <= q < high; the other floats are padding.
    """
    y, x = row * w.stride - w.padding + i, col * w.stride - w.padding
    start = ((image * w.height + y) * w.width + x) * w.channels
    if y < 0 or y >= w.height:
        return start, 0, 0
    low, high = max(0, -x), min(w.kernel_cols, w.width - x)
    return start, low * w.channels, max(low, high) * w.channels


@helper
def row_end(w, pixel):
    """The first pixel of the next output row."""
    return (pixel // w.cols + 1) * w.cols


@helper
def copy_windows(x, w, first, last, begin, end, columns, step):
    """Copy floats begin .. end of the windows under pixels first .. last to rows of a matrix.

    Rows of the matrix are `step` floats apart. Runs are copied in whole vectors, so up to a vector
    past a run is overwritten, and the matrix must have that room at its end. The next run is copied
    later and repairs its beginning. Kernel rows begin // width .. are those that hold the floats.
    """
    width, p = w.kernel_cols * w.channels, first
    while p < last:
        stop = min(row_end(w, p), last)
        for i in range(begin // width, (end + width - 1) // width):
            to = (p - first) * step + i * width - begin
            low, high = max(begin - i * width, 0), min(end - i * width, width)
            copy_window_rows(x, w, p, stop - p, i, low, high, columns, to, step)
        p = stop


@helper
def copy_window_rows(x, w, pixel, count, i, begin, end, columns, to, step):
    """Copy floats begin .. end of row i of the windows under `count` pixels of one output row."""
    image, row, col = position(w, pixel)
    room = w.images * w.height * w.width * w.channels - LANES  # a vector past this leaves x
    for p in range(count):
        start, low, high = window_row(w, image, row, col + p, i)
        if low <= begin and high >= end and start + end <= room:
            for q in range(begin, end, LANES):
                store(load(x, start + q), columns, to + p * step + q)
        else:
            for q in range(begin, end, LANES):
                store(load_between(x, start + q, low - q, high - q), columns, to + p * step + q)


@helper
def add_windows(columns, step, w, first, last, begin, end, x):
    """Add rows of a matrix to floats begin .. end of the windows under pixels first .. last."""
    width, p = w.kernel_cols * w.channels, first
    while p < last:
        stop = min(row_end(w, p), last)
        for i in range(begin // width, (end + width - 1) // width):
            source = (p - first) * step + i * width - begin
            low, high = max(begin - i * width, 0), min(end - i * width, width)
            add_window_rows(columns, source, step, w, p, stop - p, i, low, high, x)
        p = stop


@helper
def add_window_rows(columns, source, step, w, pixel, count, i, begin, end, x):
    """Add to floats begin .. end of row i of the windows under `count` pixels of one output row."""
    image, row, col = position(w, pixel)
    for p in range(count):
        start, low, high = window_row(w, image, row, col + p, i)
        high = min(high, end)
        for q in range(begin, end, LANES):
            run = load(columns, source + p * step + q)
            add_between(run, x, start + q, low - q, high - q)


@helper
def load_between(array, i, low, high):
    """A vector of which lanes low .. high exist; the others are zeros."""
    if low <= 0 and high >= LANES:
        return load(array, i)
    return load_inside(array, i, low, high)


@helper
def add_between(value, array, i, low, high):
    """Add lanes low .. high of a vector to array[i + low : i + high]."""
    if low <= 0 and high >= LANES:
        store(load(array, i) + value, array, i)
    else:
        store_inside(load_inside(array, i, low, high) + value, array, i, low, high)


@helper
def copy(source, i, target, j, count):
    """Copy `count` floats; the last vector may overlap the one before."""
    if count >= LANES:
        for k in range(0, count - LANES, LANES):
            store(load(source, i + k), target, j + k)
        store(load(source, i + count - LANES), target, j + count - LANES)
    else:
        store_some(load_some(source, i, count), target, j, count)


@helper
def add(source, i, target, j, count, factor):
    """target += factor * source, for `count` floats."""
    factors = broadcast(factor)
    for k in range(0, count, LANES):
        lanes = count - k
        old = load_lanes(target, j + k, lanes)
        store_lanes(fma(factors, load_lanes(source, i + k, lanes), old), target, j + k, lanes)


@helper
def prefetch_share(array, first, last, share, shares):
    """Prefetch one of `shares` equal shares of floats first .. last into the L2 cache.

    Each step of a loop prefetches one share. So the requests are spread over the loop's arithmetic
    and do not queue up in front of its own loads.
    """
    step = (last - first + shares - 1) // shares
    for i in range(first + share * step, min(last, first + (share + 1) * step), LINE):
        prefetch(array, i)


@helper
def fill_zero(target, j, count):
    """Write `count` zeros."""
    for k in range(0, count, LANES):
        store_lanes(broadcast(np.float32(0)), target, j + k, count - k)
