"""The register tile: a block of sums that stays in registers while a matrix product runs.

Memory limits a matrix product unless each loaded number is used several times. The tile holds 4
rows x 16 columns of the result in 8 vector registers of 8 lanes. One step of the inner dimension
loads two vectors of B and four numbers of A, and does eight multiply-adds:

                 B: 16 columns
               [ b0     ][ b1     ]
        a0     [ sums 0 ][ sums 1 ]
    A   a1     [ sums 2 ][ sums 3 ]        tile[row] += a[row] * b
        a2     [ sums 4 ][ sums 5 ]
        a3     [ sums 6 ][ sums 7 ]

8 sums + 2 vectors of B + 1 of A fit into the 16 registers of AVX2, and 8 independent sums just hide
the latency of the multiply-add (4 cycles at 2 per cycle). More rows would fit, but the rows of a
transposed product are the 16 columns of a panel, which only 4, 8 or 16 divide. With AVX-512 a
vector is a whole row, and there are 32 registers: 16 rows, whose numbers of A are memory operands.

With AVX-512 a step has 17 loads for 16 multiply-adds. The processor can do two of each per cycle,
so it waits for its loads. So if two panels are left, a *wide* tile takes both: half the rows, 32
columns, 10 loads for as many multiply-adds, and half as much of A from the L2 cache. With AVX2 it
would have as many loads as the other, and read its two panels, 36 KB, for two rows alone: there
all tiles are narrow.

Every convolution here, forward or backward, by columns or by Winograd, is this one product of
matrices in panels of 16 columns. (The idea: Goto & van de Geijn 2008, "Anatomy of high-performance
matrix multiplication".)

Matrices are pointers, so a helper takes for each the index of its first element and the distances
to the next row (`step`), panel (`gap`, or `size` for a left-hand matrix) or step of the sum.
Element (k, c) of a panel of 16 columns is k * COLUMNS + c.

The idea alone, in forty lines: `kernels/ladder/conv4_register_tile.py`.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compiling import helper
from .rounding import WORDS
from .simd import (
    ALIGNMENT,
    COUNT,
    LANES,
    VECTOR,
    address,
    constant,
    dotted,
    floats,
    fused,
    spread,
    vector,
)

COLUMNS = 16
VECTORS = COLUMNS // LANES  # of a row
ROWS = 16 if VECTORS == 1 else 4
assert COLUMNS % ROWS == 0, "a transposed product would read past the end of a panel"
SIZE = ROWS * COLUMNS
DEPTH = 288  # steps of a product at a time: that much of a panel, 18 KB, stays in an L1 cache
PITCH = DEPTH + COLUMNS  # 19 cache lines, no power of two: rows lie in different cache sets
tile_type = types.UniTuple(vector, ROWS * VECTORS)
WIDE_ROWS = ROWS // 2
WIDE_COLUMNS = COLUMNS * 2 if VECTORS == 1 else COLUMNS


def row_of_vectors(builder, index, gap=None):
    """Index of every vector of a tile's row; with `gap`, of a wide tile's row in two panels."""
    for panel in [index] if gap is None else [index, builder.add(index, gap)]:
        for column in range(0, COLUMNS, LANES):
            yield builder.add(panel, ir.Constant(COUNT, column))


def tile_addresses(builder, array, index, step, gap=None):
    """Pointer to every vector of a tile: rows are `step` apart, panels of a wide tile `gap`."""
    for row in range(ROWS if gap is None else WIDE_ROWS):
        start = builder.add(index, builder.mul(step, ir.Constant(COUNT, row)))
        for place in row_of_vectors(builder, start, gap):
            yield address(builder, array, place)


def load_from(context, builder, addresses):
    values = [builder.load(pointer, align=ALIGNMENT) for pointer in addresses]
    return context.make_tuple(builder, tile_type, values)


def store_to(context, builder, tile, addresses):
    for i, pointer in enumerate(addresses):
        builder.store(builder.extract_value(tile, i), pointer, align=ALIGNMENT)
    return context.get_dummy_value()


@intrinsic
def zero_tile(typing_context):

    def codegen(context, builder, signature, arguments):
        return context.make_tuple(builder, tile_type, [constant(0.0)] * (ROWS * VECTORS))

    return tile_type(), codegen


@intrinsic
def load_tile(typing_context, array, index, step):
    """A tile from rows that are `step` elements apart."""

    def codegen(context, builder, signature, arguments):
        return load_from(context, builder, tile_addresses(builder, *arguments))

    return tile_type(floats, types.intp, types.intp), codegen


@intrinsic
def load_wide_tile(typing_context, array, index, step, gap):
    """A wide tile from rows `step` elements apart; its second panel lies `gap` elements further."""

    def codegen(context, builder, signature, arguments):
        return load_from(context, builder, tile_addresses(builder, *arguments))

    return tile_type(floats, types.intp, types.intp, types.intp), codegen


@intrinsic
def store_tile(typing_context, tile, array, index, step):
    """Write a tile to rows that are `step` elements apart."""

    def codegen(context, builder, signature, arguments):
        tile, *place = arguments
        return store_to(context, builder, tile, tile_addresses(builder, *place))

    return types.void(tile_type, floats, types.intp, types.intp), codegen


@intrinsic
def store_wide_tile(typing_context, tile, array, index, step, gap):
    """Write a wide tile to rows `step` elements apart; its second panel lies `gap` further."""

    def codegen(context, builder, signature, arguments):
        tile, *place = arguments
        return store_to(context, builder, tile, tile_addresses(builder, *place))

    return types.void(tile_type, floats, types.intp, types.intp, types.intp), codegen


def factors(data):
    """`(vector, number, alignment, product)` of what is multiplied: floats, or pairs of halves."""
    if data.type.pointee == ir.IntType(16):
        return WORDS, ir.IntType(32), 2, dotted
    return VECTOR, ir.FloatType(), ALIGNMENT, fused


def outer_product(context, builder, tile, a, i, step, b, row_of_b):
    """tile[row] += a[i + row * step] * a row of b, for every row.

    The loops run at compile time and emit one multiply-add for each vector, so the sums stay in
    registers. `step` is the distance of A's rows: 1 gives the product with A transposed.
    """
    kind, number, alignment, product = factors(a)
    columns = [builder.load(address(builder, b, j, kind), align=alignment) for j in row_of_b]
    sums = []
    for row in range(ROWS * VECTORS // len(columns)):
        at = builder.add(i, builder.mul(step, ir.Constant(COUNT, row)))
        place = address(builder, a, at, number)
        factor = spread(builder, builder.load(place, align=alignment))
        for column in columns:
            old = builder.extract_value(tile, len(sums))
            sums.append(product(builder, factor, column, old))
    return context.make_tuple(builder, tile_type, sums)


@intrinsic
def add_outer_product(typing_context, tile, a, i, step, b, j):
    """tile[row] += a[i + row * step] * b[j : j + 16], for every row."""

    def codegen(context, builder, signature, arguments):
        *others, j = arguments
        return outer_product(context, builder, *others, row_of_vectors(builder, j))

    return tile_type(tile_type, a, types.intp, types.intp, b, types.intp), codegen


@intrinsic
def add_wide_outer_product(typing_context, tile, a, i, step, b, j, gap):
    """The same for a wide tile; the second half of its row of b lies `gap` elements further."""

    def codegen(context, builder, signature, arguments):
        *others, j, gap = arguments
        return outer_product(context, builder, *others, row_of_vectors(builder, j, gap))

    count = types.intp
    return tile_type(tile_type, a, count, count, b, count, count), codegen


@helper
def round_up(size, multiple):
    return (size + multiple - 1) // multiple * multiple


@helper
def multiply(a, i, b, j, depth):
    """The product of ROWS rows of `a`, PITCH elements apart, and a panel of `b`, as a tile."""
    tile = zero_tile()
    for k in range(depth):
        tile = add_outer_product(tile, a, i + k, PITCH, b, j + k * COLUMNS)
    return tile


@helper
def multiply_wide(a, i, b, j, gap, depth):
    """The product of WIDE_ROWS rows of `a` and two panels of `b`, `gap` elements apart."""
    tile = zero_tile()
    for k in range(depth):
        tile = add_wide_outer_product(tile, a, i + k, PITCH, b, j + k * COLUMNS, gap)
    return tile


@helper
def multiply_apart(tile, a, i, step, b, j, depth):
    """Add the product of ROWS rows of `a`, `step` elements apart, and a panel of `b` to a tile."""
    for k in range(depth):
        tile = add_outer_product(tile, a, i + k, step, b, j + k * COLUMNS)
    return tile


@helper
def multiply_panels(a, i, size, b, j, depth):
    """The product of ROWS rows of `a`, in panels of `size` elements, and a panel of `b`.

    16 steps stay in one panel of `a`, then the next one follows.
    """
    tile = zero_tile()
    for start in range(0, depth, COLUMNS):
        at, to = i + start // COLUMNS * size, j + start * COLUMNS
        for k in range(min(COLUMNS, depth - start)):
            tile = add_outer_product(tile, a, at + k, COLUMNS, b, to + k * COLUMNS)
    return tile


@helper
def multiply_panels_wide(a, i, size, b, j, gap, depth):
    """The same with WIDE_ROWS rows of `a` and two panels of `b`, `gap` elements apart."""
    tile = zero_tile()
    for start in range(0, depth, COLUMNS):
        at, to = i + start // COLUMNS * size, j + start * COLUMNS
        for k in range(min(COLUMNS, depth - start)):
            tile = add_wide_outer_product(tile, a, at + k, COLUMNS, b, to + k * COLUMNS, gap)
    return tile


@helper
def multiply_transposed(tile, a, i, step, b, j, depth):
    """Add the product of ROWS columns of `a`, transposed, and a panel of `b` to a tile.

    Rows of `a` are `step` elements apart.
    """
    for k in range(depth):
        tile = add_outer_product(tile, a, i + k * step, 1, b, j + k * COLUMNS)
    return tile


@helper
def multiply_transposed_wide(tile, a, i, step, b, j, gap, depth):
    """The same with WIDE_ROWS columns of `a` and two panels of `b`, `gap` elements apart."""
    for k in range(depth):
        tile = add_wide_outer_product(tile, a, i + k * step, 1, b, j + k * COLUMNS, gap)
    return tile


@helper
def store_product(wide, c, to, step, c_gap, a, i, size, b, j, gap, depth):
    """Write the product of a tile's rows of `a` and its panels of `b`, to rows `step` apart."""
    if wide:
        tile = multiply_panels_wide(a, i, size, b, j, gap, depth)
        store_wide_tile(tile, c, to, step, c_gap)
    else:
        store_tile(multiply_panels(a, i, size, b, j, depth), c, to, step)


