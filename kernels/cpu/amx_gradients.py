"""Both gradients of a convolution on tiles, from one strip of dy; see `amx.py`.

    dx        the strip of dy, as a map, times the turned weight (`amx_convolution.py`)
    dweight   for each tap  x, moved by the tap (b)  and  dy, transposed (a): sums over positions

In the strip of dy the positions between pixels are zeros. So the sums over all positions of a strip
are those over its pixels, and a tap moves x by a constant. Pairs of neighbouring positions of x are
interleaved twice, from even and from odd positions on: a tap needs the one or the other.

The sums of dweight are partial ones, over fixed ranges of chunks; they are added in order.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from ..backward_link import BackwardLink
from ..dtypes import bfloat16
from .amx import (
    DEPTH,
    EDGE,
    PAIRS,
    SUMS,
    add_045,
    add_146,
    add_247,
    add_345,
    configure,
    copy_pair,
    load0,
    load1,
    load2,
    load3,
    load4,
    load5,
    load6,
    load7,
    release,
    store0,
    store1,
    store2,
    store3,
    transpose,
)
from .amx_convolution import (
    GROUP,
    multiplies_pairs,
    multiply_strip,
    packed_weight,
    shapes,
    turned,
)
from .batch_norm import mask_and_sum
from .compiling import LANES, helper, parallel_kernel
from .dealing import dealt, divided
from .dots import add_unit
from .finish import adding, typed
from .memory import NO_BITS, Array, Ints, Shape, empty, flat, scratch
from .operands import (
    Input,
    MaskAndSum,
    OutputGrad,
    flat_grad,
    flat_input,
    grad_pointers,
    input_pointers,
    mask_pointers,
)
from .partial_sums import at_most, sum_of_parts
from .simd import (
    keep,
    pointer,
    store,
)
from .strips import (
    chunk_place,
    fill_with_grad,
    fill_with_input,
    images_of_chunk,
    strip,
)
from .tile import round_up
from .window import by_shape, fill_zero, window


def makes_both(weight_shape: Shape, stride: int, padding: int) -> bool:
    """Whether `conv2d_grads` can: strips of x and dy must have the same positions."""
    rows, cols = weight_shape[:2]
    alike = stride == 1 and rows == cols == 2 * padding + 1
    return alike and multiplies_pairs(weight_shape, stride, padding)


def conv2d_grads(
    grad: OutputGrad,
    source: Input,
    weight: Array | None,
    weight_shape: Shape,
    *,
    add_to: Array | None = None,
    link: BackwardLink | None = None,
) -> tuple[Array, Array]:
    """`(dx, dweight)`, see `makes_both`; dx, with `add_to` added, only if the weight is given.

    With the `link` of the operation that made the input, dx is masked and its sums are gathered
    while it is in cache.
    """
    kernel_size, padding, x_shape = weight_shape[:2], weight_shape[0] // 2, source.x.shape
    channels, images = weight_shape[3], images_of_grads(x_shape)
    w = window(x_shape, kernel_size, 1, padding)
    turned_w = window(grad.dy.shape, kernel_size, 1, padding)
    strips = strip(w, images), strip(turned_w, images)
    starts = grad_starts(x_shape)
    parts = empty((number_of_parts(x_shape, part_size(weight_shape)), part_size(weight_shape)))
    dx = empty(x_shape if weight is not None else (0,), bfloat16())
    packed = NO_BITS if weight is None else packed_weight(turned(weight))
    mask = MaskAndSum(NO_BITS)
    if link:
        mask = MaskAndSum(flat(link.z), link.mean, True)
    sums = np.zeros((2, len(starts) - 1 if link else 0, x_shape[3]))
    operands = flat_input(source), w, flat_grad(grad), turned_w, *strips
    finish = typed(adding(add_to), dx)
    grads_kernel(*operands, packed, finish, flat(dx), parts, mask, starts, sums, shapes())
    dweight = empty(weight_shape)
    sum_kernel(parts, *weight_shape[:3], channels, dweight.reshape(-1))
    if link:
        link.put(dx, sums.sum(1))
    return dx, dweight


@by_shape
def images_of_grads(x_shape: Shape) -> int:
    """Images of a chunk of `conv2d_grads`."""
    return images_of_chunk(x_shape[0], x_shape[1] * x_shape[2] * x_shape[3])


@by_shape
def grad_starts(x_shape: Shape) -> Ints:
    """The pixel of dx that each chunk of `conv2d_grads` starts at, and one past the last."""
    firsts = np.arange(0, x_shape[0], images_of_grads(x_shape))
    return np.append(firsts, x_shape[0]) * (x_shape[1] * x_shape[2])


def part_size(weight_shape: Shape) -> int:
    """Floats of a partial sum of dweight: whole tiles."""
    rows, cols, depth, channels = weight_shape
    return rows * cols * -(-depth // EDGE) * -(-channels // EDGE) * SUMS


def number_of_parts(x_shape: Shape, size: int) -> int:
    """As many as Winograd's algorithm has, whose parts are four times as large."""
    chunks = len(grad_starts(x_shape)) - 1
    return max(1, min(at_most(4 * size), chunks))


