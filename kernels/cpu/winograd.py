"""Winograd's convolution F(4x4, 3x3): a quarter of the multiplications, for 3 x 3 at stride 1.

A 4 x 4 tile of output pixels depends on 6 x 6 input pixels. Polynomial interpolation at the points
0, 1, -1, 2, -2 and infinity turns the sliding sum over them into products at 36 "frequencies":

    Y = A.T [ (G g G.T) * (B.T d B) ] A        g: 3 x 3 weight, d: 6 x 6 input, Y: 4 x 4 output

and summed over input channels each frequency is one matrix product, tiles x C_in by C_in x C_out:

    x --B.T d B--> V[36][tiles, C_in] --@ U[36][C_in, C_out]--> M[36][tiles, C_out] --A.T m A--> y

Multiplications per output pixel and pair of channels: 36 / 16 = 2.25 instead of 9; the transforms
cost some 10 additions per pixel and channel each way. A block of tiles is taken through all three
steps while V and M stay in the L2 cache; memory sees x, y and U only.

Backward. The input gradient is the convolution of dy with the weight turned by 180 degrees. The
weight gradient runs the arrows the other way: dM = A dy A.T, dU = V.T @ dM at each frequency,
summed over all tiles, and dg = G.T dU G.

Rounding: the transforms multiply by up to 8 and cancel again, so that results are off by 10 to 20
times as much as those of a plain float32 sum (root mean square; 3e-6 of the values' own at 16 to
64 channels). Training does not notice; gradient checks run in float64, on the reference. Source:
Lavin & Gray 2015, "Fast algorithms for convolutional neural networks", sec. 4.3: their matrices.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .compiling import helper, parallel_kernel
from .memory import Array, empty, part, scratch
from .simd import (
    LANES,
    broadcast,
    fma,
    keep,
    load,
    load_lanes,
    pointer,
    store,
    store_lanes,
)
from .tile import COLUMNS, ROWS, load_tile, multiply, round_up, store_tile, zero_tile
from .window import Window, fill_zero, window

TILE = 4  # output pixels a side
EDGE = 6  # input pixels a side
FREQUENCIES = EDGE * EDGE
BLOCK = 24  # tiles taken through all steps together
MAX_PARTS = 8  # partial sums of a weight gradient
SKEW = 16  # floats between frequencies: keeps the 36 streams out of each other's cache sets


# ------------------------------------------------------------------------ the public calls


def conv2d(x: Array, weight: Array, *, padding: int = 1) -> Array:
    """3 x 3 convolution at stride 1."""
    w = window(x.shape, (3, 3), 1, padding)
    channels = weight.shape[3]
    y = empty((w.images, w.rows, w.cols, channels))
    transformed = empty((FREQUENCIES * round_up.py_func(channels, COLUMNS) * w.channels,))
    weight_kernel(weight.ravel(), w.channels, channels, transformed)
    forward_kernel(x.ravel(), w, transformed, channels, y.reshape(-1))
    return y


def conv2d_input_grad(dy: Array, weight: Array, *, padding: int = 1) -> Array:
    """The convolution of dy with the weight turned by 180 degrees, channels exchanged."""
    turned = np.ascontiguousarray(weight[::-1, ::-1].transpose(0, 1, 3, 2))
    return conv2d(dy, turned, padding=2 - padding)


def conv2d_weight_grad(dy: Array, x: Array, *, padding: int = 1) -> Array:
    """Sums over fixed parts of the tiles, added in order in float64, transformed back."""
    w = window(x.shape, (3, 3), 1, padding)
    channels = dy.shape[3]
    rows = round_up.py_func(w.channels, ROWS)
    count = number_of_parts(w)
    parts = empty((count, FREQUENCIES * rows * round_up.py_func(channels, COLUMNS)))
    weight_grad_kernel(x.ravel(), w, dy.ravel(), channels, parts)
    dweight = empty((3, 3, w.channels, channels))
    weight_grad_back_kernel(parts, rows, channels, dweight.reshape(-1))
    return dweight


def number_of_parts(w: Window) -> int:
    """How many partial sums a weight gradient is made of."""
    return max(1, min(-(-tiles.py_func(w) // BLOCK), MAX_PARTS))


@helper
def tiles(w):
    """Tiles of all images."""
    return w.images * ((w.rows + TILE - 1) // TILE) * ((w.cols + TILE - 1) // TILE)


@helper
def tile_origin(w, tile):
    """`(image, row, column)` of a tile's first output pixel."""
    across = (w.cols + TILE - 1) // TILE
    down = (w.rows + TILE - 1) // TILE
    row, col = divmod(tile, across)
    image, row = divmod(row, down)
    return image, row * TILE, col * TILE


