"""bfloat16 in memory, float32 in registers: a float's upper half, and how a float is rounded to it.

Numba has no such type, so kernels get maps in bfloat16 as arrays of uint16 (`flat` in `memory.py`).
A load puts the 16 bits into the upper half of a float32, which is exact. A store rounds to the
nearest, of two equally near to the even one:

    float32    s eeeeeeee mmmmmmm mmmmmmmmmmmmmmmm      add 0x7fff, and 1 if the bit above is set;
    bfloat16   s eeeeeeee mmmmmmm                       then cut off the lower half

A NaN stays a NaN. Processors with AVX512-BF16 have an instruction for it. That one takes numbers
below 2**-126 as zeros, and so do the products of AMX and AVX512-BF16.
"""

from __future__ import annotations

import llvmlite.binding as llvm
from llvmlite import ir

from .compiling import LANES

HALVES = ir.VectorType(ir.IntType(16), LANES)
WORDS = ir.VectorType(ir.IntType(32), LANES)
FLOATS = ir.VectorType(ir.FloatType(), LANES)


class BrainFloat(ir.Type):
    """LLVM's type, which llvmlite has no name for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BrainFloat)

    def __hash__(self) -> int:
        return hash(BrainFloat)


def has_instruction() -> bool:
    """Whether the processor rounds to bfloat16, and LLVM is new enough to know it."""
    return bool(llvm.get_host_cpu_features().get("avx512bf16")) and llvm.llvm_version_info[0] >= 18


BY_INSTRUCTION = has_instruction()


def words(value):
    """A constant in every lane."""
    return ir.Constant(WORDS, [value] * LANES)


def widened(builder, halves):
    """Vectors of bfloat16 as float32: exact."""
    upper = builder.shl(builder.zext(halves, WORDS), words(16))
    return builder.bitcast(upper, FLOATS)


def narrowed(builder, value):
    """A vector of float32, rounded to bfloat16."""
    if BY_INSTRUCTION:
        rounded = builder.fptrunc(value, ir.VectorType(BrainFloat(), LANES))
        return builder.bitcast(rounded, HALVES)
    bits = builder.bitcast(value, WORDS)
    odd = builder.and_(builder.lshr(bits, words(16)), words(1))
    rounded = builder.add(bits, builder.add(odd, words(0x7FFF)))
    is_number = builder.fcmp_ordered("ord", value, value)
    rounded = builder.select(is_number, rounded, builder.or_(bits, words(1 << 22)))
    return builder.trunc(builder.lshr(rounded, words(16)), HALVES)
