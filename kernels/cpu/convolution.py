"""Which algorithm a convolution runs on, from its shape alone.

`winograd` needs a 3 x 3 kernel at stride 1; it pays where there are enough channels to fill a
vector and enough tiles to make up for transforming the weight. `im2col` does everything else.
A named algorithm (argument `algorithm`) is used as told: the tests compare them.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import winograd
from .im2col import conv2d as conv2d_by_columns
from .im2col import conv2d_input_grad as input_grad_by_columns
from .im2col import conv2d_weight_grad as weight_grad_by_columns
from .memory import Array, Shape
from .operands import Input, OutputGrad
from .window import window

ALGORITHMS = ("auto", "im2col", "winograd")
FEW_TILES = 64


def conv2d(
    x: Array, weight: Array, *, stride: int = 1, padding: int = 0, algorithm: str = "auto"
) -> Array:
    """Slide a weight over images."""
    if use_winograd(x.shape, weight.shape, stride, padding, algorithm):
        return winograd.conv2d(Input(x), weight, padding=padding)
    return conv2d_by_columns(x, weight, stride=stride, padding=padding)


def conv2d_input_grad(
    dy: Array,
    weight: Array,
    *,
    x_shape: Shape,
    stride: int = 1,
    padding: int = 0,
    algorithm: str = "auto",
) -> Array:
    """Gradient with respect to the images."""
    if use_winograd(x_shape, weight.shape, stride, padding, algorithm):
        grad = OutputGrad(dy)
        return winograd.conv2d_grads(grad, None, weight, x_shape=x_shape, padding=padding)[0]
    return input_grad_by_columns(dy, weight, x_shape=x_shape, stride=stride, padding=padding)


def conv2d_weight_grad(
    dy: Array,
    x: Array,
    *,
    kernel_size: tuple[int, int],
    stride: int = 1,
    padding: int = 0,
    algorithm: str = "auto",
) -> Array:
    """Gradient with respect to the weight."""
    weight_shape = (*kernel_size, x.shape[3], dy.shape[3])
    if use_winograd(x.shape, weight_shape, stride, padding, algorithm):
        grad = OutputGrad(dy)
        return winograd.conv2d_grads(grad, Input(x), None, x_shape=x.shape, padding=padding)[1]
    return weight_grad_by_columns(dy, x, kernel_size=kernel_size, stride=stride, padding=padding)


def use_winograd(
    x_shape: Sequence[int],
    weight_shape: Sequence[int],
    stride: int,
    padding: int,
    algorithm: str = "auto",
) -> bool:
    """Whether a convolution runs on Winograd's algorithm; an impossible wish is an error."""
    if algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm must be one of {ALGORITHMS}, but is {algorithm!r}")
    possible = tuple(weight_shape[:2]) == (3, 3) and stride == 1 and padding <= 2
    if algorithm != "auto":
        if algorithm == "winograd" and not possible:
            raise ValueError("winograd needs a 3 x 3 kernel, stride 1 and padding of at most 2")
        return algorithm == "winograd"
    return possible and worthwhile(x_shape, weight_shape, padding)


def worthwhile(x_shape: Sequence[int], weight_shape: Sequence[int], padding: int) -> bool:
    """Whether Winograd's algorithm is the faster one, by measurement."""
    tiles = winograd.number_of_tiles(window(x_shape, (3, 3), 1, padding))
    return min(weight_shape[2:]) >= 8 and tiles >= FEW_TILES
