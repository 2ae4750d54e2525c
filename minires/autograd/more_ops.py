"""More operations, in the style of `ops.py`: nothing new to learn, and the engine needs none.

Tensors have them as methods (`methods.py`), or they are functions of several (`combining.py`).
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from .. import kernels
from ..kernels.devices import as_array
from .accepting import must_hold_values
from .function import Array, Context, Function
from .ops import Gradients, unbroadcast


class Rectify(Function):
    """max(x, 0); its own output tells where the gradient passes."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        y = as_array(kernels.relu(x))
        ctx.save(y=y)
        return y

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        return kernels.relu_grad(grad, ctx.saved.y)


class Sqrt(Function):
    """The square root; its slope at 0 is infinite."""

    @staticmethod
    def forward(ctx: Context, a: Array) -> Array:
        result = np.sqrt(a)
        ctx.save(result=result)
        return result

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        return grad / (2 * ctx.saved.result)


class Abs(Function):
    """|a|; the gradient at 0 is 0."""

    @staticmethod
    def forward(ctx: Context, a: Array) -> Array:
        ctx.save(a=a)
        return np.abs(a)

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        return grad * np.sign(ctx.saved.a)


class Tanh(Function):
    """The hyperbolic tangent; its derivative is 1 - tanh²."""

    @staticmethod
    def forward(ctx: Context, a: Array) -> Array:
        result = np.tanh(a)
        ctx.save(result=result)
        return result

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        return grad * (1 - ctx.saved.result**2)


class Sigmoid(Function):
    """s = 1 / (1 + e ** -a); its derivative is s (1 - s)."""

    @staticmethod
    def forward(ctx: Context, a: Array) -> Array:
        small = np.exp(-np.abs(a))  # of both signs: it never overflows
        result = np.where(a >= 0, 1, small) / (1 + small)
        ctx.save(result=result)
        return result

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        return grad * ctx.saved.result * (1 - ctx.saved.result)


def only_where(mask: Array, grad: Array) -> Array:
    """The gradient where the mask holds, else 0: a product would make NaN of an infinite one."""
    return as_array(np.where(mask, grad, grad.dtype.type(0)))


class Clip(Function):
    """min(max(a, low), high); the gradient passes where a was within, limits included."""

    @staticmethod
    def forward(ctx: Context, a: Array, *, low: float | None, high: float | None) -> Array:
        result = np.clip(a, low, high)
        ctx.save(unchanged=result == a)
        return result

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        return only_where(ctx.saved.unchanged, grad)


class Max(Function):
    """The largest value over axes; equal ones share the gradient evenly, as in PyTorch's amax."""

    @staticmethod
    def forward(ctx: Context, a: Array, *, axis: Any, keepdims: bool) -> Array:
        must_hold_values("max", a, axis)
        kept = a.max(axis, keepdims=True)
        ctx.save(largest=a == kept, kept_shape=kept.shape, axis=axis)
        return kept if keepdims else as_array(a.max(axis))

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        largest = ctx.saved.largest
        winners = largest.sum(ctx.saved.axis, keepdims=True, dtype=grad.dtype)
        return only_where(largest, grad.reshape(ctx.saved.kept_shape) / winners)


class Where(Function):
    """a where the condition holds, else b; each gets the gradient of what it gave."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array, *, condition: Array) -> Array:
        ctx.save(condition=condition)
        return np.where(condition, a, b)

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Gradients:
        chosen = ctx.saved.condition
        a_shape, b_shape = ctx.shapes
        of_a, of_b = only_where(chosen, grad), only_where(~chosen, grad)
        return unbroadcast(of_a, a_shape), unbroadcast(of_b, b_shape)


class Concatenate(Function):
    """Arrays joined along an axis; each gets its part of the gradient."""

    @staticmethod
    def forward(ctx: Context, *arrays: Array, axis: int) -> Array:
        ctx.save(axis=axis)
        return np.concatenate(arrays, axis=axis)

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Gradients:
        axis = ctx.saved.axis
        ends = itertools.accumulate((shape[axis] for shape in ctx.shapes), initial=0)
        along = grad.swapaxes(0, axis)
        return tuple(along[a:b].swapaxes(0, axis).copy() for a, b in itertools.pairwise(ends))


class Pad(Function):
    """A border of one value around an array; the gradient is that of its inside."""

    @staticmethod
    def forward(ctx: Context, a: Array, *, widths: list[tuple[int, int]], value: float) -> Array:
        places = zip(widths, a.shape, strict=True)
        inside = tuple(slice(before, before + size) for (before, _), size in places)
        ctx.save(inside=inside)
        shape = tuple(size + sum(width) for width, size in zip(widths, a.shape, strict=True))
        result = np.full_like(a, value, shape=shape)
        result[inside] = a
        return result

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        return grad[ctx.saved.inside].copy()
