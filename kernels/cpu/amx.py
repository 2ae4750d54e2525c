"""Tiles: the matrix unit of Intel's processors since Sapphire Rapids (AMX), for maps in bfloat16.

A tile register holds 16 rows of 64 bytes. There are eight. One instruction multiplies two of them
and adds to a third, in 16 cycles, where float32 vectors take 256 for as many products:

    sums (16 x 16 float32)  +=  a (16 x 32 bfloat16)  @  b (32 x 16, in pairs of rows)

A convolution needs no columns for it. Channels are innermost, so the taps of a kernel row lie side
by side, and a tile is *loaded* from the map with a stride of one pixel: its rows overlap. With 16
channels a row of 32 values is two taps; a kernel row of three taps takes two tiles, and weights of
zero meet what lies behind the third:

    a line of the map       | p0 16 ch. | p1 16 ch. | p2 16 ch. | p3 16 ch. | p4 16 ch. | ...
    rows of the first tile  [_______0_______________]
                                        [_______1_______________]
                                                    [_______2_______________]
                                                                [_______3_______________]  ... 15
    and of the second                               [_______0_______________]
                                                                [_______1_______________]  ... 15

The lines of a strip of the map follow each other with a border of zeros between them, which two
neighbours share. So all output pixels of a strip are one row of positions, and a tile runs over the
ends of lines; the few positions that lie in the border are not stored:

    position    0  1  2  ...  31 | 32 | 33 34 ...
    pixel     (0,0)       (0,31)   --  (1,0)

Four tiles of sums run side by side, since a product waits 52 cycles for the one before it if both
add to the same tile: with 32 channels or more two tiles of pixels times two of the weight, so that
each tile loaded serves twice. A weight lies in memory in the order of b: pairs of rows are
interleaved.

    b   row k:   w[2k, 0] w[2k+1, 0]   w[2k, 1] w[2k+1, 1]   ...   w[2k, 15] w[2k+1, 15]

The system must be asked for the tiles, once, before threads start. A thread loads the shapes of its
tiles before a chunk and gives the tiles back after it, or each change of threads would save 8 KB.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compiling import LANES
from .rounding import HALVES, WORDS, narrowed, words
from .simd import address, vector

EDGE = 16  # rows of a tile; its columns, if it holds float32
DEPTH = 32  # bfloat16 of a row
SUMS = EDGE * EDGE  # float32 of a tile
PAIRS = EDGE * DEPTH  # bfloat16 of a tile
ARCH_PRCTL, ASK, TILES = 158, 0x1023, 18  # numbers of Linux on x86-64


# ------------------------------------------------------------------------ may they be used


@functools.cache
def why_not() -> str:
    """Why maps in bfloat16 are not multiplied on tiles here, or an empty string."""
    if os.environ.get("MINIRES_AMX") == "0":
        return "MINIRES_AMX=0 is set"
    if not llvm.get_host_cpu_features().get("amx-bf16"):
        return "this processor has no AMX"
    if LANES < EDGE:
        return "AMX goes with 16 lanes, but MINIRES_LANES=8 is set"
    return "" if granted() else "the system grants no AMX tiles"


def granted() -> bool:
    """Ask the system for the tiles, for this process and its threads."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return False
    return ctypes.CDLL(None).syscall(ARCH_PRCTL, ASK, TILES) == 0


def shapes_of_tiles() -> np.ndarray:
    """What `configure` loads: eight tiles of 16 rows, 64 bytes each."""
    config = np.zeros(64, np.uint8)
    config[0] = 1  # the palette
    config[16:32].view(np.uint16)[:] = 64
    config[48:56] = EDGE
    return config


SHAPES = shapes_of_tiles()


# ------------------------------------------------------------------------ instructions


def call(builder, name, arguments):
    """Call one of LLVM's instructions for tiles."""
    signature = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    function = cgutils.get_or_insert_function(builder.module, signature, f"llvm.x86.{name}")
    builder.call(function, arguments)


def numbers(tiles):
    """Numbers of tiles, which the instruction holds."""
    return [ir.Constant(ir.IntType(8), tile) for tile in tiles]


def on_tiles(name: str, *tiles: int) -> Any:
    """An instruction that takes tiles alone."""

    @intrinsic
    def instruction(typing_context):
        def codegen(context, builder, signature, arguments):
            call(builder, name, numbers(tiles))
            return context.get_dummy_value()

        return types.void(), codegen

    return instruction


