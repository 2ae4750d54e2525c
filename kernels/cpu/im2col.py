"""Convolution of any shape: columns made in cache, times the weight, in register tiles.

`im2col` turns a convolution into a matrix product with kh * kw times the input's bytes. Made for
all images at once these columns would fill the memory (72 MiB for one 16-channel layer at batch
128) and come back from it. So a chunk of BLOCK output pixels is taken through the whole
computation while its columns stay in the L2 cache, and nothing but the result leaves it:

    forward          y[block]  = columns(block) @ weight
    weight gradient  dweight  += columns(block).T @ dy[block]
    input gradient   dcolumns  = dy[block] @ weight.T, added back to the images (col2im)

Operations: 2 * pixels * (kh * kw * C_in) * C_out each; bytes moved: x, y and the weight, once.
The columns cost one load and one store for every 2 * C_out operations.

Every matrix of a product lies in panels of 16 columns: the weight, re-packed first and padded with
zeros, so that the product reads it as one stream; the columns and a block of dy, so that their rows
are 16 floats apart whatever the number of channels (see `tile.py`).
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .compiling import helper, parallel_kernel
from .finish import NOTHING, Finish, finish_chunk
from .memory import Array, Ints, Shape, empty, part, scratch
from .simd import keep, pointer
from .tile import (
    COLUMNS,
    ROWS,
    SIZE,
    load_tile,
    multiply,
    multiply_transposed,
    round_up,
    store_tile,
    write,
)
from .window import (
    Window,
    add_windows,
    copy_run,
    copy_windows,
    fill_zero,
    panel_place,
    pixels,
    window,
    window_size,
)

BLOCK = 96  # output pixels whose columns are made at a time
PANEL = BLOCK * COLUMNS  # floats of a block in a panel
DEPTH = 288  # floats of a window taken at a time: 18 KB of panel stay in L1, the columns in L2
MAX_PARTS = 16  # partial sums of a weight gradient: their number is fixed by the shape
PART_FLOATS = 1 << 21  # and limited to 8 MB together, unless one alone is larger


# ------------------------------------------------------------------------ the public calls


def im2col(x: Array, *, kernel_size: tuple[int, int], stride: int = 1, padding: int = 0) -> Array:
    """Windows as rows."""
    w = window(x.shape, kernel_size, stride, padding)
    columns = empty((w.images, w.rows, w.cols, window_size.py_func(w)))
    im2col_kernel(x.ravel(), w, columns.reshape(-1))
    return columns


def col2im(
    columns: Array,
    *,
    x_shape: Shape,
    kernel_size: tuple[int, int],
    stride: int = 1,
    padding: int = 0,
) -> Array:
    """Windows added back."""
    x = empty(x_shape)
    col2im_kernel(columns.ravel(), window(x_shape, kernel_size, stride, padding), x.reshape(-1))
    return x


def conv2d(
    x: Array, weight: Array, *, stride: int = 1, padding: int = 0, finish: Finish = NOTHING
) -> Array:
    """Columns times weight, block by block."""
    w = window(x.shape, weight.shape[:2], stride, padding)
    channels = weight.shape[3]
    y = empty((w.images, w.rows, w.cols, channels))
    forward_kernel(x.ravel(), w, panels(flat(weight)), channels, finish, y.reshape(-1))
    return y


def chunk_starts(w: Window) -> Ints:
    """The output pixel that each chunk of `conv2d` starts at, and one past the last."""
    count = pixels.py_func(w)
    return np.append(np.arange(0, count, BLOCK), count)


def conv2d_input_grad(
    dy: Array, weight: Array, *, x_shape: Shape, stride: int = 1, padding: int = 0
) -> Array:
    """Gradient columns, block by block, each added back while in cache."""
    w = window(x_shape, weight.shape[:2], stride, padding)
    dx = empty(x_shape)
    input_grad_kernel(dy.ravel(), w, panels(flat(weight).T), weight.shape[3], dx.reshape(-1))
    return dx


def conv2d_weight_grad(
    dy: Array, x: Array, *, kernel_size: tuple[int, int], stride: int = 1, padding: int = 0
) -> Array:
    """Partial sums over fixed parts of the pixels, added in order in float64."""
    w = window(x.shape, kernel_size, stride, padding)
    depth, channels = window_size.py_func(w), dy.shape[3]
    parts = empty(
        (
            number_of_parts(w, depth, channels),
            round_up.py_func(depth, ROWS),
            round_up.py_func(channels, COLUMNS),
        )
    )
    weight_grad_kernel(x.ravel(), w, dy.ravel(), channels, parts)
    total = parts[:, :depth, :channels].sum(0, dtype=np.float64)
    return total.astype(np.float32).reshape(*kernel_size, x.shape[3], channels)


# ------------------------------------------------------------------------ packing and sizes


def flat(weight: Array) -> Array:
    """A weight as the matrix that columns are multiplied by."""
    return weight.reshape(-1, weight.shape[3])


def panels(matrix: Array) -> Array:
    """(K, C) -> all rows of its first 16 columns, of the next 16 ...; zeros fill the last."""
    depth, channels = matrix.shape
    packed = np.zeros((round_up.py_func(channels, COLUMNS) // COLUMNS, depth, COLUMNS), np.float32)
    for start, panel in zip(range(0, channels, COLUMNS), packed, strict=True):
        panel[:, : channels - start] = matrix[:, start : start + COLUMNS]
    return packed.reshape(-1)


def number_of_parts(w: Window, depth: int, channels: int) -> int:
    """How many partial sums a weight gradient is made of."""
    blocks = -(-pixels.py_func(w) // BLOCK)
    room = PART_FLOATS // (round_up.py_func(depth, ROWS) * round_up.py_func(channels, COLUMNS))
    return max(1, min(blocks, room, MAX_PARTS))


# ------------------------------------------------------------------------ kernels


@parallel_kernel
def im2col_kernel(x, w, columns):
    """Copy every window; a chunk is an output row."""
    size = window_size(w)
    for row in prange(w.images * w.rows):
        target = pointer(columns[row * w.cols * size :])
        copy_windows(pointer(x), w, row * w.cols, w.cols, 0, size, target, size, 0)


@parallel_kernel
def col2im_kernel(columns, w, x):
    """Add every window; a chunk is an image, since windows overlap."""
    size, pixels = window_size(w), w.rows * w.cols
    for image in prange(w.images):
        clear_image(pointer(x), w, image)
        source = pointer(columns[image * pixels * size :])
        add_windows(source, size, 0, w, image * pixels, pixels, pointer(x))


@helper
def clear_image(x, w, image):
    """Zero one image."""
    size = w.height * w.width * w.channels
    fill_zero(x, image * size, size)


@parallel_kernel
def forward_kernel(x, w, packed, channels, finish, y):
    """A chunk is a block of output pixels."""
    for block in prange((pixels(w) + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        forward_block(pointer(x), w, pointer(packed), channels, first, pointer(y))
        last = min(first + BLOCK, pixels(w))
        finish_chunk(finish, block, pointer(y), channels, first, last)


@helper
def forward_block(x, w, packed, channels, first, y):
    """BLOCK output pixels from `first`: DEPTH floats of their windows at a time."""
    size = window_size(w)
    count = min(BLOCK, pixels(w) - first)
    room = scratch(BLOCK * DEPTH + SIZE)
    columns, spare = part(room, SIZE), part(room, 0)
    for start in range(0, size, DEPTH):
        depth = min(DEPTH, size - start)
        copy_windows(x, w, first, count, start, start + depth, columns, COLUMNS, PANEL)
        for c in range(0, channels, COLUMNS):
            panel = c * size + start * COLUMNS
            for p in range(0, count, ROWS):
                tile = multiply(columns, p * COLUMNS, PANEL, packed, panel, depth)
                at = (first + p) * channels + c
                write(tile, y, at, channels, count - p, channels - c, start > 0, spare)
    keep(room)


@parallel_kernel
def input_grad_kernel(dy, w, packed, channels, dx):
    """A chunk is an image, since windows overlap."""
    for image in prange(w.images):
        clear_image(pointer(dx), w, image)
        last = (image + 1) * w.rows * w.cols
        for first in range(image * w.rows * w.cols, last, BLOCK):
            input_grad_block(
                pointer(dy),
                w,
                pointer(packed),
                channels,
                first,
                min(BLOCK, last - first),
                pointer(dx),
            )


@helper
def input_grad_block(dy, w, packed, channels, first, count, dx):
    """Gradient columns of `count` output pixels from `first`, added to the images."""
    size = window_size(w)
    room = scratch(BLOCK * (round_up(channels, COLUMNS) + round_up(size, COLUMNS)))
    grads, columns = part(room, 0), part(room, BLOCK * round_up(channels, COLUMNS))
    copy_pixels(dy, channels, first, count, grads)
    for k in range(0, size, COLUMNS):
        for p in range(0, count, ROWS):
            tile = multiply(grads, p * COLUMNS, PANEL, packed, k * channels, channels)
            store_tile(tile, columns, panel_place(p, k, COLUMNS, PANEL), COLUMNS)
    add_windows(columns, COLUMNS, PANEL, w, first, count, dx)
    keep(room)


@helper
def copy_pixels(dy, channels, first, count, grads):
    """A block of dy, in panels."""
    for p in range(count):
        copy_run(dy, (first + p) * channels, channels, grads, p, 0, COLUMNS, PANEL)


@parallel_kernel
def weight_grad_kernel(x, w, dy, channels, parts):
    """A chunk is one partial sum, over its share of the pixels."""
    count = len(parts)
    blocks = (pixels(w) + BLOCK - 1) // BLOCK
    for i in prange(count):
        total = pointer(parts[i])
        fill_zero(total, 0, parts[i].size)
        for block in range(i * blocks // count, (i + 1) * blocks // count):
            weight_grad_block(pointer(x), w, pointer(dy), channels, block * BLOCK, total)


@helper
def weight_grad_block(x, w, dy, channels, first, total):
    """Add the products of BLOCK pixels' columns and dy to a partial sum."""
    size, width = window_size(w), round_up(channels, COLUMNS)
    count = min(BLOCK, pixels(w) - first)
    room = scratch(BLOCK * (round_up(size, COLUMNS) + width))
    grads, columns = part(room, 0), part(room, BLOCK * width)
    copy_windows(x, w, first, count, 0, size, columns, COLUMNS, PANEL)
    copy_pixels(dy, channels, first, count, grads)
    for k in range(0, size, ROWS):
        for c in range(0, width, COLUMNS):
            tile = load_tile(total, k * width + c, width)
            a, b = panel_place(0, k, COLUMNS, PANEL), panel_place(0, c, COLUMNS, PANEL)
            tile = multiply_transposed(tile, columns, a, grads, b, count)
            store_tile(tile, total, k * width + c, width)
    keep(room)
