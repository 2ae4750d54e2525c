"""A vector of float32 for Numba, so that a kernel says what the processor does.

Numba relies on LLVM to vectorise scalar loops, which fails for the loops that matter: a convolution
is fast only if a block of results stays in registers from the first product to the last. Here a
*vector* is a type, LLVM's `<8 x float>` or `<16 x float>`. So a local variable of a kernel is a
register:

    total = fma(load(x, i), load(w, j), total)        # LANES products and sums, one instruction

A vector has 16 lanes if the processor has AVX-512, else 8: one AVX register. On other processors
LLVM splits it into two SSE or NEON registers. Kernels use LANES and do not depend on its value.

Inside a kernel arrays are bare pointers, `x = pointer(array)`, so that passing one to a helper
costs nothing (Numba would count references to an array, even in the innermost loop). They point to
float32, or to the bits of bfloat16: a load makes float32 of these, a store rounds (`rounding.py`).
x[i] reads and writes one element; `i` always counts elements. A load or store accesses exactly the
LANES elements from `i`, which must exist: at the end of a row use `load_lanes` and `store_lanes`.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

from .compiling import LANES, helper
from .rounding import HALVES, WORDS, narrowed, widened

VECTOR = ir.VectorType(ir.FloatType(), LANES)
MASK = ir.VectorType(ir.IntType(1), LANES)
COUNT = ir.IntType(64)
NONE = ir.Constant(COUNT, 0)
ALIGNMENT = 4  # bytes: all that LLVM may assume of an address, so it uses unaligned loads


class Vector(types.Type):
    """The Numba type of a vector."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


vector = Vector()
floats = types.CPointer(types.float32)


@register_model(Vector)
class VectorModel(models.PrimitiveModel):
    """A vector is stored and passed as the LLVM value itself."""

    def __init__(self, manager: Any, numba_type: types.Type) -> None:
        super().__init__(manager, numba_type, VECTOR)


# ------------------------------------------------------------------------ code generation


def address(builder, pointer, index, pointee=VECTOR):
    """The address of element `index`, as a pointer to vectors."""
    return builder.bitcast(builder.gep(pointer, [index]), pointee.as_pointer())


def constant(value):
    """A vector with a compile-time `value` in every lane."""
    return ir.Constant(VECTOR, [value] * LANES)


def spread(builder, scalar):
    """A vector with a run-time scalar, of any type, in every lane."""
    nothing = ir.Constant(ir.VectorType(scalar.type, LANES), ir.Undefined)
    first = builder.insert_element(nothing, scalar, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, nothing, lanes)


def fused(builder, a, b, c):
    """a * b + c: rounded once if the processor has the instruction, else twice."""
    signature = ir.FunctionType(VECTOR, [VECTOR] * 3)
    function = cgutils.get_or_insert_function(
        builder.module, signature, f"llvm.fmuladd.v{LANES}f32"
    )
    return builder.call(function, [a, b, c])


def dotted(builder, a, b, c):
    """a . b + c, for words of two bfloat16: c + a[1] * b[1], rounded, + a[0] * b[0], rounded.

    That is two `fused`, for a product is exact; but numbers below 2**-126, be they operands or
    sums, are zeros (Intel's manual, VDPBF16PS, and so it is on an Emerald Rapids).
    """
    signature = ir.FunctionType(VECTOR, [VECTOR, WORDS, WORDS])
    name = "llvm.x86.avx512bf16.dpbf16ps.512"
    function = cgutils.get_or_insert_function(builder.module, signature, name)
    return builder.call(function, [c, b, a])  # `a` may lie in memory


def first_lanes(builder, count):
    """Mask of the lanes below `count`."""
    narrow = ir.IntType(32)  # as wide as a float: one vector comparison
    counts = spread(builder, builder.trunc(count, narrow))
    numbers = ir.Constant(ir.VectorType(narrow, LANES), list(range(LANES)))
    return builder.icmp_signed("<", numbers, counts)


def lanes_between(builder, low, high):
    """Mask of the lanes low .. high, without `high`."""
    mask = first_lanes(builder, high)
    return mask if low is NONE else builder.and_(mask, builder.not_(first_lanes(builder, low)))


def copied_halves(builder, data, index, low, high):
    """`masked_load` without an instruction for it: LLVM would have a branch for each lane."""
    buffer = cgutils.alloca_once(builder, HALVES)
    builder.store(ir.Constant(HALVES, None), buffer)
    inside, outside, count = halves_between(builder, buffer, data, index, low, high)
    cgutils.raw_memcpy(builder, inside, outside, count, 2)
    return builder.load(buffer)


def copy_halves(builder, value, data, index, low, high):
    """`masked_store` without an instruction for it."""
    buffer = cgutils.alloca_once(builder, HALVES)
    builder.store(value, buffer)
    inside, outside, count = halves_between(builder, buffer, data, index, low, high)
    cgutils.raw_memcpy(builder, outside, inside, count, 2)


