"""ReLU and the step of SGD."""

from __future__ import annotations

from typing import Any

from ..devices import is_cuda, namespace
from .launch import blocks, empty, launch_over, scalar, type_name, vector

Array = Any


def relu(x: Array) -> Array:
    y = empty(x.shape, x)
    elementwise("relu", x, y, size=x.size)
    return y


def relu_grad(dy: Array, y: Array) -> Array:
    dx = empty(dy.shape, dy)
    elementwise("relu_grad", dy, y, dx, size=dy.size)
    return dx


def sgd_step(
    parameter: Array,
    grad: Array,
    velocity: Array,
    *,
    lr: float | Array,
    momentum: float,
    weight_decay: float,
) -> None:
    """One step, in place, in one launch for all parameters in the array.

    The kernel reads lr from memory of the GPU, so that a recorded launch follows its changes.
    """
    rate = lr if is_cuda(lr) else namespace(parameter).full((), lr, parameter.dtype)
    settings = [scalar(value, parameter) for value in (momentum, weight_decay)]
    elementwise("sgd_step", parameter, grad, velocity, rate, *settings, size=parameter.size)


def elementwise(name: str, *arguments: Any, size: int) -> None:
    """Launch a kernel whose threads take one value each, or four."""
    arrays = [argument for argument in arguments if hasattr(argument, "flags") and argument.ndim]
    values = vector(*(arrays or arguments[:1]))
    kernel = f"{name}<{type_name(arguments[0])}, {values}>"
    launch_over(blocks(size, values), "elementwise", kernel, *arguments, size)
