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
from .simd import LANES, load, store


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
def window_row(w, pixel, i):
    """Where row `i` of the window under an output pixel lies: `(start, low, high)`.

    Float q of the row is x[start + q], for low <= q < high; the others are padding.
    """
    image, rest = divmod(pixel, w.rows * w.cols)
    row, col = divmod(rest, w.cols)
    y = row * w.stride - w.padding + i
    x = col * w.stride - w.padding
    start = ((image * w.height + y) * w.width + x) * w.channels
    if y < 0 or y >= w.height:
        return start, 0, 0
    low, high = max(0, -x), min(w.kernel_cols, w.width - x)
    return start, low * w.channels, max(low, high) * w.channels


@helper
def copy_window(x, w, pixel, first, last, columns, at):
    """Copy floats first .. last of the window under an output pixel to columns[at ...]."""
    width = w.kernel_cols * w.channels
    for i in range(first // width, (last + width - 1) // width):
        start, low, high = window_row(w, pixel, i)
        begin, end = max(first - i * width, 0), min(last - i * width, width)
        low, high = min(max(low, begin), end), min(max(high, begin), end)
        to = at + i * width - first
        fill_zero(columns, to + begin, low - begin)
        copy(x, start + low, columns, to + low, high - low)
        fill_zero(columns, to + high, end - high)


@helper
def add_window(columns, at, w, pixel, x):
    """Add the row columns[at ...] to the window under an output pixel."""
    width = w.kernel_cols * w.channels
    for i in range(w.kernel_rows):
        start, low, high = window_row(w, pixel, i)
        for q in range(low, high):
            x[start + q] += columns[at + i * width + q]


@helper
def copy(source, i, target, j, count):
    """Copy `count` floats."""
    whole = count - count % LANES
    for k in range(0, whole, LANES):
        store(load(source, i + k), target, j + k)
    for k in range(whole, count):
        target[j + k] = source[i + k]


@helper
def fill_zero(target, j, count):
    """Write `count` zeros."""
    for k in range(count):
        target[j + k] = np.float32(0)