def halves_between(builder, buffer, data, index, low, high):
    """Lanes low .. high that a vector has: `(where in a buffer, where in memory, how many)`."""
    low, high = (within(builder, end) for end in (low, high))
    count = builder.select(builder.icmp_signed("<", low, high), builder.sub(high, low), NONE)
    start = builder.bitcast(buffer, data.type)
    return builder.gep(start, [low]), builder.gep(data, [builder.add(index, low)]), count


def within(builder, lane):
    """A lane's number, not below 0 and not above LANES."""
    lane = builder.select(builder.icmp_signed("<", lane, NONE), NONE, lane)
    most = ir.Constant(COUNT, LANES)
    return builder.select(builder.icmp_signed("<", lane, most), lane, most)


def memory_type(data):
    """`(vector, name, alignment)` of what lies at a pointer: floats, or halves of them."""
    if data.type.pointee == ir.IntType(16):
        return HALVES, f"v{LANES}i16", 2
    return VECTOR, f"v{LANES}f32", ALIGNMENT


def plain_load(builder, data, index):
    """A vector from `index`."""
    kind, _, alignment = memory_type(data)
    value = builder.load(address(builder, data, index, kind), align=alignment)
    return widened(builder, value) if kind is HALVES else value


def plain_store(builder, value, data, index):
    """Write a vector from `index`."""
    kind, _, alignment = memory_type(data)
    value = narrowed(builder, value) if kind is HALVES else value
    builder.store(value, address(builder, data, index, kind), align=alignment)


def masked_load(builder, data, index, low, high):
    """Lanes low .. high of a vector from `index`, zeros in the others."""
    kind, _, alignment = memory_type(data)
    if kind is HALVES and LANES < 16:
        return widened(builder, copied_halves(builder, data, index, low, high))
    place = address(builder, data, index, kind), ir.Constant(ir.IntType(32), alignment)
    zeros = ir.Constant(kind, [0 if kind is HALVES else 0.0] * LANES)
    value = masked(builder, "load", data, kind, [*place, lanes_between(builder, low, high), zeros])
    return widened(builder, value) if kind is HALVES else value


def masked_store(builder, value, data, index, low, high):
    """Write lanes low .. high of a vector from `index`."""
    kind, _, alignment = memory_type(data)
    value = narrowed(builder, value) if kind is HALVES else value
    if kind is HALVES and LANES < 16:
        copy_halves(builder, value, data, index, low, high)
        return
    place = address(builder, data, index, kind), ir.Constant(ir.IntType(32), alignment)
    mask = lanes_between(builder, low, high)
    masked(builder, "store", data, ir.VoidType(), [value, *place, mask])


def masked(builder, operation, data, result, arguments):
    """Call LLVM's masked load or store."""
    signature = ir.FunctionType(result, [argument.type for argument in arguments])
    name = f"llvm.masked.{operation}.{memory_type(data)[1]}.p0"
    function = cgutils.get_or_insert_function(builder.module, signature, name)
    return builder.call(function, arguments)


# ------------------------------------------------------------------------ what kernels call


@intrinsic
def pointer(typing_context, array):
    """Pointer to an array's first element. It does not keep the array alive: see `keep`."""

    def codegen(context, builder, signature, arguments):
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def keep(typing_context, array):
    """Do nothing. Numba frees an array after its last use, so its pointers are valid up to here."""

    def codegen(context, builder, signature, arguments):
        return context.get_dummy_value()

    return types.void(array), codegen


@intrinsic
def load(typing_context, array, index):

    def codegen(context, builder, signature, arguments):
        return plain_load(builder, *arguments)

    return vector(array, types.intp), codegen


@intrinsic
def load_some(typing_context, array, index, count):
    """The first `count` elements from `index`, zeros in the other lanes; nothing else is read."""

    def codegen(context, builder, signature, arguments):
        data, index, count = arguments
        return masked_load(builder, data, index, NONE, count)

    return vector(array, types.intp, types.intp), codegen


@intrinsic
def load_inside(typing_context, array, index, low, high):
    """Lanes low .. high of a vector from `index`, zeros in the others; nothing else is read."""

    def codegen(context, builder, signature, arguments):
        data, index, low, high = arguments
        return masked_load(builder, data, index, low, high)

    return vector(array, types.intp, types.intp, types.intp), codegen


@intrinsic
def store(typing_context, value, array, index):

    def codegen(context, builder, signature, arguments):
        plain_store(builder, *arguments)
        return context.get_dummy_value()

    return types.void(vector, array, types.intp), codegen


@intrinsic
def store_some(typing_context, value, array, index, count):
    """Write the first `count` lanes from `index`; nothing else is written."""

    def codegen(context, builder, signature, arguments):
        value, data, index, count = arguments
        masked_store(builder, value, data, index, NONE, count)
        return context.get_dummy_value()

    return types.void(vector, array, types.intp, types.intp), codegen