# ------------------------------------------------------------------------ kernels


@parallel_kernel
def grads_kernel(
    source, w, grad, turned_w, s, turned_s, packed, finish, dx, parts, mask, starts, sums, shapes
):
    """A part is a range of chunks of whole images, and has a partial sum of dweight."""
    count, total = len(starts) - 1, len(parts)
    work = divided(total)
    for thread in prange(len(work)):
        for part in dealt(work, thread):
            to = pointer(parts[part])
            fill_zero(to, 0, parts.shape[1])
            for chunk in range(part * count // total, (part + 1) * count // total):
                image, images, row, rows = chunk_place(w, s, chunk)
                place = image, images, row, rows
                room = scratch((s.size + turned_s.size) // 2).view(np.uint16)
                x, dy = pointer(room), pointer(room[s.size :])
                fill_with_grad(grad_pointers(grad), turned_w, turned_s, image, images, row, dy)
                if len(dx) > 0:
                    bits = pointer(packed)
                    multiply_strip(
                        dy, turned_w, turned_s, place, bits, w.channels, finish, shapes, dx
                    )
                if mask.wanted:
                    mask_and_sum(
                        pointer(dx),
                        input_pointers(source),
                        mask_pointers(mask),
                        w.channels,
                        starts[chunk],
                        starts[chunk + 1],
                        sums[0, chunk],
                        sums[1, chunk],
                    )
                fill_with_input(input_pointers(source), w, s, image, images, row, x)
                add_weight_grads(x, dy, w, s, turned_w.channels, images, shapes, to)
                keep(room)


@helper
def add_weight_grads(x, dy, w, s, channels, images, shapes, total):
    """Add the products of all positions of a strip to a partial sum."""
    blocks = (images * s.lines * s.pitch + DEPTH - 1) // DEPTH  # of 32 positions
    width = round_up(w.channels, EDGE)
    reach = (w.kernel_rows - 1) * s.pitch + w.kernel_cols  # of the taps
    pairs = blocks * EDGE + reach // 2 + 1
    a_size, b_size = blocks * round_up(channels, EDGE) * DEPTH, pairs * width * 2
    room = scratch((a_size + 2 * b_size) // 2).view(np.uint16)
    a, even, odd = pointer(room), pointer(room[a_size:]), pointer(room[a_size + b_size :])
    first = w.padding * (s.pitch + 1)  # the first pixel of dy
    for c in range(0, channels, EDGE):
        for block in range(blocks):
            at = (first + block * DEPTH) * channels + c
            transpose(dy, at, channels, a, (c // EDGE * blocks + block) * PAIRS)
    last = s.size // w.channels - 2  # a position whose right neighbour exists
    pair_up(x, w.channels, 0, last, pairs, even)
    if reach > 1:
        pair_up(x, w.channels, 1, last, pairs, odd)
    if shapes is not None:
        configure(shapes)
    units, to = w.kernel_cols * (width // EDGE), 0
    for c in range(0, channels, EDGE):
        for i in range(w.kernel_rows):
            for unit in range(0, units, GROUP):
                taps = i * s.pitch, unit, min(GROUP, units - unit)
                row = c // EDGE * blocks * PAIRS
                if shapes is None:
                    add_units(a, row, blocks, even, b_size, width, taps, total, to)
                else:
                    add_group(a, row, blocks, even, b_size, width, taps, total, to)
                to += taps[2] * SUMS
    if shapes is not None:
        release()
    keep(room)


@helper
def pair_up(x, channels, first, last, pairs, to):
    """Interleave positions first and first + 1, the next two, and so on; all that exist."""
    width = round_up(channels, EDGE)
    for k in range(pairs):
        at = min(first + 2 * k, last) * channels
        for c in range(0, channels, EDGE):
            copy_pair(x, at + c, at + channels + c, to, (k * width + c) * 2)


@helper
def unit_place(unit, taps, width, b_size):
    """Where the pairs of a unit begin: of a tap, and 16 channels of x."""
    position = taps[0] + unit // (width // EDGE)
    c = unit % (width // EDGE) * EDGE
    return position % 2 * b_size + (position // 2 * width + c) * 2


@helper
def add_units(a, at, blocks, b, b_size, width, taps, total, to):
    """`add_group` on vectors."""
    for k in range(taps[2]):
        first = unit_place(taps[1] + k, taps, width, b_size)
        add_unit(a, at, blocks, b, first, width, total, to + k * SUMS)


@helper
def add_group(a, at, blocks, b, b_size, width, taps, total, to):
    """Add up to four tiles, of 16 channels of dy and as many units, to a partial sum."""
    _, unit, count = taps
    first = unit_place(unit, taps, width, b_size)
    second = unit_place(unit + min(1, count - 1), taps, width, b_size)
    third = unit_place(unit + min(2, count - 1), taps, width, b_size)
    fourth = unit_place(unit + count - 1, taps, width, b_size)
    step, apart = 2 * width, EDGE * 2 * width
    load0(total, to, EDGE)
    if count > 1:
        load1(total, to + SUMS, EDGE)
    if count > 2:
        load2(total, to + 2 * SUMS, EDGE)
    if count > 3:
        load3(total, to + 3 * SUMS, EDGE)
    for block in range(blocks):
        load4(a, at + block * PAIRS, DEPTH)
        load5(b, first + block * apart, step)
        add_045()
        if count > 1:
            load6(b, second + block * apart, step)
            add_146()
        if count > 2:
            load7(b, third + block * apart, step)
            add_247()
        if count > 3:
            load5(b, fourth + block * apart, step)
            add_345()
    store0(total, to, EDGE)
    if count > 1:
        store1(total, to + SUMS, EDGE)
    if count > 2:
        store2(total, to + 2 * SUMS, EDGE)
    if count > 3:
        store3(total, to + 3 * SUMS, EDGE)


@parallel_kernel
def sum_kernel(parts, rows, cols, depth, channels, dweight):
    """Add the partial sums in order, tile by tile, and transpose: a chunk is a kernel row."""
    blocks = (depth + EDGE - 1) // EDGE
    work = divided((channels + EDGE - 1) // EDGE * rows)
    for thread in prange(len(work)):
        for line in dealt(work, thread):
            c, i = line // rows * EDGE, line % rows
            room = scratch(SUMS)
            for unit in range(cols * blocks):
                for k in range(0, SUMS, LANES):
                    at = (line * cols * blocks + unit) * SUMS + k
                    store(sum_of_parts(parts, at), pointer(room), k)
                j, d = unit // blocks, unit % blocks * EDGE
                for x in range(min(EDGE, depth - d)):
                    to = ((i * cols + j) * depth + d + x) * channels + c
                    for y in range(min(EDGE, channels - c)):
                        dweight[to + y] = room[y * EDGE + x]
            keep(room)
