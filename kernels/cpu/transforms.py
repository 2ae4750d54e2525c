"""Winograd's transforms: between pixels and the 36 frequencies of a tile; see `winograd.py`.

There is a matrix of tiles x channels for each frequency. It lies in panels of 16 channels, as
`tile.py` reads it, so that rows are 16 elements apart for any number of channels: element (t, c) is
at `place(t, c)`. The frequencies' matrices are `step` elements apart.

A two-dimensional transform is the one-dimensional one along the columns, then along the rows.
`spare` holds the columns' results: value i of column j is vector i * EDGE + j, so the second pass
reads a row as six neighbouring vectors. Every helper handles LANES channels of one tile at a time.

The interpolation points come in pairs, 1 and -1, 2 and -2. The two results of a pair are the sum
and the difference of an even part and an odd part, and each part is computed once. The transposed
transforms first take the sum and the difference of a pair. So the transforms are written out, not
multiplied as matrices.

The matrices are those of Lavin & Gray 2015, "Fast algorithms for convolutional neural networks",
sec. 4.3; gradients use their transposes.
"""

from __future__ import annotations

import numpy as np

from .compiling import helper
from .operands import factor_of_grad, factor_of_input, grad_terms, input_terms
from .simd import LANES, broadcast, fma, load, load_lanes, store, store_lanes
from .tile import COLUMNS

BLOCK = 32  # tiles that go through all steps together
TILE = 4  # output pixels on a side
EDGE = 6  # input pixels on a side
FREQUENCIES = EDGE * EDGE


@helper
def tiles_across(w):
    return (w.cols + TILE - 1) // TILE


@helper
def tiles_down(w):
    return (w.rows + TILE - 1) // TILE


@helper
def tile_origin(w, tile):
    """`(image, row, column)` of a tile's first output pixel."""
    row, col = divmod(tile, tiles_across(w))
    image, row = divmod(row, tiles_down(w))
    return image, row * TILE, col * TILE


@helper
def place(t, c):
    """Index of channel `c` of tile `t` of a block, in panels of BLOCK rows x 16 channels."""
    return c // COLUMNS * (BLOCK * COLUMNS) + t * COLUMNS + c % COLUMNS


# ------------------------------------------------------------------------ in one dimension


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
def input_grad_transform(v0, v1, v2, v3, v4, v5):
    """Six values by B."""
    two, four = broadcast(np.float32(2)), broadcast(np.float32(4))
    minus_four, minus_five = broadcast(np.float32(-4)), broadcast(np.float32(-5))
    near, far = v1 + v2, v3 + v4
    tilt, lean = v2 - v1, v4 - v3
    second = fma(four, tilt + v5, two * lean)
    third = fma(minus_five, v0, fma(minus_four, near, broadcast(np.float32(0)) - far))
    fourth = fma(minus_five, v5, broadcast(np.float32(0)) - fma(two, lean, tilt))
    return four * v0, second, third, fourth, v0 + near + far, v5


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


# ------------------------------------------------------------------------ in two dimensions


@helper
def transform_input(source, w, tile, v, t, step, spare):
    """V of one tile, number t of the block: frequency f goes to v[f * step + place(t, c)].

    Padding is read as zeros. A tile inside the image takes the first branch, without checks.
    """
    image, row, col = tile_origin(w, tile)
    row, col = row - w.padding, col - w.padding
    line = w.width * w.channels
    start = image * w.height * line + row * line + col * w.channels
    down = row >= 0 and row + EDGE <= w.height
    for c in range(0, w.channels, LANES):
        lanes = w.channels - c
        terms = input_terms(source, c, lanes)
        for j in range(EDGE):
            here = start + j * w.channels + c
            across = 0 <= col + j < w.width
            if down and across and lanes >= LANES:
                column = input_transform(
                    factor_of_input(source, terms, here, LANES, True),
                    factor_of_input(source, terms, here + line, LANES, True),
                    factor_of_input(source, terms, here + 2 * line, LANES, True),
                    factor_of_input(source, terms, here + 3 * line, LANES, True),
                    factor_of_input(source, terms, here + 4 * line, LANES, True),
                    factor_of_input(source, terms, here + 5 * line, LANES, True),
                )
            else:
                column = input_transform(
                    factor_of_input(source, terms, here, lanes, across and 0 <= row < w.height),
                    factor_of_input(
                        source, terms, here + line, lanes, across and 0 <= row + 1 < w.height
                    ),
                    factor_of_input(
                        source, terms, here + 2 * line, lanes, across and 0 <= row + 2 < w.height
                    ),
                    factor_of_input(
                        source, terms, here + 3 * line, lanes, across and 0 <= row + 3 < w.height
                    ),
                    factor_of_input(
                        source, terms, here + 4 * line, lanes, across and 0 <= row + 4 < w.height
                    ),
                    factor_of_input(
                        source, terms, here + 5 * line, lanes, across and 0 <= row + 5 < w.height
                    ),
                )
            store_six(column, spare, j * LANES, EDGE * LANES)
        for i in range(EDGE):
            row_of_six = input_transform(*load_six(spare, i * EDGE * LANES, LANES))
            store_six(row_of_six, v, i * EDGE * step + place(t, c), step)


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
def transform_output(m, t, step, w, tile, channels, y, spare):
    """Write 4 x 4 pixels of y from M of one tile; those beyond the edge are left out."""
    image, row, col = tile_origin(w, tile)
    rows, cols = min(TILE, w.rows - row), min(TILE, w.cols - col)
    line = w.cols * channels
    start = image * w.rows * line + row * line + col * channels
    for c in range(0, channels, LANES):
        for j in range(EDGE):
            column = output_transform(*load_six(m, place(t, c) + j * step, EDGE * step))
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
def add_input_grad(v, t, step, w, tile, dx, spare):
    """Add the gradient of one tile's input, from dV, to dx, since tiles overlap by two pixels."""
    image, row, col = tile_origin(w, tile)
    row, col = row - w.padding, col - w.padding
    line = w.width * w.channels
    start = image * w.height * line + row * line + col * w.channels
    first, last = max(0, -row), min(EDGE, w.height - row)
    across = col >= 0 and col + EDGE <= w.width
    for c in range(0, w.channels, LANES):
        lanes = w.channels - c
        for j in range(EDGE):
            column = input_grad_transform(*load_six(v, place(t, c) + j * step, EDGE * step))
            store_six(column, spare, j * LANES, EDGE * LANES)
        for i in range(first, last):
            grads = input_grad_transform(*load_six(spare, i * EDGE * LANES, LANES))
            here = start + i * line + c
            if across and lanes >= LANES:
                add_six(grads, dx, here, w.channels)
            else:
                add_inside(grads[0], dx, here, lanes, 0 <= col < w.width)
                add_inside(grads[1], dx, here + w.channels, lanes, 0 <= col + 1 < w.width)
                add_inside(grads[2], dx, here + 2 * w.channels, lanes, 0 <= col + 2 < w.width)
                add_inside(grads[3], dx, here + 3 * w.channels, lanes, 0 <= col + 3 < w.width)
                add_inside(grads[4], dx, here + 4 * w.channels, lanes, 0 <= col + 4 < w.width)
                add_inside(grads[5], dx, here + 5 * w.channels, lanes, 0 <= col + 5 < w.width)


