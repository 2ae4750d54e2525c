"""Where the sums of a map are added up before they are its values.

In float32 that is the map itself. A map in bfloat16 is rounded once, when its sums are whole. Until
then they lie in float32 in a *room*, scratch space for the part of the map from element `first` on,
and are reached by the same index:

    map     ...  y[first]     y[first + 1]     ...          sums = sums_of(y, room, first)
    room         room[0]      room[1]          ...          sums[i] is room[i - first]

Which of both it is follows from the type of y, so compiled code has no branch for it.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compiling import helper
from .memory import scratch
from .simd import LANES, floats, load_lanes, rounds, store_lanes


@intrinsic
def sums_of(typing_context, y, room, first):
    """Pointer to the sums of y, by y's own indices; `room` begins with that of element `first`."""

    def codegen(context, builder, signature, arguments):
        y, room, first = arguments
        is_float = y.type.pointee == ir.FloatType()
        return y if is_float else builder.gep(room, [builder.neg(first)])

    return floats(y, floats, types.intp), codegen


@helper
def room_for(y, size):
    """Scratch space for `size` sums of y, if it needs any."""
    return scratch(size if rounds(y) else 0)


@helper
def round_sums(sums, first, last, add, y):
    """y = sums, or their sum with what lies there, for elements first .. last."""
    for i in range(first, last, LANES):
        value = load_lanes(sums, i, last - i)
        if add:
            value += load_lanes(y, i, last - i)
        store_lanes(value, y, i, last - i)


@helper
def move(sums, first, last, to):
    """Copy sums first .. last to the beginning of their room, in which they may already lie."""
    for i in range(first, last, LANES):
        store_lanes(load_lanes(sums, i, last - i), to, i - first, last - i)