@helper
def add_transposed(wide, fresh, total, to, total_gap, a, i, step, b, j, gap, depth):
    """Add a product with columns of `a`, transposed, to a tile in memory, in panels like `b`.

    A `fresh` tile is overwritten.
    """
    if wide:
        tile = zero_tile() if fresh else load_wide_tile(total, to, COLUMNS, total_gap)
        tile = multiply_transposed_wide(tile, a, i, step, b, j, gap, depth)
        store_wide_tile(tile, total, to, COLUMNS, total_gap)
    else:
        tile = zero_tile() if fresh else load_tile(total, to, COLUMNS)
        tile = multiply_transposed(tile, a, i, step, b, j, depth)
        store_tile(tile, total, to, COLUMNS)


@helper
def is_wide(columns):
    """Whether the next tile is a wide one, where so many columns are left."""
    return VECTORS == 1 and columns > COLUMNS


@helper
def rows_of(wide):
    return WIDE_ROWS if wide else ROWS


@helper
def write(tile, y, i, step, rows, columns, accumulate, spare):
    """Write or add a tile of which only `rows` x `columns` exist.

    A tile over the edge goes to `spare`, which has room for a tile, and from there number by
    number.
    """
    if rows >= ROWS and columns >= COLUMNS:
        if accumulate:
            tile = add_tiles(tile, load_tile(y, i, step))
        store_tile(tile, y, i, step)
    else:
        store_tile(tile, spare, 0, COLUMNS)
        write_some(spare, COLUMNS, y, i, step, min(rows, ROWS), min(columns, COLUMNS), accumulate)


