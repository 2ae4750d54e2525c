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
from .simd import LANES, broadcast, fma, load, load_lanes, prefetch, store, store_lanes


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
def copy_windows(x, w, first, count, begin, end, columns, step):
    """Floats begin .. end of the windows under `count` output pixels, as rows `step` apart."""
    width = w.kernel_cols * w.channels
    image, row, col = position(w, first)
    done = 0
    while done < count:
        run = min(w.cols - col, count - done)  # pixels left in this row of the output
        for i in range(begin // width, (end + width - 1) // width):
            left, right = max(begin - i * width, 0), min(end - i * width, width)
            at = done * step + i * width - begin
            copy_window_rows(x, w, image, row, col, run, i, left, right, columns, at, step)
        done += run
        image, row, col = next_position(w, image, row, w.cols - 1)


@helper
def copy_window_rows(x, w, image, row, col, run, i, left, right, columns, at, step):
    """Floats left .. right of row `i` of the windows under `run` neighbours in a row."""
    for p in range(run):
        start, low, high = window_row(w, image, row, col + p, i)
        if low <= left and right <= high:
            copy(x, start + left, columns, at + left, right - left)
        else:
            low, high = min(max(low, left), right), max(min(high, right), left)
            fill_zero(columns, at + left, low - left)
            copy(x, start + low, columns, at + low, high - low)
            fill_zero(columns, at + max(low, high), right - max(low, high))
        at += step


@helper
def add_windows(columns, step, w, first, count, x):
    """Add rows `step` apart to the windows under `count` output pixels."""
    width = w.kernel_cols * w.channels
    image, row, col = position(w, first)
    for p in range(count):
        for i in range(w.kernel_rows):
            start, low, high = window_row(w, image, row, col, i)
            add(columns, p * step + i * width + low, x, start + low, high - low, np.float32(1))
        image, row, col = next_position(w, image, row, col)


@helper
def copy(source, i, target, j, count):
    """Copy `count` floats; the last vector may overlap the one before."""
    if count >= LANES:
        for k in range(0, count - LANES, LANES):
            store(load(source, i + k), target, j + k)
        store(load(source, i + count - LANES), target, j + count - LANES)
    else:
        for k in range(count):
            target[j + k] = source[i + k]


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
    for k in range(count):
        target[j + k] = np.float32(0)
