"""The register tile: a block of sums that stays in registers while a matrix product runs.

A matrix product is limited by memory unless each number loaded is used several times. The tile
holds 4 rows x 16 columns of the result in 8 vector registers (8 lanes); one step of the inner
dimension loads two vectors of B and four numbers of A and does eight multiply-adds:

                 B: 16 columns
               [ b0     ][ b1     ]
        a0     [ sums 0 ][ sums 1 ]
    A   a1     [ sums 2 ][ sums 3 ]        tile[row] += a[row] * b
        a2     [ sums 4 ][ sums 5 ]
        a3     [ sums 6 ][ sums 7 ]

8 sums + 2 of B + 1 of A fit into the 16 registers that AVX2 has, and 8 independent sums just hide
the latency of the multiply-add (4 cycles, 2 a cycle). More rows would fit, but the rows of a
transposed product are the 16 columns of a panel, which only 4, 8 or 16 divide. With AVX-512 a
vector is a whole row and there are 32 registers: 16 rows, whose numbers of A are operands in
memory. Every convolution here, forward or backward, by columns or by Winograd, is this one product,
of matrices in panels of 16 columns. (The idea: Goto & van de Geijn 2008, "Anatomy of
high-performance matrix multiplication".)
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compiling import helper
from .simd import ALIGNMENT, COUNT, LANES, address, constant, floats, fused, spread, vector

COLUMNS = 16
VECTORS = COLUMNS // LANES  # a row
ROWS = 16 if VECTORS == 1 else 4
assert COLUMNS % ROWS == 0, "a transposed product would read past the end of a panel"
SIZE = ROWS * COLUMNS
DEPTH = 288  # of a product: so much of a panel, 18 KB, stays in an L1 cache
PITCH = DEPTH + COLUMNS  # not a power of two: rows lie in different sets of the cache
tile_type = types.UniTuple(vector, ROWS * VECTORS)


def places(builder, step):
    """Offset of every vector of a tile whose rows lie `step` elements apart."""
    for row in range(ROWS):
        start = builder.mul(step, ir.Constant(COUNT, row))
        for column in range(0, COLUMNS, LANES):
            yield builder.add(start, ir.Constant(COUNT, column))


def tile_addresses(builder, array, index, step):
    """Pointer to every vector of a tile within an array."""
    for offset in places(builder, step):
        yield address(builder, array, builder.add(index, offset))


@intrinsic
def zero_tile(typing_context):
    """A tile of zeros."""

    def codegen(context, builder, signature, arguments):
        return context.make_tuple(builder, tile_type, [constant(0.0)] * (ROWS * VECTORS))

    return tile_type(), codegen


@intrinsic
def load_tile(typing_context, array, index, step):
    """A tile from rows that lie `step` elements apart."""

    def codegen(context, builder, signature, arguments):
        pointers = tile_addresses(builder, *arguments)
        values = [builder.load(pointer, align=ALIGNMENT) for pointer in pointers]
        return context.make_tuple(builder, tile_type, values)

    return tile_type(floats, types.intp, types.intp), codegen


@intrinsic
def store_tile(typing_context, tile, array, index, step):
    """Write a tile to rows that lie `step` elements apart."""

    def codegen(context, builder, signature, arguments):
        tile, *place = arguments
        for i, pointer in enumerate(tile_addresses(builder, *place)):
            builder.store(builder.extract_value(tile, i), pointer, align=ALIGNMENT)
        return context.get_dummy_value()

    return types.void(tile_type, floats, types.intp, types.intp), codegen


@intrinsic
def add_outer_product(typing_context, tile, a, i, step, b, j):
    """tile[row] += a[i + row * step] * b[j : j + 16], for every row.

    The loops below run at compile time: they write out one multiply-add for each vector.
    """

    def codegen(context, builder, signature, arguments):
        tile, a, i, step, b, j = arguments
        columns = [
            builder.load(
                address(builder, b, builder.add(j, offset)),
                align=ALIGNMENT,
            )
            for offset in (ir.Constant(COUNT, LANES * v) for v in range(VECTORS))
        ]
        sums = []
        for row in range(ROWS):
            at = builder.add(i, builder.mul(step, ir.Constant(COUNT, row)))
            pointer = address(builder, a, at, ir.FloatType())
            factor = spread(builder, builder.load(pointer))
            for column in columns:
                old = builder.extract_value(tile, len(sums))
                sums.append(fused(builder, factor, column, old))
        return context.make_tuple(builder, tile_type, sums)

    return tile_type(tile_type, floats, types.intp, types.intp, floats, types.intp), codegen


@helper
def round_up(size, multiple):
    """The next multiple."""
    return (size + multiple - 1) // multiple * multiple


@helper
def multiply(a, i, b, j, depth):
    """The product of ROWS rows of `a`, PITCH elements apart, and a panel of `b`, as a tile."""
    tile = zero_tile()
    for k in range(depth):
        tile = add_outer_product(tile, a, i + k, PITCH, b, j + k * COLUMNS)
    return tile


@helper
def multiply_apart(tile, a, i, step, b, j, depth):
    """Add the product of ROWS rows of `a`, `step` elements apart, and a panel of `b` to a tile."""
    for k in range(depth):
        tile = add_outer_product(tile, a, i + k, step, b, j + k * COLUMNS)
    return tile


@helper
def multiply_panels(a, i, size, b, j, depth):
    """The product of ROWS rows of `a`, in panels of `size` elements, and a panel of `b`."""
    tile = zero_tile()
    for start in range(0, depth, COLUMNS):
        at, to = i + start // COLUMNS * size, j + start * COLUMNS
        for k in range(min(COLUMNS, depth - start)):
            tile = add_outer_product(tile, a, at + k, COLUMNS, b, to + k * COLUMNS)
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
def write(tile, y, i, step, rows, columns, accumulate, spare):
    """Write or add a tile of which only `rows` x `columns` exist; `spare` has room for a tile."""
    if rows >= ROWS and columns >= COLUMNS:
        if accumulate:
            store_tile(add_tiles(tile, load_tile(y, i, step)), y, i, step)
        else:
            store_tile(tile, y, i, step)
        return
    store_tile(tile, spare, 0, COLUMNS)
    for row in range(min(rows, ROWS)):
        for column in range(min(columns, COLUMNS)):
            old = y[i + row * step + column] if accumulate else np.float32(0)
            y[i + row * step + column] = old + spare[row * COLUMNS + column]


@intrinsic
def add_tiles(typing_context, tile, other):
    """The sum of two tiles."""

    def codegen(context, builder, signature, arguments):
        pairs = [[builder.extract_value(t, i) for t in arguments] for i in range(ROWS * VECTORS)]
        return context.make_tuple(builder, tile_type, [builder.fadd(*pair) for pair in pairs])

    return tile_type(tile_type, tile_type), codegen
