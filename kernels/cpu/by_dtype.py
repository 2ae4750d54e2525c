"""Convolutions of maps in float32 and in bfloat16, by the dtype of the maps.

    float32    `convolution.py`
    bfloat16   on tiles (`amx_convolution.py`, `amx_gradients.py`) or in pairs (`dots.py`), where
               the processor has them and the shape allows; else `convolution.py` as well: maps are
               widened where they are read, and rounded where they are written

Either way a map in bfloat16 is rounded once, when it is made, and its moments are those of the
rounded values. A convolution multiplies rounded weights, and what is pending before it is rounded
as if it had been a map.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import prange

from ..backward_link import BackwardLink
from ..dtypes import FLOAT32, bfloat16, is_bfloat16
from ..records import ConvNorm
from . import amx, amx_gradients, convolution, dots
from . import amx_convolution as tiles
from .batch_norm import written, written_input
from .compiling import parallel_kernel
from .dealing import dealt, divided
from .elementwise import CHUNK, chunk_range
from .finish import NOTHING, Finish
from .memory import NO_FLOATS, Array, Ints, Shape, empty, flat
from .operands import Input, OutputGrad
from .shortcut import spread
from .simd import LANES, load_lanes, pointer, store_lanes
from .window import window

Settings = dict[str, Any]


# ------------------------------------------------------------------------ the public calls


def conv2d(
    x: Array, weight: Array, *, stride: int = 1, padding: int = 0, algorithm: str = "auto"
) -> Array:
    return finished(Input(x), weight, stride, padding, NOTHING, algorithm)


def conv2d_input_grad(
    dy: Array,
    weight: Array,
    *,
    x_shape: Shape,
    stride: int = 1,
    padding: int = 0,
    algorithm: str = "auto",
) -> Array:
    return input_grad(OutputGrad(dy), weight, tuple(x_shape), stride, padding, algorithm)


def conv2d_weight_grad(
    dy: Array,
    x: Array,
    *,
    kernel_size: tuple[int, int],
    stride: int = 1,
    padding: int = 0,
    algorithm: str = "auto",
) -> Array:
    weight_shape = (*kernel_size, x.shape[3], dy.shape[3])
    return weight_grad(OutputGrad(dy), x, weight_shape, stride, padding, algorithm)


# ------------------------------------------------------------------------ for fused kernels


def finished(
    source: Input,
    weight: Array,
    stride: int,
    padding: int,
    finish: Finish,
    algorithm: str = "auto",
) -> Array:
    """A convolution; `finish` is applied to each chunk of its result."""
    if algorithm == "auto" and in_pairs(source.x, weight.shape, stride, padding):
        return tiles.conv2d(source, weight, stride, padding, finish)
    return convolution.finished(source, weight, stride, padding, finish, algorithm)


def in_pairs(x: Array, weight_shape: Shape, stride: int, padding: int) -> bool:
    """Whether pairs of bfloat16 are multiplied, on tiles or by dots."""
    return is_bfloat16(x.dtype) and tiles.possible(weight_shape, stride, padding)


def chunk_starts(x: Array, weight_shape: Shape, stride: int, padding: int) -> Ints:
    """The output pixel that each chunk of `finished` starts at, and one past the last."""
    if in_pairs(x, weight_shape, stride, padding):
        return tiles.chunk_starts(window(x.shape, weight_shape[:2], stride, padding))
    return convolution.chunk_starts(x.shape, weight_shape, stride, padding)


def sum_starts(z: Array) -> Ints:
    """Where the gradient of a map is cut into chunks to be summed, as where it is made."""
    if sums_in_strips(z):
        return amx_gradients.grad_starts(z.shape)
    return convolution.sum_starts(z.shape)


def sums_in_strips(z: Array) -> bool:
    """Whether the gradient of a map is summed in the chunks of `amx_gradients.py`."""
    return is_bfloat16(z.dtype) and not (amx.why_not() and dots.why_not())


def conv2d_grads(
    grad: OutputGrad,
    source: Input,
    layer: ConvNorm,
    *,
    needs_dx: bool = True,
    from_shortcut: Array | None = None,
    link: BackwardLink | None = None,
) -> tuple[Array, Array]:
    """`(dx, dweight)` of a layer's convolution, as in `convolution.py`; tiles gather sums, too."""
    x, shape, geometry = source.x, layer.weight.shape, (layer.stride, layer.padding)
    all_alike = from_shortcut is None or from_shortcut.shape == x.shape
    if is_bfloat16(x.dtype) and all_alike and amx_gradients.makes_both(shape, *geometry):
        weight, link = (layer.weight, link) if needs_dx else (None, None)
        return amx_gradients.conv2d_grads(
            grad, source, weight, shape, add_to=from_shortcut, link=link
        )
    if not sums_in_strips(x):
        added: Settings = {"from_shortcut": from_shortcut, "link": link}
        return convolution.conv2d_grads(grad, source, layer, needs_dx=needs_dx, **added)
    dz, dx = OutputGrad(written(grad)), NO_FLOATS
    if needs_dx:
        add_to = spread(from_shortcut, x.shape, layer.stride)
        dx = input_grad(dz, layer.weight, x.shape, *geometry, add_to=add_to)
    return dx, weight_grad(dz, written_input(source), shape, *geometry)