def in_memory(name: str, tile: int) -> Any:
    """An instruction on a tile and memory: element `index` of an array, and rows `step` further."""

    @intrinsic
    def instruction(typing_context, array, index, step):
        def codegen(context, builder, signature, arguments):
            data, index, step = arguments
            size = 2 if data.type.pointee == ir.IntType(16) else 4
            place = address(builder, data, index, ir.IntType(8))
            stride = builder.mul(step, ir.Constant(step.type, size))
            call(builder, name, [*numbers([tile]), place, stride])
            return context.get_dummy_value()

        return types.void(array, types.intp, types.intp), codegen

    return instruction


@intrinsic
def configure(typing_context, shapes):
    """Load the shapes of the thread's tiles from an array."""

    def codegen(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        call(builder, "ldtilecfg", [builder.bitcast(data, ir.IntType(8).as_pointer())])
        return context.get_dummy_value()

    return types.void(shapes), codegen


release = on_tiles("tilerelease")
zero0, zero1, zero2, zero3 = (on_tiles("tilezero", tile) for tile in range(4))
load0, load1, load2, load3, load4, load5, load6, load7 = (
    in_memory("tileloadd64", tile) for tile in range(8)
)
store0, store1, store2, store3 = (in_memory("tilestored64", tile) for tile in range(4))
# sums, a, b: four pixels' tiles times one of weights, or two times two; one of gradients times four
# tiles of pixels
add_047, add_157, add_267, add_347 = (
    on_tiles("tdpbf16ps", *tiles) for tiles in ((0, 4, 7), (1, 5, 7), (2, 6, 7), (3, 4, 7))
)
add_046, add_147, add_256, add_357 = (
    on_tiles("tdpbf16ps", *tiles) for tiles in ((0, 4, 6), (1, 4, 7), (2, 5, 6), (3, 5, 7))
)
add_045, add_146, add_247, add_345 = (
    on_tiles("tdpbf16ps", *tiles) for tiles in ((0, 4, 5), (1, 4, 6), (2, 4, 7), (3, 4, 5))
)


# ------------------------------------------------------------------------ pairs


def load_pair(builder, data, first, second):
    """Words with an element from `first` in their lower half and one from `second` above it."""
    lower, upper = (
        builder.zext(builder.load(address(builder, data, at, HALVES), align=2), WORDS)
        for at in (first, second)
    )
    return builder.or_(lower, builder.shl(upper, words(16)))


def store_words(builder, value, target, index):
    builder.store(value, address(builder, target, index, WORDS), align=2)


@intrinsic
def copy_pair(typing_context, source, first, second, target, to):
    """Interleave two runs of 16 bfloat16."""

    def codegen(context, builder, signature, arguments):
        data, first, second, target, to = arguments
        store_words(builder, load_pair(builder, data, first, second), target, to)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp), codegen


@intrinsic
def store_pair(typing_context, lower, upper, target, to):
    """Round two vectors and interleave them."""

    def codegen(context, builder, signature, arguments):
        lower, upper, target, to = arguments
        low, high = (builder.zext(narrowed(builder, value), WORDS) for value in (lower, upper))
        store_words(builder, builder.or_(low, builder.shl(high, words(16))), target, to)
        return context.get_dummy_value()

    return types.void(vector, vector, target, types.intp), codegen


def transposed_words(builder, rows):
    """16 vectors of 16 words as a matrix, transposed: halves, quarters, ... change places."""
    rows, step = list(rows), EDGE // 2
    while step:
        for r in (r for r in range(EDGE) if not r & step):
            lanes = range(EDGE)
            near = [lane if not lane & step else EDGE + lane - step for lane in lanes]
            far = [lane + step if not lane & step else EDGE + lane for lane in lanes]
            a, b = rows[r], rows[r + step]
            rows[r], rows[r + step] = (
                builder.shuffle_vector(a, b, ir.Constant(WORDS, lanes)) for lanes in (near, far)
            )
        step //= 2
    return rows


@intrinsic
def transpose(typing_context, source, index, step, target, to):
    """Write 32 runs of 16 bfloat16, `step` apart, as a tile of 16 rows of 32."""

    def codegen(context, builder, signature, arguments):
        data, index, step, target, to = arguments
        places = [
            builder.add(index, builder.mul(step, ir.Constant(step.type, p))) for p in range(DEPTH)
        ]
        pairs = zip(places[::2], places[1::2], strict=True)
        rows = [load_pair(builder, data, *pair) for pair in pairs]
        for r, row in enumerate(transposed_words(builder, rows)):
            at = builder.add(to, ir.Constant(to.type, r * DEPTH))
            store_words(builder, row, target, at)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp), codegen
