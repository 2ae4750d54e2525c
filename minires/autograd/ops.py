"""The calculus on one page: every operation with its derivative beside it.

`grad` is the gradient of the result; `backward` returns that of each input. Operations that
broadcast undo it with `unbroadcast`: what was copied forward is summed backward.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..kernels.devices import as_array, device_of, move
from .function import Array, Context, Function
from .picking import beside, put_back

Gradients = tuple[Array | None, ...]


def unbroadcast(grad: Array, shape: tuple[int, ...]) -> Array:
    """Sum `grad` over every axis along which an array of `shape` was repeated."""
    if grad.shape == shape:
        return grad
    grad = grad.sum(tuple(range(grad.ndim - len(shape))))
    # of the other axes, those where the array has size 1 and the gradient has more
    repeated = tuple(axis for axis, n in enumerate(shape) if n == 1 and grad.shape[axis] != 1)
    return grad.sum(repeated, keepdims=True)


class Add(Function):
    """a + b."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        return a + b

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Gradients:
        return unbroadcast(grad, ctx.shapes[0]), unbroadcast(grad, ctx.shapes[1])


class Subtract(Function):
    """a - b."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        return a - b

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Gradients:
        return unbroadcast(grad, ctx.shapes[0]), unbroadcast(-grad, ctx.shapes[1])


class Multiply(Function):
    """a * b."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        ctx.save(a=a if ctx.needs_grad[1] else None, b=b if ctx.needs_grad[0] else None)
        return a * b

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Gradients:
        a, b = ctx.saved.a, ctx.saved.b
        return (
            None if b is None else unbroadcast(grad * b, ctx.shapes[0]),
            None if a is None else unbroadcast(grad * a, ctx.shapes[1]),
        )


class Divide(Function):
    """a / b."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        ctx.save(a=a, b=b)
        return a / b

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Gradients:
        a, b = ctx.saved.a, ctx.saved.b
        return unbroadcast(grad / b, a.shape), unbroadcast(-grad * a / b**2, b.shape)


class Power(Function):
    """a ** exponent, for a fixed number."""

    @staticmethod
    def forward(ctx: Context, a: Array, *, exponent: float) -> Array:
        ctx.save(a=a, n=exponent)
        return a**exponent

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        # for n = 0 this is 0 * a**0: with a**-1 it would be NaN at a = 0
        return grad * ctx.saved.n * ctx.saved.a ** (ctx.saved.n - bool(ctx.saved.n))


class Exp(Function):
    """e ** a."""

    @staticmethod
    def forward(ctx: Context, a: Array) -> Array:
        result = np.exp(a)
        ctx.save(result=result)
        return result

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        return grad * ctx.saved.result


class Log(Function):
    """The natural logarithm."""

    @staticmethod
    def forward(ctx: Context, a: Array) -> Array:
        ctx.save(a=a)
        return np.log(a)

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        return grad / ctx.saved.a


class MatMul(Function):
    """a @ b, for stacks of matrices; the stacks broadcast."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        if a.ndim < 2 or b.ndim < 2:
            raise ValueError(f"matmul takes matrices, but got shapes {a.shape} and {b.shape}")
        ctx.save(a=a, b=b)  # both, as nearly always both want a gradient
        return kernels.matmul(a, b)

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Gradients:
        a, b = ctx.saved.a, ctx.saved.b
        needs_a, needs_b = ctx.needs_grad
        return (
            unbroadcast(kernels.matmul(grad, b.swapaxes(-1, -2)), a.shape) if needs_a else None,
            unbroadcast(kernels.matmul(a.swapaxes(-1, -2), grad), b.shape) if needs_b else None,
        )


class Sum(Function):
    """Sum over axes: every summand gets the whole gradient."""

    @staticmethod
    def forward(ctx: Context, a: Array, *, axis: Any, keepdims: bool) -> Array:
        kept = a.sum(axis, keepdims=True)
        ctx.save(kept_shape=kept.shape)
        return kept if keepdims else as_array(a.sum(axis))

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        return np.broadcast_to(grad.reshape(ctx.saved.kept_shape), ctx.shapes[0]).copy()


class Reshape(Function):
    """The same elements in another shape."""

    @staticmethod
    def forward(ctx: Context, a: Array, *, shape: tuple[int, ...]) -> Array:
        return a.reshape(shape)

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        return grad.reshape(ctx.shapes[0])


class Transpose(Function):
    """The axes in another order; a copy, since kernels read arrays in order."""

    @staticmethod
    def forward(ctx: Context, a: Array, *, axes: tuple[int, ...]) -> Array:
        ctx.save(inverse=tuple(np.argsort([axis % a.ndim for axis in axes]).tolist()))
        return a.transpose(axes).copy()

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        return grad.transpose(ctx.saved.inverse).copy()


class GetItem(Function):
    """a[index]; elements picked several times add up. NumPy's places go to a's device."""

    @staticmethod
    def forward(ctx: Context, a: Array, *, index: Any) -> Array:
        ctx.save(index=index)
        picked = a[beside(a, index)]
        return as_array(picked).copy()  # a later change of either must not reach the other

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        return put_back(grad, ctx.saved.index, ctx.shapes[0])


class Move(Function):
    """The same values on another device; gradients come back to where the tensor was."""

    @staticmethod
    def forward(ctx: Context, a: Array, *, device: str) -> Array:
        ctx.save(origin=device_of(a))
        return move(a, device)

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        return move(grad, ctx.saved.origin)
