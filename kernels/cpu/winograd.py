"""Winograd's convolution F(4x4, 3x3): a quarter of the multiplications, for 3 x 3 at stride 1.

A 4 x 4 tile of output pixels depends on 6 x 6 input pixels. Polynomial interpolation at the points
0, 1, -1, 2, -2 and infinity turns the sliding sum into products at 36 "frequencies":

    Y = A.T [ (G g G.T) * (B.T d B) ] A        g: 3 x 3 weight, d: 6 x 6 input, Y: 4 x 4 output

Summed over input channels, each frequency is a matrix product, tiles x C_in by C_in x C_out:

    x --B.T d B--> V[36][tiles, C_in] --@ U[36][C_in, C_out]--> M[36][tiles, C_out] --A.T m A--> y

Multiplications per output pixel and pair of channels: 36 / 16 = 2.25 instead of 9; the transforms
cost about 10 additions per pixel and channel each way. A block of tiles goes through all three
steps while V and M stay in the L2 cache; memory sees x, y and U only. The products prefetch the
cache lines that this block will write and the next block will read: a store to a line outside the
cache waits for it. Of the 36 products each one prefetches an equal share.

The backward pass uses the transposed steps, and dM serves both gradients. Each frequency gives the
weight's, summed over all tiles, and the input's, whose tiles overlap and are added:

    dM = A dy A.T        dU += V.T @ dM,  dg = G.T dU G        dV = dM @ U.T,  dx += B dV B.T

Rounding: the transforms multiply by up to 8, and large terms cancel. So errors are 10 to 20 times
those of a plain float32 sum (root mean square: 3e-6 of the values' at 16 to 64 channels), which
does not affect training. Source: Lavin & Gray 2015, "Fast algorithms for convolutional neural
networks", sec. 4.3. With tiles of 2 x 2, forward alone: `kernels/ladder/conv6_winograd.py`.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from ..backward_link import BackwardLink
from .batch_norm import mask_and_sum
from .compiling import helper, parallel_kernel
from .dealing import dealt, divided
from .finish import NOTHING, Finish, finish_chunk, typed
from .memory import NO_FLOATS, Array, Ints, Shape, empty, flat, no_map, part, scratch
from .operands import (
    Input,
    MaskAndSum,
    OutputGrad,
    flat_grad,
    flat_input,
    grad_pointers,
    input_pointers,
    mask_pointers,
    prefetch_grads,
)
from .packing import as_factor, once_for_constants
from .partial_sums import at_most, sum_of_parts
from .simd import LANES, keep, pointer, rounds, store
from .sums import move, room_for, round_sums, sums_of
from .tile import (
    COLUMNS,
    ROWS,
    WIDE_COLUMNS,
    add_transposed,
    is_wide,
    round_up,
    rows_of,
    store_product,
)
from .transforms import (
    BLOCK,
    EDGE,
    FREQUENCIES,
    TILE,
    add_input_grad,
    exchange,
    place,
    tiles_across,
    tiles_down,
    transform_input,
    transform_output,
    transform_output_grad,
    transform_weight,
    transform_weight_grad,
)
from .window import Window, by_shape, fill_zero, prefetch_share, window

# Floats between frequencies. A transform writes to all 36 matrices; at a distance of whole
# multiples of 2 KB their lines would share few sets of the cache, so each lies one line further.
SKEW = 16


# ------------------------------------------------------------------------ the public calls


def conv2d(source: Input, weight: Array, *, padding: int = 1, finish: Finish = NOTHING) -> Array:
    w = window(source.x.shape, (3, 3), 1, padding)
    channels = weight.shape[3]
    y = empty((w.images, w.rows, w.cols, channels), source.x.dtype)
    u = transformed(weight, y.dtype)
    forward_kernel(flat_input(source), w, u, channels, typed(finish, y), flat(y))
    return y


@by_shape
def chunk_starts(w: Window) -> Ints:
    """The output pixel that each chunk of `conv2d` starts at, and one past the last."""
    strips = np.arange(
        0, w.images * tiles_down.py_func(w), strips_in_chunk.py_func(tiles_across.py_func(w))
    )
    image, row = np.divmod(strips, tiles_down.py_func(w))
    return np.append((image * w.rows + row * TILE) * w.cols, w.images * w.rows * w.cols)


def conv2d_grads(
    grad: OutputGrad,
    source: Input | None,
    weight: Array | None,
    *,
    x_shape: Shape,
    padding: int = 1,
    add_to: Array | None = None,
    link: BackwardLink | None = None,
) -> tuple[Array, Array]:
    """`(dx, dweight)`: dx if the weight is given, dweight if the input is, else empty.

    If `add_to` is given, dx is added to it and is that array. With the `link` of the operation that
    made the input, dx is masked and its sums are gathered while it is in cache.
    """
    w = window(x_shape, (3, 3), 1, padding)
    channels = grad.dy.shape[3]
    rows = round_up.py_func(w.channels, ROWS)
    size = 0 if source is None else part_size(w.channels, channels)
    parts = empty((number_of_parts(w, size), size))
    dtype = grad.dy.dtype
    u, dx = NO_FLOATS, empty((0,), dtype)
    if weight is not None:
        u = transformed_exchanged(as_factor(weight, dtype))
        dx = empty(x_shape, dtype) if add_to is None else add_to
    mask = MaskAndSum(no_map(dtype))
    if link:
        mask = MaskAndSum(flat(link.z), link.mean, True)
    starts = sum_starts(w, len(parts))
    sums = np.zeros((2, len(starts) if link else 0, w.channels))  # empty blocks are not visited
    grads_kernel(
        flat_input(source or Input(empty((0,), dtype))),
        w,
        flat_grad(grad),
        u,
        channels,
        add_to is not None,
        flat(dx),
        parts,
        mask,
        starts,
        sums,
    )
    dweight = weight_grad(parts, rows, w.channels, channels) if parts.size else NO_FLOATS
    if link:
        link.put(dx, sums.sum(1))
    return dx, dweight


@once_for_constants
def transformed(weight: Array) -> Array:
    """U = G g G.T of every pair of channels, in panels of 16 output channels."""
    depth, channels = weight.shape[2:]
    u = empty((FREQUENCIES * weight_step.py_func(depth, round_up.py_func(channels, COLUMNS)),))
    weight_kernel(weight.ravel(), depth, channels, u)
    return u


def transformed_exchanged(weight: Array) -> Array:
    """The same with input and output channels exchanged, in panels of 16 input channels."""
    channels, depth = weight.shape[2:]
    u = empty((FREQUENCIES * weight_step.py_func(depth, round_up.py_func(channels, COLUMNS)),))
    exchanged_weight_kernel(weight.ravel(), depth, channels, u)
    return u


def weight_grad(parts: Array, rows: int, depth: int, channels: int) -> Array:
    """Add the partial sums in order and transform them back."""
    dweight = empty((3, 3, depth, channels))
    weight_grad_kernel(parts, rows, channels, dweight.reshape(-1))
    return dweight


def number_of_tiles(w: Window) -> int:
    return w.images * tiles_down.py_func(w) * tiles_across.py_func(w)


@by_shape
def part_size(depth: int, channels: int) -> int:
    rows, width = round_up.py_func(depth, ROWS), round_up.py_func(channels, COLUMNS)
    return FREQUENCIES * weight_step.py_func(rows, width)


@by_shape
def number_of_parts(w: Window, size: int) -> int:
    """The number of ranges of images in the backward pass, each with a partial sum.

    A power of two, as batches are: then parts have equally many whole blocks. A part has at least
    a block's tiles, since every block reads the whole weight.
    """
    most = min(w.images, at_most(size), number_of_tiles(w) // BLOCK)
    return 1 << max(0, most.bit_length() - 1)


@by_shape
def sum_starts(w: Window, parts: int) -> Ints:
    """The pixel before which dx is complete when a block begins, for all blocks and parts.

    All parts have the same number of blocks; some may be empty.
    """
    across, down = tiles_across.py_func(w), tiles_down.py_func(w)
    ends = np.arange(parts + 1) * w.images // parts * (across * down)
    blocks = np.arange(0, max(1, np.diff(ends).max()), BLOCK)
    tiles = np.minimum(ends[:-1, None] + blocks, ends[1:, None])
    image, strip = np.divmod(np.append(tiles, ends[-1]) // across, down)
    row = np.minimum(np.maximum(strip * TILE - w.padding, 0), w.height)
    return (image * w.height + row) * w.width


# ------------------------------------------------------------------------ forward


@helper
def strips_in_chunk(across):
    """A strip is a row of tiles; a chunk is the strips that fill a block: its pixels are a run."""
    return max(1, BLOCK // across)


@helper
def first_pixel(w, strip):
    """The first output pixel of a strip; strips count through all images."""
    image, row = divmod(strip, tiles_down(w))
    return (image * w.rows + row * TILE) * w.cols


@parallel_kernel
def forward_kernel(source, w, u, channels, finish, y):
    """Transform, multiply, transform back and finish, chunk by chunk."""
    strips, step = w.images * tiles_down(w), strips_in_chunk(tiles_across(w))
    work = divided((strips + step - 1) // step)
    for thread in prange(len(work)):
        for chunk in dealt(work, thread):
            first, last = chunk * step, min(strips, (chunk + 1) * step)
            pixels = first_pixel(w, first), first_pixel(w, last)
            room = room_for(pointer(y), (pixels[1] - pixels[0]) * channels)
            sums = sums_of(pointer(y), pointer(room), pixels[0] * channels)
            end, operands = last * tiles_across(w), (input_pointers(source), w, pointer(u))
            for tile in range(first * tiles_across(w), end, BLOCK):
                count = min(BLOCK, end - tile)
                forward_block(*operands, channels, tile, count, pointer(y), sums)
            finish_chunk(finish, chunk, sums, pointer(y), channels, *pixels, 0, channels)
            keep(room)


@helper
def forward_block(source, w, u, channels, first, count, y, sums):
    """Transform, 36 products, transform back, for `count` tiles from `first`."""
    width = round_up(channels, COLUMNS)
    v_step, m_step = frequency_step(w.channels), frequency_step(channels)
    room = scratch(FREQUENCIES * (v_step + m_step + LANES))
    v, m = part(room, 0), part(room, FREQUENCIES * v_step)
    spare = part(room, FREQUENCIES * (v_step + m_step))
    for t in range(count):
        transform_input(source, w, first + t, v, t, v_step, spare)
    ahead, here = input_range(w, first + BLOCK), output_range(w, first, channels)
    for f in range(FREQUENCIES):
        prefetch_share(source.x, *ahead, f, FREQUENCIES)
        prefetch_share(y, *here, f, FREQUENCIES)
        panel = f * weight_step(w.channels, width)
        multiply_tiles(v, f * v_step, w.channels, u, panel, width, count, m, f * m_step)
    for t in range(count):
        transform_output(m, t, m_step, w, first + t, channels, sums, spare)
    keep(room)


@helper
def frequency_step(channels):
    return BLOCK * round_up(channels, COLUMNS) + SKEW


@helper
def weight_step(rows, width):
    return rows * width + SKEW


@helper
def multiply_tiles(a, i, depth, b, j, width, count, c, k):
    """c = a @ b in panels: of BLOCK rows in a and c, of `depth` rows in b (see `tile.py`)."""
    panel = BLOCK * COLUMNS
    for n in range(0, width, WIDE_COLUMNS):
        to, at, gap, wide = k + n * BLOCK, j + n * depth, depth * COLUMNS, is_wide(width - n)
        for t in range(0, count, rows_of(wide)):
            row = t * COLUMNS
            store_product(wide, c, to + row, COLUMNS, panel, a, i + row, panel, b, at, gap, depth)


@helper
def input_range(w, tile):
    """About `(first, last)` of the input that a block of tiles is the first to read.

    Its strips' share of the rows, 2 lower: the strip before has read a tile's first two rows.
    """
    line = w.width * w.channels
    strip, last = tile // tiles_across(w), (tile + BLOCK) // tiles_across(w)
    first = (strip * w.height // tiles_down(w) + 2) * line
    end = (last * w.height // tiles_down(w) + 2) * line
    return first, min(end, w.images * w.height * line)


@helper
def reached(w, tile):
    """Floats of dx up to the last row to which the strips before `tile` add; the rest is fresh."""
    strips = (tile + tiles_across(w) - 1) // tiles_across(w)
    image, strip = divmod(strips, tiles_down(w))
    rows = strip * TILE - w.padding + EDGE - TILE if strip > 0 else 0
    return (image * w.height + min(rows, w.height)) * w.width * w.channels


@helper
def room_size(w):
    """The most sums of dx that are not yet whole, or become so in a block: its strips and rows."""
    return (BLOCK // tiles_across(w) + 3) * EDGE * w.width * w.channels


@helper
def output_range(w, tile, channels):
    """About `(first, last)` of the floats of the output under a block of tiles from `tile`."""
    strips = w.images * tiles_down(w)
    first = first_pixel(w, min(strips, tile // tiles_across(w)))
    last = first_pixel(w, min(strips, (tile + BLOCK) // tiles_across(w)))
    return first * channels, last * channels


@parallel_kernel
def weight_kernel(weight, depth, channels, u):
    """U = G g G.T, for every pair of channels, in panels of 16; a chunk is an input channel."""
    width = round_up(channels, COLUMNS)
    work = divided(depth)
    for thread in prange(len(work)):
        for k in dealt(work, thread):
            room = scratch(3 * EDGE * LANES)
            for c in range(0, width, LANES):
                place = u_place(k, c, depth, width)
                transform_weight(
                    pointer(weight), k, c, depth, channels, pointer(u), *place, pointer(room)
                )
            keep(room)


@parallel_kernel
def exchanged_weight_kernel(weight, depth, channels, u):
    """The same for a weight (3, 3, channels, depth); a chunk is a run of 16 of `depth`."""
    width = round_up(channels, COLUMNS)
    work = divided((depth + COLUMNS - 1) // COLUMNS)
    for thread in prange(len(work)):
        for chunk in dealt(work, thread):
            first, count = chunk * COLUMNS, min(COLUMNS, depth - chunk * COLUMNS)
            room = scratch((3 * EDGE + 9 * COLUMNS) * LANES)
            spare, taps = pointer(room), part(room, 3 * EDGE * LANES)
            for c in range(0, width, LANES):
                exchange(pointer(weight), c, first, channels, depth, count, taps)
                for k in range(count):
                    place = u_place(first + k, c, depth, width)
                    transform_weight(taps, k, 0, COLUMNS, LANES, pointer(u), *place, spare)
            keep(room)


@helper
def u_place(k, c, depth, width):
    """Index of U of input channel k and output channels from c, and the step of the frequencies."""
    panel = c // COLUMNS * depth * COLUMNS
    return panel + k * COLUMNS + c % COLUMNS, weight_step(depth, width)


# ------------------------------------------------------------------------ backward


@parallel_kernel
def grads_kernel(source, w, grad, u, channels, add, dx, parts, mask, starts, sums):
    """A chunk is a range of images: their part of dx, and a partial sum of dU."""
    tiles, count = tiles_across(w) * tiles_down(w), len(parts)
    work = divided(count)
    for thread in prange(len(work)):
        for i in dealt(work, thread):
            begin, end = i * w.images // count * tiles, (i + 1) * w.images // count * tiles
            stop = max(end, begin + 1)  # a part without tiles writes zeros
            operands = input_pointers(source), w, grad_pointers(grad), pointer(u), channels
            room = room_for(pointer(dx), room_size(w))
            for tile in range(begin, stop, BLOCK):
                block = i * ((len(starts) - 1) // count) + (tile - begin) // BLOCK
                chunk = starts[block], starts[block + 1]
                so_far = sums_of(pointer(dx), pointer(room), chunk[0] * w.channels)
                place = tile, min(BLOCK, end - tile), len(dx) > 0, add, pointer(dx), so_far
                total = parts.size > 0, tile == begin, pointer(parts[i])
                grads_block(*operands, *place, *total, mask_pointers(mask))
                if len(dx) > 0 and rounds(pointer(dx)):
                    first, last = chunk[0] * w.channels, chunk[1] * w.channels
                    round_sums(so_far, first, last, add, pointer(dx))
                    move(so_far, last, reached(w, min(tile + BLOCK, end)), pointer(room))
                if mask.wanted:
                    gathered = w.channels, *chunk, sums[0, block], sums[1, block]
                    mask_and_sum(
                        pointer(dx), input_pointers(source), mask_pointers(mask), *gathered
                    )
            keep(room)


@helper
def grads_block(
    source, w, grad, u, channels, first, count, want_dx, add, dx, sums, want, fresh, total, mask
):
    """Add both gradients of `count` tiles from `first` to the sums of dx and to the partial sum."""
    v_step, d_step = frequency_step(w.channels), frequency_step(channels)
    room = scratch(FREQUENCIES * (v_step + d_step + LANES))
    v, d = part(room, 0), part(room, FREQUENCIES * v_step)
    spare = part(room, FREQUENCIES * (v_step + d_step))
    for t in range(count):
        transform_output_grad(grad, w, first + t, channels, d, t, d_step, spare)
    if want:
        for t in range(count):
            transform_input(source, w, first + t, v, t, v_step, spare)
        ahead = output_range(w, first + BLOCK, channels)
        add_weight_grads(grad, *ahead, v, w.channels, d, channels, count, fresh, total)
    if want_dx:
        ahead, here = input_range(w, first + BLOCK), input_range(w, first)
        input_grads(source.x, *ahead, dx, *here, mask, d, channels, u, count, v, w.channels)
        if rounds(dx) or not add:
            begin, end = reached(w, first), reached(w, first + count)
            fill_zero(sums, begin, end - begin)
        for t in range(count):
            add_input_grad(v, t, v_step, w, first + t, sums, spare)
    keep(room)


@helper
def add_weight_grads(grad, begin, end, v, depth, d, channels, count, fresh, total):
    """dU += V.T @ dM at every frequency; meanwhile the next block's gradients are prefetched."""
    rows, width = round_up(depth, ROWS), round_up(channels, COLUMNS)
    for f in range(FREQUENCIES):
        prefetch_grads(grad, begin, end, f, FREQUENCIES)
        for c in range(0, width, WIDE_COLUMNS):
            b = f * frequency_step(channels) + place(0, c)
            wide = is_wide(width - c)
            for k in range(0, rows, rows_of(wide)):
                at, gap = f * weight_step(rows, width) + c * rows + k * COLUMNS, rows * COLUMNS
                a = v, f * frequency_step(depth) + place(0, k), COLUMNS
                add_transposed(wide, fresh, total, at, gap, *a, d, b, BLOCK * COLUMNS, count)