# ------------------------------------------------------------------------ transforms in 1-D


@helper
def input_transform(d0, d1, d2, d3, d4, d5):
    """Six values by B.T."""
    two, four = broadcast(np.float32(2)), broadcast(np.float32(4))
    minus_four, minus_five = broadcast(np.float32(-4)), broadcast(np.float32(-5))
    even, odd = fma(minus_four, d2, d4), fma(minus_four, d1, d3)
    near, far = d4 - d2, two * (d3 - d1)
    first = fma(four, d0, fma(minus_five, d2, d4))
    last = fma(four, d1, fma(minus_five, d3, d5))
    return first, even + odd, even - odd, near + far, near - far, last


@helper
def output_transform(m0, m1, m2, m3, m4, m5):
    """Six values by A.T: four."""
    two, four, eight = (
        broadcast(np.float32(2)),
        broadcast(np.float32(4)),
        broadcast(np.float32(8)),
    )
    near, far = m1 + m2, m3 + m4
    tilt, lean = m1 - m2, m3 - m4
    return m0 + near + far, fma(two, lean, tilt), fma(four, far, near), fma(eight, lean, tilt) + m5


@helper
def output_grad_transform(y0, y1, y2, y3):
    """Four values by A: six."""
    two, four, eight = (
        broadcast(np.float32(2)),
        broadcast(np.float32(4)),
        broadcast(np.float32(8)),
    )
    even, odd = y0 + y2, y1 + y3
    far, lean = fma(four, y2, y0), fma(eight, y3, two * y1)
    return y0, even + odd, even - odd, far + lean, far - lean, y3


@helper
def weight_transform(g0, g1, g2):
    """Three values by G: six."""
    quarter, sixth, twelfth = (
        broadcast(np.float32(1 / 4)),
        broadcast(np.float32(1 / 6)),
        broadcast(np.float32(1 / 12)),
    )
    near, middle = sixth * (g0 + g2), sixth * g1
    far, lean = fma(quarter * sixth, g0, sixth * g2), twelfth * g1
    zero = broadcast(np.float32(0))
    return quarter * g0, zero - near - middle, middle - near, far + lean, far - lean, g2


@helper
def weight_grad_transform(u0, u1, u2, u3, u4, u5):
    """Six values by G.T: three."""
    quarter, sixth, twelfth = (
        broadcast(np.float32(1 / 4)),
        broadcast(np.float32(1 / 6)),
        broadcast(np.float32(1 / 12)),
    )
    near, far = sixth * (u1 + u2), sixth * (u3 + u4)
    first = fma(quarter, u0 + far, broadcast(np.float32(0)) - near)
    return first, fma(sixth, u2 - u1, twelfth * (u3 - u4)), far - near + u5


# ------------------------------------------------------------------------ transforms in 2-D


@helper
def load_inside(x, at, lanes, exists):
    """A vector of a pixel, or zeros where the pixel lies in the padding."""
    if exists:
        return load_lanes(x, at, lanes)
    return broadcast(np.float32(0))


@helper
def transform_input(x, w, tile, v, at, step, spare):
    """V of one tile: frequency f goes to v[at + f * step : ... + channels]."""
    image, row, col = tile_origin(w, tile)
    row, col = row - w.padding, col - w.padding
    line = w.width * w.channels
    start = image * w.height * line + row * line + col * w.channels
    inner = row >= 0 and col >= 0 and row + EDGE <= w.height and col + EDGE <= w.width
    for c in range(0, w.channels, LANES):
        lanes = w.channels - c
        for j in range(EDGE):
            here = start + j * w.channels + c
            if inner and lanes >= LANES:
                column = input_transform(
                    load(x, here),
                    load(x, here + line),
                    load(x, here + 2 * line),
                    load(x, here + 3 * line),
                    load(x, here + 4 * line),
                    load(x, here + 5 * line),
                )
            else:
                across = 0 <= col + j < w.width
                column = input_transform(
                    load_inside(x, here, lanes, across and 0 <= row < w.height),
                    load_inside(x, here + line, lanes, across and 0 <= row + 1 < w.height),
                    load_inside(x, here + 2 * line, lanes, across and 0 <= row + 2 < w.height),
                    load_inside(x, here + 3 * line, lanes, across and 0 <= row + 3 < w.height),
                    load_inside(x, here + 4 * line, lanes, across and 0 <= row + 4 < w.height),
                    load_inside(x, here + 5 * line, lanes, across and 0 <= row + 5 < w.height),
                )
            store_six(column, spare, j * LANES, EDGE * LANES)
        for i in range(EDGE):
            t = i * EDGE * LANES
            store_six(
                input_transform(*load_six(spare, t, LANES)), v, at + i * EDGE * step + c, step
            )


