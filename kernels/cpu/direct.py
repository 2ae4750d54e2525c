"""Direct convolution: the product reads the images themselves; no columns are made.

Columns repeat every input value up to kh * kw times. But a row of a window is already a run of
consecutive floats, and the runs under neighbouring output pixels lie stride * C floats apart. So
one register tile, 16 output pixels of a row by 16 output channels, is the sum over the kernel's
rows of

    runs under 16 pixels (rows `stride * C` apart)  @  kernel row (kw * C_in, C_out)

       padded image row   0 0 0 p p p q q q r r r s s s ...        3 x 3, C = 3, stride 1
       run of pixel 0     [_______________]
       run of pixel 1           [_______________]

Only the border needs care. A strip of input rows is first copied to scratch space, with zeros
around it, which costs one load and one store per float. A chunk is the strip's output rows of one
image.

Operations: as many as with columns. The price: the distance of the runs is not known at compile
time, so each run takes an address register, and the product is about a tenth slower. And a tile is
16 pixels of one row, so narrow maps leave much of it empty. It pays off where columns cost most,
with few channels.
(Zhang, Franchetti & Low 2018, "High performance zero-memory overhead direct convolutions".)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from . import im2col
from .batch_norm import written
from .compiling import helper, kernel, parallel_kernel
from .dealing import dealt, divided
from .finish import NOTHING, Finish, finish_chunk, typed
from .im2col import copy_grads, sum_kernel
from .memory import Array, Ints, Shape, empty, flat, part, scratch
from .operands import OutputGrad, flat_grad, grad_pointers
from .packing import turned
from .partial_sums import at_most
from .simd import keep, pointer
from .sums import room_for, sums_of
from .tile import (
    COLUMNS,
    ROWS,
    SIZE,
    load_tile,
    multiply_apart,
    multiply_transposed,
    round_up,
    store_tile,
    write,
    zero_tile,
)
from .window import Window, copy, fill_zero, turned_window, window, window_size

STRIP = 1 << 16  # floats of a strip and its output rows together: 256 KB, half an L2 cache


# ------------------------------------------------------------------------ the public calls


def product(x: Array, w: Window, packed: Array, channels: int, finish: Finish = NOTHING) -> Array:
    """The windows of x times a matrix in panels."""
    y = empty((w.images, w.rows, w.cols, channels), x.dtype)
    forward_kernel(flat(x), w, packed, channels, typed(finish, x), flat(y))
    return y


def chunk_starts(w: Window, channels: int) -> Ints:
    """The output pixel that each chunk of `product` starts at, and one past the last."""
    step = strip_rows(w, channels)
    starts = [i * w.rows + row for i in range(w.images) for row in range(0, w.rows, step)]
    return np.array([*starts, w.images * w.rows]) * w.cols


def conv2d_input_grad(
    grad: OutputGrad,
    weight: Array,
    *,
    x_shape: Shape,
    stride: int = 1,
    padding: int = 0,
    finish: Finish = NOTHING,
) -> Array:
    """At stride 1 a convolution of dy; else im2col's, since runs of dx have gaps."""
    w = turned_window(grad.dy.shape, weight.shape, stride, padding)
    if w is None:
        settings: dict[str, Any] = {"stride": stride, "padding": padding, "finish": finish}
        return im2col.conv2d_input_grad(grad, weight, x_shape=x_shape, **settings)
    return product(written(grad), w, turned(weight), weight.shape[2], finish)


def conv2d_weight_grad(
    grad: OutputGrad, x: Array, *, kernel_size: tuple[int, int], stride: int = 1, padding: int = 0
) -> Array:
    """Partial sums over fixed parts of the strips, added in order."""
    w = window(x.shape, kernel_size, stride, padding)
    channels, width = grad.dy.shape[3], w.kernel_cols * w.channels
    rows = w.kernel_rows * round_up.py_func(width, COLUMNS)
    size = rows * round_up.py_func(channels, COLUMNS)
    parts = empty((max(1, min(at_most(size), len(chunk_starts(w, channels)) - 1)), size))
    weight_grad_kernel(flat(x), w, flat_grad(grad), channels, parts)
    dweight = empty((*kernel_size, w.channels, channels))
    sum_kernel(parts, channels, width, dweight.reshape(-1))
    return dweight


# ------------------------------------------------------------------------ strips


@helper
def row_floats(w):
    """Floats of a padded input row."""
    return (w.width + 2 * w.padding) * w.channels