@helper
def input_grads(x, begin, end, dx, dx_begin, dx_end, mask, d, channels, u, count, v, depth):
    """dV = dM @ U.T at every frequency; dV overwrites V."""
    for f in range(FREQUENCIES):
        prefetch_share(x, begin, end, f, FREQUENCIES)
        prefetch_share(dx, dx_begin, dx_end, f, FREQUENCIES)
        if mask.wanted:
            prefetch_share(mask.z, dx_begin, dx_end, f, FREQUENCIES)
        width, at = round_up(depth, COLUMNS), f * frequency_step(channels)
        panel, to = f * weight_step(channels, width), f * frequency_step(depth)
        multiply_tiles(d, at, channels, u, panel, width, count, v, to)


@parallel_kernel
def weight_grad_kernel(parts, rows, channels, dweight):
    """dg = G.T dU G from the partial sums; a chunk is an input channel."""
    depth = len(dweight) // (9 * channels)
    width = round_up(channels, COLUMNS)
    work = divided(depth)
    for thread in prange(len(work)):
        for k in dealt(work, thread):
            room = scratch(FREQUENCIES * (width + LANES))
            grad, spare = pointer(room), part(room, FREQUENCIES * width)
            for f in range(FREQUENCIES):
                for c in range(0, width, LANES):
                    row = f * weight_step(rows, width) + (c // COLUMNS * rows + k) * COLUMNS
                    store(sum_of_parts(parts, row + c % COLUMNS), grad, f * width + c)
            for c in range(0, channels, LANES):
                target = (k * channels + c, depth * channels)
                transform_weight_grad(grad, c, width, pointer(dweight), target, channels - c, spare)
            keep(room)