@helper
def load_six(array, at, step):
    """Six vectors, `step` elements apart."""
    return (
        load(array, at),
        load(array, at + step),
        load(array, at + 2 * step),
        load(array, at + 3 * step),
        load(array, at + 4 * step),
        load(array, at + 5 * step),
    )


@helper
def store_six(values, array, at, step):
    """Write six vectors, `step` elements apart."""
    store(values[0], array, at)
    store(values[1], array, at + step)
    store(values[2], array, at + 2 * step)
    store(values[3], array, at + 3 * step)
    store(values[4], array, at + 4 * step)
    store(values[5], array, at + 5 * step)


@helper
def transform_output(m, at, step, w, tile, channels, y, spare):
    """Four by four pixels of y from M of one tile."""
    image, row, col = tile_origin(w, tile)
    rows, cols = min(TILE, w.rows - row), min(TILE, w.cols - col)
    line = w.cols * channels
    start = image * w.rows * line + row * line + col * channels
    for c in range(0, channels, LANES):
        for j in range(EDGE):
            column = output_transform(*load_six(m, at + j * step + c, EDGE * step))
            store(column[0], spare, j * LANES)
            store(column[1], spare, (EDGE + j) * LANES)
            store(column[2], spare, (2 * EDGE + j) * LANES)
            store(column[3], spare, (3 * EDGE + j) * LANES)
        for i in range(rows):
            result = output_transform(*load_six(spare, i * EDGE * LANES, LANES))
            here, lanes = start + i * line + c, channels - c
            store_lanes(result[0], y, here, lanes)
            if cols > 1:
                store_lanes(result[1], y, here + channels, lanes)
            if cols > 2:
                store_lanes(result[2], y, here + 2 * channels, lanes)
            if cols > 3:
                store_lanes(result[3], y, here + 3 * channels, lanes)


@helper
def transform_output_grad(dy, w, tile, channels, d, at, step, spare):
    """dM of one tile: frequency f goes to d[at + f * step : ... + channels]."""
    image, row, col = tile_origin(w, tile)
    rows, cols = w.rows - row, w.cols - col
    line = w.cols * channels
    start = image * w.rows * line + row * line + col * channels
    for c in range(0, channels, LANES):
        lanes = channels - c
        for j in range(TILE):
            here = start + j * channels + c
            column = output_grad_transform(
                load_inside(dy, here, lanes, j < cols),
                load_inside(dy, here + line, lanes, j < cols and rows > 1),
                load_inside(dy, here + 2 * line, lanes, j < cols and rows > 2),
                load_inside(dy, here + 3 * line, lanes, j < cols and rows > 3),
            )
            store_six(column, spare, j * LANES, TILE * LANES)
        for i in range(EDGE):
            t = i * TILE * LANES
            result = output_grad_transform(
                load(spare, t),
                load(spare, t + LANES),
                load(spare, t + 2 * LANES),
                load(spare, t + 3 * LANES),
            )
            store_six(result, d, at + i * EDGE * step + c, step)


@helper
def transform_weight(weight, k, c, depth, channels, u, at, step, spare):
    """U of input channel k and LANES output channels from c."""
    line, lanes = 3 * depth * channels, channels - c
    for j in range(3):
        here = (j * depth + k) * channels + c
        column = weight_transform(
            load_inside(weight, here, lanes, lanes > 0),
            load_inside(weight, here + line, lanes, lanes > 0),
            load_inside(weight, here + 2 * line, lanes, lanes > 0),
        )
        store_six(column, spare, j * LANES, 3 * LANES)
    for i in range(EDGE):
        t = i * 3 * LANES
        three = load(spare, t), load(spare, t + LANES), load(spare, t + 2 * LANES)
        store_six(weight_transform(*three), u, at + i * EDGE * step, step)


@helper
def transform_weight_grad(u, at, step, dweight, target, lanes, spare):
    """Gradient of LANES output channels of a weight; `target` is (first, distance of taps)."""
    for j in range(EDGE):
        column = weight_grad_transform(*load_six(u, at + j * step, EDGE * step))
        store(column[0], spare, j * LANES)
        store(column[1], spare, (EDGE + j) * LANES)
        store(column[2], spare, (2 * EDGE + j) * LANES)
    for i in range(3):
        row = weight_grad_transform(*load_six(spare, i * EDGE * LANES, LANES))
        here = target[0] + 3 * i * target[1]
        store_lanes(row[0], dweight, here, lanes)
        store_lanes(row[1], dweight, here + target[1], lanes)
        store_lanes(row[2], dweight, here + 2 * target[1], lanes)


# ------------------------------------------------------------------------ kernels