@intrinsic
def store_inside(typing_context, value, array, index, low, high):
    """Write lanes low .. high of a vector from `index`; nothing else is written."""

    def codegen(context, builder, signature, arguments):
        value, data, index, low, high = arguments
        masked_store(builder, value, data, index, low, high)
        return context.get_dummy_value()

    return types.void(vector, array, types.intp, types.intp, types.intp), codegen


def prefetching(write, locality):
    """An intrinsic that has the cache line of an element loaded, without waiting for it."""

    @intrinsic
    def prefetch(typing_context, array, index):
        def codegen(context, builder, signature, arguments):
            pointer = address(builder, *arguments, ir.IntType(8))
            flag = ir.IntType(32)
            signature = ir.FunctionType(ir.VoidType(), [pointer.type, flag, flag, flag])
            function = cgutils.get_or_insert_function(builder.module, signature, "llvm.prefetch.p0")
            builder.call(function, [pointer, *(ir.Constant(flag, v) for v in (write, locality, 1))])
            return context.get_dummy_value()

        return types.void(array, types.intp), codegen

    return prefetch


prefetch = prefetching(0, 2)  # to read it, into the L2 cache
prefetch_to_write = prefetching(1, 3)  # into the L1 cache


@intrinsic
def copy_elements(typing_context, source, start, target, to, count):
    """Copy `count` elements as they are; source and target do not overlap."""

    def codegen(context, builder, signature, arguments):
        source, start, target, to, count = arguments
        places = (
            address(builder, *place, ir.IntType(8)) for place in ((target, to), (source, start))
        )
        size = 2 if source.type.pointee == ir.IntType(16) else 4
        cgutils.raw_memcpy(builder, *places, count, size)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp, types.intp), codegen


@intrinsic
def rounds(typing_context, array):
    """Whether what is stored to a pointer is rounded: a constant of the compiled code."""
    rounds = array.dtype != types.float32

    def codegen(context, builder, signature, arguments):
        return context.get_constant(types.boolean, rounds)

    return types.boolean(array), codegen


@intrinsic
def differ(typing_context, array, other):
    """Whether two pointers are to other types: a constant of the compiled code."""
    differ = array.dtype != other.dtype

    def codegen(context, builder, signature, arguments):
        return context.get_constant(types.boolean, differ)

    return types.boolean(array, other), codegen


@intrinsic
def rounded(typing_context, value):
    """A vector rounded to bfloat16, in registers."""

    def codegen(context, builder, signature, arguments):
        return widened(builder, narrowed(builder, *arguments))

    return vector(vector), codegen


@intrinsic
def broadcast(typing_context, scalar):
    """A float32 in every lane."""

    def codegen(context, builder, signature, arguments):
        return spread(builder, arguments[0])

    return vector(types.float32), codegen


@intrinsic
def lane(typing_context, value, index):

    def codegen(context, builder, signature, arguments):
        return builder.extract_element(*arguments)

    return types.float32(vector, types.intp), codegen


@intrinsic
def fma(typing_context, a, b, c):

    def codegen(context, builder, signature, arguments):
        return fused(builder, *arguments)

    return vector(vector, vector, vector), codegen


@intrinsic
def where_positive(typing_context, condition, value):
    """`value` in the lanes where condition > 0, else zero."""

    def codegen(context, builder, signature, arguments):
        condition, value = arguments
        positive = builder.fcmp_ordered(">", condition, constant(0.0))
        return builder.select(positive, value, constant(0.0))

    return vector(vector, vector), codegen


@intrinsic
def cut_below_zero(typing_context, value):
    """max(value, 0); NaN stays NaN."""

    def codegen(context, builder, signature, arguments):
        negative = builder.fcmp_ordered("<=", arguments[0], constant(0.0))
        return builder.select(negative, constant(0.0), arguments[0])

    return vector(vector), codegen


def define_operator(symbol, instruction):
    """Give vectors one of Python's arithmetic operators."""

    @type_callable(symbol)
    def typer(context):
        return lambda a, b: vector if a is vector and b is vector else None

    @lower_builtin(symbol, vector, vector)
    def lower(context, builder, signature, arguments):
        return getattr(builder, instruction)(*arguments)


for name in ("add", "sub", "mul"):
    define_operator(getattr(operator, name), f"f{name}")
    define_operator(getattr(operator, f"i{name}"), f"f{name}")


@helper
def as_stored(value, array):
    """What a load would give after a store to this array."""
    return rounded(value) if rounds(array) else value


@helper
def load_lanes(array, i, lanes):
    """A vector of which `lanes` or all elements exist. The branch is cheaper than a mask."""
    if lanes >= LANES:
        return load(array, i)
    return load_some(array, i, lanes)


@helper
def store_lanes(value, array, i, lanes):
    """Write a vector of which `lanes` or all elements exist."""
    if lanes >= LANES:
        store(value, array, i)
    else:
        store_some(value, array, i, lanes)
