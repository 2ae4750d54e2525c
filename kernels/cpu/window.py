"""A window slid over images: its sizes, and copying and adding the pixels under it.

One row of a window is a run of consecutive floats, since channels are innermost: `kernel_cols`
pixels of C channels. So is its row of columns. Copying a window is copying `kernel_rows` runs,
less what lies in the padding:

      image row     . . . . [ p p p ] . . .          p: 3 pixels, 3 * C floats
      columns     [ row 0 ][ row 1 ][ row 2 ]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..checks import output_shape
from .compiling import helper
from .memory import LINE
from .simd import (
    LANES,
    broadcast,
    fma,
    load,
    load_lanes,
    load_some,
    prefetch,
    store,
    store_lanes,
    store_some,
)


class Window(NamedTuple):
    """Everything about a window slid over images but the values; kernels take it whole."""

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
    """The window for images of this shape, in plain ints: Numba compiles for one type only."""
    output = output_shape(x_shape, kernel_size, stride, padding)
    return Window(*map(int, (*x_shape, *kernel_size, stride, padding, *output)))


@helper
def window_size(w):
    """Floats under a window: the rows of a flattened weight."""
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
    """The pixel after: divisions are slow, so a run of pixels is stepped through."""
    if col + 1 < w.cols:
        return image, row, col + 1
    if row + 1 < w.rows:
        return image, row + 1, 0
    return image + 1, 0, 0


@helper
def window_row(w, image, row, col, i):
    """Where row `i` of the window under an output pixel lies: `(start, low, high)`.

    Float q of the row is x[start + q], for low <= q < high; the others are padding.
    """
    y = row * w.stride - w.padding + i
    x = col * w.stride - w.padding
    start = ((image * w.height + y) * w.width + x) * w.channels
    if y < 0 or y >= w.height:
        return start, 0, 0
    low, high = max(0, -x), min(w.kernel_cols, w.width - x)
    return start, low * w.channels, max(low, high) * w.channels


@helper
def copy_windows(x, w, first, count, begin, end, columns, panel, size):
    """Floats begin .. end of the windows under `count` output pixels, as rows of a matrix.

    The matrix lies in panels of `panel` columns, `size` floats each: see `panel_place`. A panel as
    wide as a window makes it a plain matrix.
    """
    width = w.kernel_cols * w.channels
    image, row, col = position(w, first)
    for p in range(count):
        for i in range(begin // width, (end + width - 1) // width):
            left, right = max(begin - i * width, 0), min(end - i * width, width)
            start, low, high = window_row(w, image, row, col, i)
            low, high = min(max(low, left), right), max(min(high, right), left)
            at = i * width - begin
            zero_run(low - left, columns, p, at + left, panel, size)
            copy_run(x, start + low, high - low, columns, p, at + low, panel, size)
            zero_run(right - max(low, high), columns, p, at + max(low, high), panel, size)
        image, row, col = next_position(w, image, row, col)


@helper
def add_windows(columns, panel, size, w, first, count, x):
    """Add rows of a matrix in panels to the windows under `count` output pixels."""
    width = w.kernel_cols * w.channels
    image, row, col = position(w, first)
    for p in range(count):
        for i in range(w.kernel_rows):
            start, low, high = window_row(w, image, row, col, i)
            add_run(columns, p, i * width + low, panel, size, high - low, x, start + low)
        image, row, col = next_position(w, image, row, col)


@helper
def panel_place(p, k, panel, size):
    """Where element (p, k) of a matrix in panels of `panel` columns and `size` floats lies."""
    return k // panel * size + p * panel + k % panel


@helper
def copy_run(source, i, count, target, p, k, panel, size):
    """Copy `count` floats to row p of a matrix in panels, from column k."""
    while count > 0:
        part = min(panel - k % panel, count)
        copy(source, i, target, panel_place(p, k, panel, size), part)
        i, k, count = i + part, k + part, count - part


@helper
def zero_run(count, target, p, k, panel, size):
    """Write `count` zeros to row p of a matrix in panels, from column k."""
    while count > 0:
        part = min(panel - k % panel, count)
        fill_zero(target, panel_place(p, k, panel, size), part)
        k, count = k + part, count - part


@helper
def add_run(source, p, k, panel, size, count, target, j):
    """Add `count` floats of row p of a matrix in panels, from column k, to a target."""
    while count > 0:
        part = min(panel - k % panel, count)
        add(source, panel_place(p, k, panel, size), target, j, part, np.float32(1))
        j, k, count = j + part, k + part, count - part


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
    """Ask for one of several equal shares of floats first .. last, into the L2 cache."""
    step = (last - first + shares - 1) // shares
    for i in range(first + share * step, min(last, first + (share + 1) * step), LINE):
        prefetch(array, i)


@helper
def fill_zero(target, j, count):
    """Write `count` zeros."""
    for k in range(0, count, LANES):
        store_lanes(broadcast(np.float32(0)), target, j + k, count - k)