@helper
def write_wide(tile, y, i, step, rows, columns, accumulate, spare):
    """The same for a wide tile."""
    if rows >= WIDE_ROWS and columns >= WIDE_COLUMNS:
        if accumulate:
            tile = add_tiles(tile, load_wide_tile(y, i, step, COLUMNS))
        store_wide_tile(tile, y, i, step, COLUMNS)
    else:
        store_wide_tile(tile, spare, 0, WIDE_COLUMNS, COLUMNS)
        rows, columns = min(rows, WIDE_ROWS), min(columns, WIDE_COLUMNS)
        write_some(spare, WIDE_COLUMNS, y, i, step, rows, columns, accumulate)


@helper
def write_some(tile, width, y, i, step, rows, columns, accumulate):
    """Write or add rows x columns of a tile in memory, `width` columns wide."""
    for row in range(rows):
        for column in range(columns):
            old = y[i + row * step + column] if accumulate else np.float32(0)
            y[i + row * step + column] = old + tile[row * width + column]


@intrinsic
def add_tiles(typing_context, tile, other):

    def codegen(context, builder, signature, arguments):
        pairs = [[builder.extract_value(t, i) for t in arguments] for i in range(ROWS * VECTORS)]
        return context.make_tuple(builder, tile_type, [builder.fadd(*pair) for pair in pairs])

    return tile_type(tile_type, tile_type), codegen