@kernel
def strip_rows(w, channels):
    """Output rows of a strip."""
    each = w.stride * row_floats(w) + w.cols * round_up(channels, COLUMNS)
    return max(1, min(w.rows, STRIP // each))


@helper
def strips_in_image(w, channels):
    """How many strips an image is cut into."""
    step = strip_rows(w, channels)
    return (w.rows + step - 1) // step


@helper
def strip_place(w, channels, chunk):
    """`(image, first, last)`: the output rows of a strip, counted through all images."""
    image, i = divmod(chunk, strips_in_image(w, channels))
    first = i * strip_rows(w, channels)
    return image, first, min(w.rows, first + strip_rows(w, channels))


@helper
def strip_room(w, channels):
    """Floats of a strip, plus what the last runs of a tile read past its end.

    A tile always reads ROWS runs of whole vectors. At the end of a row some of these belong to no
    output pixel; `write` drops their results, but their addresses must exist.
    """
    rows = (strip_rows(w, channels) - 1) * w.stride + w.kernel_rows
    past = COLUMNS * w.stride * w.channels + w.kernel_cols * w.channels + COLUMNS
    return round_up(rows * row_floats(w) + past, COLUMNS)


@helper
def copy_strip(x, w, image, first, last, strip):
    """Copy the input rows under output rows first .. last, with zeros around them."""
    border, line, size = w.padding * w.channels, w.width * w.channels, row_floats(w)
    for i in range((last - first - 1) * w.stride + w.kernel_rows):
        row, at = first * w.stride - w.padding + i, i * size
        if 0 <= row < w.height:
            fill_zero(strip, at, border)
            copy(x, (image * w.height + row) * line, strip, at + border, line)
            fill_zero(strip, at + border + line, border)
        else:
            fill_zero(strip, at, size)


# ------------------------------------------------------------------------ kernels


@parallel_kernel
def forward_kernel(x, w, packed, channels, finish, y):
    # a chunk is a strip
    work = divided(w.images * strips_in_image(w, channels))
    for thread in prange(len(work)):
        for chunk in dealt(work, thread):
            image, first, last = strip_place(w, channels, chunk)
            room = scratch(strip_room(w, channels) + SIZE)
            strip, spare = part(room, SIZE), part(room, 0)
            copy_strip(pointer(x), w, image, first, last, strip)
            start, stop = (image * w.rows + first) * w.cols, (image * w.rows + last) * w.cols
            sums_room = room_for(pointer(y), (stop - start) * channels)
            sums = sums_of(pointer(y), pointer(sums_room), start * channels)
            forward_strip(strip, w, pointer(packed), channels, start, last - first, sums, spare)
            finish_chunk(finish, chunk, sums, pointer(y), channels, start, stop, 0, channels)
            keep(room)
            keep(sums_room)


@helper
def forward_strip(strip, w, packed, channels, pixel, rows, y, spare):
    """`rows` rows of the output from `pixel`."""
    size, step, run = row_floats(w), w.stride * w.channels, w.kernel_cols * w.channels
    for c in range(0, channels, COLUMNS):
        for row in range(rows):
            for col in range(0, w.cols, ROWS):
                tile = zero_tile()
                for i in range(w.kernel_rows):
                    # the run of pixel `col`; panel c / 16 of the weight, from kernel row i on
                    at = (row * w.stride + i) * size + col * step
                    panel = c * window_size(w) + i * run * COLUMNS
                    tile = multiply_apart(tile, strip, at, step, packed, panel, run)
                to = (pixel + row * w.cols + col) * channels + c
                write(tile, y, to, channels, w.cols - col, channels - c, False, spare)


@parallel_kernel
def weight_grad_kernel(x, w, grad, channels, parts):
    """A chunk is one partial sum, over its share of the strips."""
    strips, count = w.images * strips_in_image(w, channels), len(parts)
    work = divided(count)
    for thread in prange(len(work)):
        for i in dealt(work, thread):
            total = pointer(parts[i])
            fill_zero(total, 0, parts.shape[1])
            for chunk in range(i * strips // count, (i + 1) * strips // count):
                weight_grad_strip(pointer(x), w, grad_pointers(grad), channels, chunk, total)


@helper
def weight_grad_strip(x, w, grad, channels, chunk, total):
    """Add the products of a strip's runs and dy to a partial sum."""
    image, first, last = strip_place(w, channels, chunk)
    size, step, run = row_floats(w), w.stride * w.channels, w.kernel_cols * w.channels
    start, stop = (image * w.rows + first) * w.cols, (image * w.rows + last) * w.cols
    strip_size, block = strip_room(w, channels), strip_rows(w, channels) * w.cols
    room = scratch(strip_size + block * round_up(channels, COLUMNS))
    strip, grads = part(room, 0), part(room, strip_size)
    copy_strip(x, w, image, first, last, strip)
    copy_grads(grad, channels, 0, channels, start, stop, grads, block)
    for c in range(0, channels, COLUMNS):
        for i in range(w.kernel_rows):
            for k in range(0, round_up(run, COLUMNS), ROWS):
                # row k of kernel row i, whose rows are padded to whole 16s, in panel c / 16
                to = (c * w.kernel_rows + i * COLUMNS) * round_up(run, COLUMNS) + k * COLUMNS
                tile = load_tile(total, to, COLUMNS)
                for row in range(last - first):
                    a, b = (row * w.stride + i) * size + k, c * block + row * w.cols * COLUMNS
                    tile = multiply_transposed(tile, strip, a, step, grads, b, w.cols)
                store_tile(tile, total, to, COLUMNS)
    keep(room)