@parallel_kernel
def weight_kernel(weight, depth, channels, u):
    """U = G g G.T, for every pair of channels, in panels of 16; a chunk is an input channel."""
    panel = depth * COLUMNS
    step = (channels + COLUMNS - 1) // COLUMNS * panel
    for k in prange(depth):
        room = scratch(3 * EDGE * LANES)
        for c in range(0, step // depth, LANES):
            at = c // COLUMNS * panel + k * COLUMNS + c % COLUMNS
            transform_weight(
                pointer(weight), k, c, depth, channels, pointer(u), at, step, pointer(room)
            )
        keep(room)


@parallel_kernel
def forward_kernel(x, w, u, channels, y):
    """A chunk is a block of tiles."""
    for i in prange((tiles(w) + BLOCK - 1) // BLOCK):
        forward_block(pointer(x), w, pointer(u), channels, i * BLOCK, pointer(y))


@helper
def forward_block(x, w, u, channels, first, y):
    """Transform, 36 products, transform back: BLOCK tiles from `first`."""
    depth = round_up(w.channels, LANES)
    width = round_up(channels, COLUMNS)
    v_step, m_step = BLOCK * depth + SKEW, BLOCK * width + SKEW
    room = scratch(FREQUENCIES * (v_step + m_step + LANES))
    v, m = part(room, 0), part(room, FREQUENCIES * v_step)
    spare = part(room, FREQUENCIES * (v_step + m_step))
    count = min(BLOCK, tiles(w) - first)
    for t in range(count):
        transform_input(x, w, first + t, v, t * depth, v_step, spare)
    for f in range(FREQUENCIES):
        for c in range(0, width, COLUMNS):
            panel = (f * width + c) * w.channels
            for t in range(0, count, ROWS):
                a = f * v_step + t * depth
                tile = multiply(zero_tile(), v, a, depth, 1, u, panel, COLUMNS, w.channels)
                store_tile(tile, m, f * m_step + t * width + c, width)
    for t in range(count):
        transform_output(m, t * width, m_step, w, first + t, channels, y, spare)
    keep(room)


@parallel_kernel
def weight_grad_kernel(x, w, dy, channels, parts):
    """A chunk is one partial sum."""
    blocks = (tiles(w) + BLOCK - 1) // BLOCK
    count = len(parts)
    for i in prange(count):
        total = pointer(parts[i])
        fill_zero(total, 0, parts.shape[1])
        for b in range(i * blocks // count, (i + 1) * blocks // count):
            weight_grad_block(pointer(x), w, pointer(dy), channels, b * BLOCK, total)


@helper
def weight_grad_block(x, w, dy, channels, first, total):
    """Add V.T @ dM of BLOCK tiles from `first` to a partial sum."""
    depth = round_up(w.channels, LANES)
    width = round_up(channels, COLUMNS)
    rows = round_up(w.channels, ROWS)
    v_step, d_step = BLOCK * depth + SKEW, BLOCK * width + SKEW
    room = scratch(FREQUENCIES * (v_step + d_step + LANES))
    v, d = part(room, 0), part(room, FREQUENCIES * v_step)
    spare = part(room, FREQUENCIES * (v_step + d_step))
    count = min(BLOCK, tiles(w) - first)
    for t in range(count):
        transform_input(x, w, first + t, v, t * depth, v_step, spare)
        transform_output_grad(dy, w, first + t, channels, d, t * width, d_step, spare)
    for f in range(FREQUENCIES):
        for k in range(0, rows, ROWS):
            for c in range(0, width, COLUMNS):
                at = (f * rows + k) * width + c
                tile = load_tile(total, at, width)
                a, b = f * v_step + k, f * d_step + c
                tile = multiply(tile, v, a, 1, depth, d, b, width, count)
                store_tile(tile, total, at, width)
    keep(room)


@parallel_kernel
def weight_grad_back_kernel(parts, rows, channels, dweight):
    """dg = G.T dU G from the partial sums; a chunk is an input channel."""
    depth = len(dweight) // (9 * channels)
    width = parts.shape[1] // (FREQUENCIES * rows)
    for k in prange(depth):
        room = scratch(FREQUENCIES * (width + LANES))
        grad, spare = pointer(room), part(room, FREQUENCIES * width)
        for f in range(FREQUENCIES):
            sum_in_order(parts, (f * rows + k) * width, width, grad, f * width)
        for c in range(0, channels, LANES):
            target = (k * channels + c, depth * channels)
            transform_weight_grad(grad, c, width, pointer(dweight), target, channels - c, spare)
        keep(room)


@helper
def sum_in_order(parts, at, width, target, to):
    """Add `width` floats of all parts, in float64."""
    for c in range(width):
        total = 0.0
        for i in range(len(parts)):
            total += parts[i, at + c]
        target[to + c] = np.float32(total)
