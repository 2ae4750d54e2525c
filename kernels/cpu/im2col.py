"""Convolution of any shape: columns made in cache, times the weight, in register tiles.

`im2col` turns a convolution into a matrix product; its columns have kh * kw times the input's
bytes. The columns of all images (72 MiB for one 16-channel layer at batch 128) would be written to
memory and read back. So a block of output pixels goes through the whole computation while its
columns stay in the L2 cache, and only the result leaves the cache:

    forward          y[block]  = columns(block) @ weight
    weight gradient  dweight  += columns(block).T @ dy[block]
    input gradient   dx        = columns of dy(block) @ turned weight, at stride 1; else
                     dcolumns  = dy[block] @ weight.T, added back to the images (col2im)

Operations: 2 * pixels * (kh * kw * C_in) * C_out each. Bytes moved: x, y and the weight, once. The
columns cost one load and one store for every 2 * C_out operations. While a block is multiplied, the
next one's input is prefetched, so that memory and arithmetic work at the same time. A prefetch
takes a slot among the loads, so every register tile of the block issues an equal share of them.

The right-hand matrix of a product lies in panels of 16 columns (see `tile.py`): the weight is
packed before the product (`packing.py`), dy block by block. Element (row k, column c) of a matrix
of `depth` rows is then float (c // 16 * depth + k) * 16 + c % 16. So the panel of a column c that
is a multiple of 16 begins at c * depth, and the next panel lies depth * 16 floats further: the
`gap` of a wide tile. The rows of the columns are PITCH floats apart, and windows are copied in
whole vectors.

The shape alone decides how work is cut: into blocks of pixels and, if these are few (in the last
stages of a network), every block into groups of output channels or slices of the window.

The idea alone, in forty lines: `kernels/ladder/conv3_blocks.py`.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .batch_norm import written
from .compiling import helper, parallel_kernel
from .dealing import dealt, divided
from .finish import NOTHING, Finish, finish_chunk, typed
from .memory import Array, Ints, Shape, empty, flat, part, scratch
from .operands import (
    OutputGrad,
    factor_of_grad,
    flat_grad,
    grad_pointers,
    grad_terms,
    prefetch_grads,
)
from .packing import transposed, turned
from .partial_sums import MAX_PARTS, at_most, sum_of_parts
from .simd import LANES, keep, pointer, store, store_lanes
from .sums import room_for, sums_of
from .tile import (
    COLUMNS,
    DEPTH,
    PITCH,
    ROWS,
    SIZE,
    WIDE_COLUMNS,
    add_transposed,
    is_wide,
    multiply,
    multiply_wide,
    round_up,
    rows_of,
    store_product,
    write,
    write_wide,
)
from .window import (
    Window,
    add,
    add_windows,
    copy,
    copy_windows,
    fill_zero,
    next_position,
    pixels,
    position,
    prefetch_share,
    turned_window,
    window,
    window_row,
    window_size,
)

BLOCK = 96  # the most output pixels whose columns are made at a time
LONG_BLOCK = 192  # the same for a weight gradient: each block loads and stores the sums once
WIDTH = 64  # channels of a block of dy that are packed together
TASKS = 32  # the fewest, if the shape allows: then no thread waits long for another


# ------------------------------------------------------------------------ the public calls


def im2col(x: Array, *, kernel_size: tuple[int, int], stride: int = 1, padding: int = 0) -> Array:
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
    x = empty(x_shape)
    col2im_kernel(columns.ravel(), window(x_shape, kernel_size, stride, padding), x.reshape(-1))
    return x


def product(x: Array, w: Window, packed: Array, channels: int, finish: Finish = NOTHING) -> Array:
    """The windows of x times a matrix in panels."""
    y = empty((w.images, w.rows, w.cols, channels), x.dtype)
    block, finish = block_size(w), typed(finish, x)
    groups = number_of_groups(-(-pixels.py_func(w) // block), channels)
    forward_kernel(flat(x), w, packed, channels, block, groups, finish, flat(y))
    return y


def chunk_starts(w: Window) -> Ints:
    """The output pixel that each chunk of `product` starts at, and one past the last."""
    count = pixels.py_func(w)
    return np.append(np.arange(0, count, block_size(w)), count)


def conv2d_input_grad(
    grad: OutputGrad,
    weight: Array,
    *,
    x_shape: Shape,
    stride: int = 1,
    padding: int = 0,
    finish: Finish = NOTHING,
) -> Array:
    """At stride 1 a convolution of dy; else gradient columns, each added back while in cache."""
    turned_w = turned_window(grad.dy.shape, weight.shape, stride, padding)
    if turned_w is not None:
        return product(written(grad), turned_w, turned(weight), weight.shape[2], finish)
    w = window(x_shape, weight.shape[:2], stride, padding)
    dx = empty(x_shape, grad.dy.dtype)
    images = -(-BLOCK // max(1, w.rows * w.cols))
    packed, channels, finish = transposed(weight), weight.shape[3], typed(finish, dx)
    input_grad_kernel(flat_grad(grad), w, packed, channels, images, finish, flat(dx))
    return dx


def conv2d_weight_grad(
    grad: OutputGrad, x: Array, *, kernel_size: tuple[int, int], stride: int = 1, padding: int = 0
) -> Array:
    """Partial sums over fixed parts of the pixels; they are added in order."""
    w = window(x.shape, kernel_size, stride, padding)
    depth, channels = window_size.py_func(w), grad.dy.shape[3]
    part_size = round_up.py_func(depth, COLUMNS) * round_up.py_func(channels, COLUMNS)
    parts = empty((number_of_parts(w, part_size), part_size))
    rows = -(-depth // DEPTH)
    groups = min(-(-channels // WIDE_COLUMNS), -(-MAX_PARTS // (len(parts) * rows)))
    sizes = rows, groups, long_block(w)
    weight_grad_kernel(flat(x), w, flat_grad(grad), channels, *sizes, parts)
    dweight = empty((*kernel_size, x.shape[3], channels))
    sum_kernel(parts, channels, depth, dweight.reshape(-1))
    return dweight


# ------------------------------------------------------------------------ how work is cut


def block_size(w: Window) -> int:
    """Pixels of a block, chosen so that all blocks are about equal: whole tiles, at most BLOCK."""
    tiles = -(-pixels.py_func(w) // COLUMNS)
    blocks = -(-tiles * COLUMNS // BLOCK)
    return COLUMNS * -(-max(1, tiles) // max(1, blocks))


def number_of_groups(blocks: int, channels: int) -> int:
    """Groups of output channels that each block is cut into."""
    return min(-(-channels // WIDE_COLUMNS), -(-TASKS // max(1, blocks)))


def number_of_parts(w: Window, part_size: int) -> int:
    """The number of partial sums of a weight gradient."""
    blocks = -(-pixels.py_func(w) // LONG_BLOCK)
    return max(1, min(blocks, at_most(part_size)))


def long_block(w: Window) -> int:
    """Pixels of a block of a weight gradient, chosen so that all blocks are about equal."""
    count = pixels.py_func(w)
    return -(-count // max(1, -(-count // LONG_BLOCK)))


# ------------------------------------------------------------------------ im2col, col2im


@parallel_kernel
def im2col_kernel(x, w, columns):
    """Copy every window; a chunk is an output row."""
    size, width = window_size(w), w.kernel_cols * w.channels
    work = divided(w.images * w.rows)
    for thread in prange(len(work)):
        for line in dealt(work, thread):
            image, row, col = position(w, line * w.cols)
            for p in range(line * w.cols, (line + 1) * w.cols):
                for i in range(w.kernel_rows):
                    start, low, high = window_row(w, image, row, col, i)
                    target, high = p * size + i * width, max(low, high)
                    fill_zero(pointer(columns), target, low)
                    copy(pointer(x), start + low, pointer(columns), target + low, high - low)
                    fill_zero(pointer(columns), target + high, width - high)
                image, row, col = next_position(w, image, row, col)


@parallel_kernel
def col2im_kernel(columns, w, x):
    """Add every window; a chunk is an image, since windows overlap within an image."""
    size, width = window_size(w), w.kernel_cols * w.channels
    work = divided(w.images)
    for thread in prange(len(work)):
        for image in dealt(work, thread):
            clear_images(pointer(x), w, image, image + 1)
            for row in range(w.rows):
                for col in range(w.cols):
                    p = (image * w.rows + row) * w.cols + col
                    for i in range(w.kernel_rows):
                        start, low, high = window_row(w, image, row, col, i)
                        source = p * size + i * width + low
                        add(
                            pointer(columns),
                            source,
                            pointer(x),
                            start + low,
                            high - low,
                            np.float32(1),
                        )


@helper
def clear_images(x, w, first, last):
    size = w.height * w.width * w.channels
    fill_zero(x, first * size, (last - first) * size)


# ------------------------------------------------------------------------ forward


@parallel_kernel
def forward_kernel(x, w, packed, channels, block, groups, finish, y):
    """A chunk is a block of output pixels and a group of panels of output channels."""
    blocks = (pixels(w) + block - 1) // block
    work = divided(blocks * groups)
    for thread in prange(len(work)):
        for chunk in dealt(work, thread):
            group, i = divmod(chunk, blocks)
            first, last = i * block, min((i + 1) * block, pixels(w))
            begin, end = share(group, groups, channels, WIDE_COLUMNS)
            room = room_for(pointer(y), block * channels)
            sums = sums_of(pointer(y), pointer(room), first * channels)
            forward_block(pointer(x), w, pointer(packed), channels, first, last, begin, end, sums)
            finish_chunk(finish, i, sums, pointer(y), channels, first, last, begin, end)
            keep(room)


@helper
def forward_block(x, w, packed, channels, first, last, begin, end, y):
    """Channels begin .. end of pixels first .. last: DEPTH floats of their windows at a time."""
    size = window_size(w)
    room = scratch(BLOCK * PITCH + SIZE)
    columns, spare = part(room, SIZE), part(room, 0)
    ahead, tiles = (new_input(w, last), new_input(w, 2 * last - first)), 0
    for start in range(0, size, DEPTH):
        depth = min(DEPTH, size - start)
        copy_windows(x, w, first, last, start, start + depth, columns, PITCH)
        for c in range(begin, end, WIDE_COLUMNS):
            # the rows from `start` of panel c / 16; the next panel lies a panel further
            panel, gap = c * size + start * COLUMNS, size * COLUMNS
            wide = is_wide(end - c)
            for p in range(first, last, rows_of(wide)):
                if start == 0:  # later slices of the window would prefetch the same input again
                    prefetch_share(x, *ahead, tiles, number_of_tiles(last - first, end - begin))
                    tiles += 1
                row, at = (p - first) * PITCH, p * channels + c
                if wide:
                    tile = multiply_wide(columns, row, packed, panel, gap, depth)
                    write_wide(tile, y, at, channels, last - p, channels - c, start > 0, spare)
                else:
                    tile = multiply(columns, row, packed, panel, depth)
                    write(tile, y, at, channels, last - p, channels - c, start > 0, spare)
    keep(room)


@helper
def number_of_tiles(rows, columns):
    """The most register tiles of a result of this size; of wide ones there may be fewer."""
    return (rows + ROWS - 1) // ROWS * ((columns + COLUMNS - 1) // COLUMNS)


@helper
def new_input(w, pixel):
    """About the first float of the input that no window before this output pixel's covers.

    The window of the row above covers all but the last `stride` rows of this pixel's window.
    """
    image, row, col = position(w, pixel)
    row = row * w.stride - w.padding + w.kernel_rows - w.stride
    at = ((image * w.height + row) * w.width + col * w.stride) * w.channels
    return min(at, w.images * w.height * w.width * w.channels)


# ------------------------------------------------------------------------ input gradient


@parallel_kernel
def input_grad_kernel(grad, w, packed, channels, images, finish, dx):
    """A chunk is some images: windows overlap within an image."""
    work, size = divided((w.images + images - 1) // images), w.height * w.width
    for thread in prange(len(work)):
        for chunk in dealt(work, thread):
            first, last = chunk * images, min((chunk + 1) * images, w.images)
            room = room_for(pointer(dx), images * size * w.channels)
            sums = sums_of(pointer(dx), pointer(room), first * size * w.channels)
            clear_images(sums, w, first, last)
            begin, end = first * w.rows * w.cols, last * w.rows * w.cols
            for p in range(begin, end, BLOCK):
                stop = min(p + BLOCK, end)
                input_grad_block(grad_pointers(grad), w, pointer(packed), channels, p, stop, sums)
            place = first * size, last * size, 0, w.channels
            finish_chunk(finish, chunk, sums, pointer(dx), w.channels, *place)
            keep(room)


@helper
def input_grad_block(grad, w, packed, channels, first, last, dx):
    """Make the gradient columns of pixels first .. last, DEPTH floats at a time; add them to dx."""
    size, panel = window_size(w), BLOCK * COLUMNS
    room = scratch(BLOCK * (round_up(channels, COLUMNS) + PITCH))
    columns, grads = part(room, 0), part(room, BLOCK * PITCH)
    copy_grads(grad, channels, 0, channels, first, last, grads, BLOCK)
    for start in range(0, size, DEPTH):
        stop = min(start + DEPTH, size)
        for k in range(start, stop, WIDE_COLUMNS):
            wide, gap = is_wide(stop - k), channels * COLUMNS
            for p in range(0, last - first, rows_of(wide)):
                # row p, column k of the slice; row p of dy's panels; panel k / 16 of the weight
                to, row, at = p * PITCH + k - start, p * COLUMNS, k * channels
                store_product(
                    wide, columns, to, PITCH, COLUMNS, grads, row, panel, packed, at, gap, channels
                )
        add_windows(columns, PITCH, w, first, last, start, stop, dx)
    keep(room)


@helper
def copy_grads(grad, channels, begin, end, first, last, grads, block):
    """Pack channels begin .. end of pixels first .. last of a gradient, `block` rows a panel."""
    for c in range(begin, end, LANES):
        lanes, panel = channels - c, (c - begin) // COLUMNS * block
        terms = grad_terms(grad, c, lanes)
        for p in range(first, last):
            run = factor_of_grad(grad, terms, p * channels + c, lanes, True)
            store(run, grads, (panel + p - first) * COLUMNS + c % COLUMNS)


# ------------------------------------------------------------------------ weight gradient


@parallel_kernel
def weight_grad_kernel(x, w, grad, channels, rows, groups, size, parts):
    """A chunk is a block of the weight in one partial sum, over that sum's share of the pixels."""
    blocks, count = (pixels(w) + size - 1) // max(1, size), len(parts)
    work = divided(count * rows * groups)
    for thread in prange(len(work)):
        for chunk in dealt(work, thread):
            i, place = divmod(chunk, rows * groups)
            begin, end = share(place // groups, rows, window_size(w), COLUMNS)
            c_begin, c_end = share(place % groups, groups, channels, WIDE_COLUMNS)
            block, stop = i * blocks // count, (i + 1) * blocks // count
            for b in range(block, max(stop, block + 1)):  # a share without pixels writes zeros
                first, last = b * size, min(pixels(w), (b + 1) * size)
                weight_grad_block(
                    pointer(x),
                    w,
                    begin,
                    end,
                    grad_pointers(grad),
                    channels,
                    c_begin,
                    c_end,
                    first,
                    last,
                    b == block,
                    pointer(parts[i]),
                )


@helper
def share(i, count, size, unit):
    """`(begin, end)` of the i-th of `count` shares of 0 .. size, cut at multiples of `unit`."""
    units = (size + unit - 1) // unit
    return i * units // count * unit, min(size, (i + 1) * units // count * unit)


@helper
def weight_grad_block(x, w, begin, end, grad, channels, c_begin, c_end, first, last, fresh, total):
    """Add products of columns begin .. end and channels c_begin .. c_end of dy to a partial sum.

    A `fresh` sum is overwritten. The next block's x and dy are prefetched meanwhile.
    """
    depth = round_up(window_size(w), COLUMNS)
    room = scratch(LONG_BLOCK * (PITCH + WIDTH))
    columns, grads = part(room, 0), part(room, LONG_BLOCK * PITCH)
    copy_windows(x, w, first, last, begin, end, columns, PITCH)
    gap, panel = depth * COLUMNS, LONG_BLOCK * COLUMNS
    end_ahead, done = min(2 * last - first, pixels(w)), 0
    x_ahead, dy_ahead = (new_input(w, last), new_input(w, end_ahead)), last * channels
    tiles = number_of_tiles(end - begin, c_end - c_begin)
    for c in range(c_begin, c_end, WIDE_COLUMNS):
        if (c - c_begin) % WIDTH == 0:
            stop = min(c + WIDTH, channels)
            copy_grads(grad, channels, c, stop, first, last, grads, LONG_BLOCK)
        at, wide = (c - c_begin) % WIDTH * LONG_BLOCK, is_wide(c_end - c)
        for k in range(begin, end, rows_of(wide)):
            prefetch_share(x, *x_ahead, done, tiles)
            prefetch_grads(grad, dy_ahead, end_ahead * channels, done, tiles)
            done += 1
            # row k of panel c / 16 of the partial sum, which has `depth` rows
            to, count = c * depth + k * COLUMNS, last - first
            add_transposed(
                wide, fresh, total, to, gap, columns, k - begin, PITCH, grads, at, panel, count
            )
    keep(room)


@parallel_kernel
def sum_kernel(parts, channels, run, dweight):
    """Add the partial sums in order; a chunk is a row of the weight.

    The weight has depth / run runs of `run` rows. In a partial sum every run is padded to a
    multiple of 16 rows, since tiles are whole: `row` counts with the padding.
    """
    depth, padded = len(dweight) // channels, round_up(run, COLUMNS)
    work = divided(depth)
    for thread in prange(len(work)):
        for k in dealt(work, thread):
            row = k // run * padded + k % run
            for c in range(0, channels, LANES):
                at = (c // COLUMNS * (depth // run) * padded + row) * COLUMNS + c % COLUMNS
                store_lanes(
                    sum_of_parts(parts, at), pointer(dweight), k * channels + c, channels - c
                )
