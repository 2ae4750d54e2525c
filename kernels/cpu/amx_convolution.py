"""Convolutions and their gradients on tiles, for maps in bfloat16; `amx.py` shows how.

Without tiles `dots.py` multiplies; then there are no `shapes` to configure.

A chunk is a strip of the map (`strips.py`). While it is in cache, its convolution is multiplied,
finished (`finish.py`) and rounded. The gradients of the weight are made in `amx_gradients.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from ..dtypes import bfloat16
from . import amx, dots
from .amx import (
    DEPTH,
    EDGE,
    PAIRS,
    SHAPES,
    SUMS,
    add_046,
    add_047,
    add_147,
    add_157,
    add_256,
    add_267,
    add_347,
    add_357,
    configure,
    load4,
    load5,
    load6,
    load7,
    release,
    store0,
    store1,
    store2,
    store3,
    store_pair,
    zero0,
    zero1,
    zero2,
    zero3,
)
from .batch_norm import chunk_moments
from .compiling import LANES, helper, kernel, parallel_kernel
from .dealing import dealt, divided
from .dots import multiply_positions
from .finish import Finish, adding, finished, norm_terms, typed
from .memory import Array, Ints, Shape, empty, flat, scratch
from .operands import (
    Input,
    OutputGrad,
    flat_grad,
    flat_input,
    grad_pointers,
    input_pointers,
)
from .packing import once_for_constants
from .simd import (
    broadcast,
    keep,
    load,
    load_lanes,
    pointer,
    prefetch,
    prefetch_to_write,
    store_lanes,
)
from .strips import (
    chunk_place,
    fill_with_grad,
    fill_with_input,
    first_pixels,
    phases,
    run_start,
    steps,
    strip,
)
from .window import Window, by_shape, turned_window, window

GROUP = 4  # tiles of sums side by side
BLOCK = GROUP * EDGE  # positions that get all their channels, one cache line of each after another


# ------------------------------------------------------------------------ the calls


def shapes() -> Any:
    """What each thread configures its tiles with; None where vectors multiply pairs instead."""
    return None if amx.why_not() else SHAPES


def possible(weight_shape: Shape, stride: int, padding: int) -> bool:
    """Whether pairs are multiplied, and the border is no wider than windows reach over it."""
    return padding < min(weight_shape[:2]) and multiplies_pairs(weight_shape, stride, padding)


def multiplies_pairs(weight_shape: Shape, stride: int, padding: int) -> bool:
    """Whether on tiles or by dots, that is."""
    if amx.why_not():
        return not dots.why_not() and dots.are_fastest(weight_shape, stride, padding)
    return True


def conv2d(source: Input, weight: Array, stride: int, padding: int, finish: Finish) -> Array:
    """The convolution of a map; `finish` is applied to each chunk of the result."""
    w = window(source.x.shape, weight.shape[:2], stride, padding)
    y = empty((w.images, w.rows, w.cols, weight.shape[3]), bfloat16())
    packed, finish = packed_weight(weight), typed(finish, y)
    forward_kernel(flat_input(source), w, strip(w), packed, finish, shapes(), flat(y))
    return y


@by_shape
def chunk_starts(w: Window) -> Ints:
    """The output pixel that each chunk of `conv2d` starts at, and one past the last."""
    return first_pixels(w, strip(w))


@once_for_constants
def packed_weight(weight: Array) -> Array:
    """A weight as tiles, rounded: [C_out / 16][kernel row][its run / 32][16 pairs][16][2]."""
    rows, cols, depth, channels = weight.shape
    run = cols * depth
    size = -(-channels // EDGE) * rows * -(-run // DEPTH) * PAIRS
    packed = empty((size,), np.dtype(np.uint16))
    pack_kernel(np.ascontiguousarray(weight).reshape(-1), rows, run, channels, packed)
    return packed


def turned(weight: Array) -> Array:
    """The weight of the input gradient: rotated by 180 degrees, channels exchanged."""
    return weight[::-1, ::-1].transpose(0, 1, 3, 2)


def conv2d_input_grad(
    grad: OutputGrad, weight: Array, x_shape: Shape, padding: int, add_to: Array | None = None
) -> Array:
    """At stride 1 a convolution of dy; what is pending is applied in its strips."""
    w = turned_window(grad.dy.shape, weight.shape, 1, padding)
    dx = empty(x_shape, bfloat16())
    finish = typed(adding(add_to), dx)
    settings = strip(w), packed_weight(turned(weight)), finish, shapes()
    input_grad_kernel(flat_grad(grad), w, *settings, flat(dx))
    return dx


# ------------------------------------------------------------------------ weights


@kernel
def pack_kernel(weight, rows, run, channels, packed):
    """Interleave pairs of rows; zeros stand for rows and columns that do not exist."""
    to = 0
    for c in range(0, channels, EDGE):
        for i in range(rows):
            for q in range(0, run, DEPTH):
                for k in range(q, q + DEPTH, 2):
                    lower = weight_row(pointer(weight), i, k, run, channels, c)
                    upper = weight_row(pointer(weight), i, k + 1, run, channels, c)
                    store_pair(lower, upper, pointer(packed), to)
                    to += DEPTH


@helper
def weight_row(weight, i, k, run, channels, c):
    """Row k of kernel row i, the columns from c."""
    if k >= run:
        return broadcast(np.float32(0))
    return load_lanes(weight, (i * run + k) * channels + c, channels - c)


# ------------------------------------------------------------------------ products


@parallel_kernel
def forward_kernel(source, w, s, packed, finish, shapes, y):
    channels = len(y) // (w.images * w.rows * w.cols)
    work = divided(chunks(w, s))
    for thread in prange(len(work)):
        for chunk in dealt(work, thread):
            image, images, row, rows = chunk_place(w, s, chunk)
            room = scratch(phases(w) * s.size // 2).view(np.uint16)
            fill_with_input(input_pointers(source), w, s, image, images, row, pointer(room))
            place = image, images, row, rows
            multiply_strip(pointer(room), w, s, place, pointer(packed), channels, finish, shapes, y)
            keep(room)
            if finish.moments:
                first = (image * w.rows + row) * w.cols
                last = first + images * rows * w.cols
                place, z = (channels, first, last), pointer(y)
                for c in range(0, channels, LANES):
                    chunk_moments(z, z, *place, c, finish.means[chunk], finish.squares[chunk])


@parallel_kernel
def input_grad_kernel(grad, w, s, packed, finish, shapes, dx):
    channels = len(dx) // (w.images * w.rows * w.cols)
    work = divided(chunks(w, s))
    for thread in prange(len(work)):
        for chunk in dealt(work, thread):
            image, images, row, rows = chunk_place(w, s, chunk)
            room = scratch(phases(w) * s.size // 2).view(np.uint16)
            fill_with_grad(grad_pointers(grad), w, s, image, images, row, pointer(room))
            place = image, images, row, rows
            multiply_strip(
                pointer(room), w, s, place, pointer(packed), channels, finish, shapes, dx
            )
            keep(room)


@helper
def chunks(w, s):
    return w.images * s.parts if s.parts > 1 else (w.images + s.images - 1) // s.images


@helper
def multiply_strip(strip, w, s, place, packed, channels, finish, shapes, y):
    """The windows of a strip times a weight, finished and rounded."""
    room = scratch(GROUP * SUMS)
    sums, positions = pointer(room), place[1] * s.lines * (s.pitch // w.stride)
    tile = w.kernel_rows * steps(w) * PAIRS  # of the weight, for 16 channels
    if shapes is not None:
        configure(shapes)
    for start in range(0, positions, BLOCK):
        end = min(start + BLOCK, positions)
        for c in range(0, channels, 2 * EDGE):
            at, wide = c // EDGE * tile, min(2, (channels - c + EDGE - 1) // EDGE)
            tall = GROUP // wide
            for p in range(start, end, tall * EDGE):
                left = min(tall * EDGE, end - p)
                count = (left + EDGE - 1) // EDGE
                if shapes is None:
                    multiply_positions(strip, w, s, p, left, wide, packed, at, tile, sums)
                elif wide == 1:
                    multiply_column(strip, w, s, p, count, packed, at, sums)
                else:
                    multiply_square(strip, w, s, p, count, packed, at, tile, sums)
                for t in range(count * wide):
                    position, first = p + t // wide * EDGE, c + t % wide * EDGE
                    store_pixels(
                        sums, t * SUMS, w, s, place, position, finish, first, channels, pointer(y)
                    )
    if shapes is not None:
        release()
    keep(room)


@helper
def zero_sums():
    zero0()
    zero1()
    zero2()
    zero3()


@helper
def store_sums(sums):
    store0(sums, 0, EDGE)
    store1(sums, SUMS, EDGE)
    store2(sums, 2 * SUMS, EDGE)
    store3(sums, 3 * SUMS, EDGE)


@helper
def multiply_column(strip, w, s, p, count, packed, at, sums):
    """The sums of up to four tiles of 16 positions from p, and 16 channels of the weight."""
    step = w.stride * w.channels
    apart = EDGE * step
    zero_sums()
    for i in range(w.kernel_rows):
        run = run_start(w, s, i, p)
        for _ in range(steps(w)):
            load7(packed, at, DEPTH)
            load4(strip, run, step)
            add_047()
            if count > 1:
                load5(strip, run + apart, step)
                add_157()
            if count > 2:
                load6(strip, run + 2 * apart, step)
                add_267()
            if count > 3:
                load4(strip, run + 3 * apart, step)
                add_347()
            at += PAIRS
            run += DEPTH
    store_sums(sums)


@helper
def multiply_square(strip, w, s, p, count, packed, at, tile, sums):
    """Those of up to two tiles of positions, and 32 channels: each tile loaded serves twice."""
    step = w.stride * w.channels
    zero_sums()
    for i in range(w.kernel_rows):
        run = run_start(w, s, i, p)
        for _ in range(steps(w)):
            load6(packed, at, DEPTH)
            load7(packed, at + tile, DEPTH)
            load4(strip, run, step)
            add_046()
            add_147()
            if count > 1:
                load5(strip, run + EDGE * step, step)
                add_256()
                add_357()
            at += PAIRS
            run += DEPTH
    store_sums(sums)


@helper
def store_pixels(sums, at, w, s, place, position, finish, c, channels, y):
    """Finish 16 sums of channels from c, round them and write those that belong to pixels."""
    first, images, first_row, rows = place
    pitch, lanes = s.pitch // w.stride, channels - c
    line, col = divmod(position, pitch)
    image, row = divmod(line, s.lines)
    terms, k = norm_terms(finish, c, lanes), 0
    while k < EDGE:
        if col < w.cols and row < rows and image < images:
            count = min(EDGE - k, w.cols - col)
            pixel = ((first + image) * w.rows + first_row + row) * w.cols + col
            for q in range(count):
                value, to = load(sums, at + (k + q) * EDGE), (pixel + q) * channels + c
                prefetch_to_write(y, to + 2 * EDGE)  # the next cache line is next in turn
                if finish.has_residual:
                    prefetch(pointer(finish.residual), to + 2 * EDGE)
                store_lanes(finished(value, finish, terms, to, lanes), y, to, lanes)
        else:
            count = min(EDGE - k, pitch - col)
        k, col = k + count, col + count
        if col >= pitch:
            col, row = 0, row + 1
            if row == s.lines:
                row, image = 0, image + 1