@helper
def add_six(values, array, at, step):
    """Add six vectors to what lies there, `step` elements apart."""
    old = load_six(array, at, step)
    store(old[0] + values[0], array, at)
    store(old[1] + values[1], array, at + step)
    store(old[2] + values[2], array, at + 2 * step)
    store(old[3] + values[3], array, at + 3 * step)
    store(old[4] + values[4], array, at + 4 * step)
    store(old[5] + values[5], array, at + 5 * step)


@helper
def add_inside(value, dx, at, lanes, exists):
    """Add to a pixel, unless it lies in the padding."""
    if exists:
        store_lanes(load_lanes(dx, at, lanes) + value, dx, at, lanes)


@helper
def transform_output_grad(grad, w, tile, channels, d, t, step, spare):
    """dM of one tile, number t of the block: frequency f goes to d[f * step + place(t, c)]."""
    image, row, col = tile_origin(w, tile)
    rows, cols = w.rows - row, w.cols - col
    line = w.cols * channels
    start = image * w.rows * line + row * line + col * channels
    for c in range(0, channels, LANES):
        lanes = channels - c
        terms = grad_terms(grad, c, lanes)
        for j in range(TILE):
            here = start + j * channels + c
            column = output_grad_transform(
                factor_of_grad(grad, terms, here, lanes, j < cols),
                factor_of_grad(grad, terms, here + line, lanes, j < cols and rows > 1),
                factor_of_grad(grad, terms, here + 2 * line, lanes, j < cols and rows > 2),
                factor_of_grad(grad, terms, here + 3 * line, lanes, j < cols and rows > 3),
            )
            store_six(column, spare, j * LANES, TILE * LANES)
        for i in range(EDGE):
            four = i * TILE * LANES
            result = output_grad_transform(
                load(spare, four),
                load(spare, four + LANES),
                load(spare, four + 2 * LANES),
                load(spare, four + 3 * LANES),
            )
            store_six(result, d, i * EDGE * step + place(t, c), step)


@helper
def transform_weight(weight, k, c, depth, channels, u, at, step, spare):
    """U of input channel k and LANES output channels from c; zeros beyond the last channel."""
    line, lanes = 3 * depth * channels, channels - c
    for j in range(3):
        here = (j * depth + k) * channels + c
        column = weight_transform(
            load_weight(weight, here, lanes),
            load_weight(weight, here + line, lanes),
            load_weight(weight, here + 2 * line, lanes),
        )
        store_six(column, spare, j * LANES, 3 * LANES)
    for i in range(EDGE):
        t = i * 3 * LANES
        three = load(spare, t), load(spare, t + LANES), load(spare, t + 2 * LANES)
        store_six(weight_transform(*three), u, at + i * EDGE * step, step)


@helper
def exchange(weight, c, k, channels, depth, count, taps):
    """Copy LANES rows from c and `count` columns from k of each tap (channels, depth), transposed.

    `taps` becomes a small weight of COLUMNS input and LANES output channels; rows beyond the last
    are zeros.
    """
    for tap in range(9):
        for i in range(LANES):
            row = (tap * channels + c + i) * depth + k
            for j in range(count):
                value = weight[row + j] if c + i < channels else np.float32(0)
                taps[(tap * COLUMNS + j) * LANES + i] = value


@helper
def load_weight(weight, at, lanes):
    """A vector of which `lanes` elements exist; zeros if none does."""
    return load_lanes(weight, at, lanes) if lanes > 0 else broadcast(np.float32(0))


@helper
def transform_weight_grad(u, at, step, dweight, target, lanes, spare):
    """Gradient of LANES output channels of a weight; `target` is (first tap, distance of taps)."""
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