def input_grad(
    grad: OutputGrad,
    weight: Array,
    x_shape: Shape,
    stride: int,
    padding: int,
    algorithm: str = "auto",
    add_to: Array | None = None,
) -> Array:
    """Gradient with respect to the images; it is added to `add_to`, whose array may be reused."""
    rows, cols = weight.shape[:2]
    chosen = algorithm == "auto" and stride == 1 and rows == cols and add_to is None
    if chosen and in_pairs(grad.dy, weight.shape, stride, padding):
        return tiles.conv2d_input_grad(grad, weight, x_shape, padding)
    return convolution.input_grad(grad, weight, x_shape, stride, padding, algorithm, add_to)


def weight_grad(
    grad: OutputGrad,
    x: Array,
    weight_shape: Shape,
    stride: int,
    padding: int,
    algorithm: str = "auto",
) -> Array:
    """Gradient with respect to the weight, in float32."""
    both = is_bfloat16(x.dtype) and amx_gradients.makes_both(weight_shape, stride, padding)
    if algorithm == "auto" and both:
        return amx_gradients.conv2d_grads(grad, Input(x), None, weight_shape)[1]
    return convolution.weight_grad(grad, x, weight_shape, stride, padding, algorithm)


# ------------------------------------------------------------------------ between dtypes


def widened(x: Array) -> Array:
    """A map in bfloat16 as float32."""
    return converted(x, FLOAT32)


def narrowed(x: Array) -> Array:
    """A map in float32, rounded to bfloat16."""
    return converted(x, bfloat16())


def converted(x: Array, dtype: np.dtype[Any]) -> Array:
    y = empty(x.shape, dtype)
    convert_kernel(flat(x), flat(y))
    return y


@parallel_kernel
def convert_kernel(x, y):
    work = divided((len(x) + CHUNK - 1) // CHUNK)
    for thread in prange(len(work)):
        for chunk in dealt(work, thread):
            first, last = chunk_range(chunk, len(x))
            for i in range(first, last, LANES):
                store_lanes(load_lanes(pointer(x), i, last - i), pointer(y), i, last - i)


def through_float32(kernel: Callable) -> Callable:
    """Let a kernel for float32 take a map in bfloat16: the map that it returns is rounded."""

    @functools.wraps(kernel)
    def call(x: Array, *others: Any, **settings: Any) -> Any:
        if not is_bfloat16(x.dtype):
            return kernel(x, *others, **settings)
        result = kernel(widened(x), *others, **settings)
        if isinstance(result, tuple):
            return narrowed(result[0]), *result[1:]
        return narrowed(result)

    return call


def for_float32(kernel: Callable) -> Callable:
    """Let a kernel refuse maps in bfloat16 with a sentence."""

    @functools.wraps(kernel)
    def call(*arrays: Any, **settings: Any) -> Any:
        if is_bfloat16(arrays[0].dtype):
            raise ValueError(
                f"{kernel.__name__} takes no bfloat16 on the cpu: convert with .astype(np.float32)"
            )
        return kernel(*arrays, **settings)

    return call
