"""The choice of a convolution's algorithm, from its shape alone.

    winograd   3 x 3 at stride 1, with enough channels to fill a vector and enough tiles to pay for
               transforming the weight
    direct     few channels: making columns would cost more than the product
    im2col     everything else

The argument `algorithm` overrides the choice, so that algorithms can be compared.

Maps are float32, or bfloat16: then they are widened where they are read, and rounded once, when
their sums are whole. Either way sums are float32, cut and added alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from ..backward_link import BackwardLink
from ..checks import winograd_is_possible
from ..records import ConvNorm
from . import direct, im2col, winograd
from .batch_norm import even_starts, written, written_input
from .finish import Finish, adding
from .memory import NO_FLOATS, Array, Ints, Shape
from .operands import Input, OutputGrad
from .packing import as_factor, panels
from .partial_sums import at_most
from .shortcut import spread
from .window import by_shape, window

FEW_TILES = 64
OTHERS: dict[str, ModuleType] = {"direct": direct, "im2col": im2col}


# ------------------------------------------------------------------------ the choice


@by_shape
def choice(
    x_shape: Sequence[int],
    weight_shape: Sequence[int],
    stride: int,
    padding: int,
    algorithm: str = "auto",
) -> str:
    """The algorithm of this name; if it is "auto", the fastest one by our measurements."""
    if algorithm != "auto":
        return algorithm
    possible = winograd_is_possible(weight_shape, stride, padding)
    if possible and worthwhile(x_shape, weight_shape, padding):
        return "winograd"
    return "direct" if columns_cost_most(weight_shape) else "im2col"


def worthwhile(x_shape: Sequence[int], weight_shape: Sequence[int], padding: int) -> bool:
    tiles = winograd.number_of_tiles(window(x_shape, (3, 3), 1, padding))
    return min(weight_shape[2:]) >= 8 and tiles >= FEW_TILES


def columns_cost_most(weight_shape: Sequence[int]) -> bool:
    """Whether making columns takes longer than multiplying them."""
    return weight_shape[2] < 8 and weight_shape[3] <= 32


def sums_are_small(weight_shape: Sequence[int]) -> bool:
    """Whether a weight gradient by Winograd's algorithm has partial sums for several threads."""
    return at_most(winograd.part_size(*weight_shape[2:])) > 1


@by_shape
def both_by_winograd(x_shape: Shape, weight_shape: Shape, stride: int, padding: int) -> bool:
    """Whether Winograd's algorithm makes both gradients, from the same transforms."""
    chosen = choice(x_shape, weight_shape, stride, padding)
    return chosen == "winograd" and sums_are_small(weight_shape)


# ------------------------------------------------------------------------ for fused kernels


def input_grad(
    grad: OutputGrad,
    weight: Array,
    x_shape: Shape,
    stride: int,
    padding: int,
    algorithm: str = "auto",
    add_to: Array | None = None,
) -> Array:
    """Gradient with respect to the images; the gradient of the result may have pending steps.

    It is added to `add_to`, if that is given, whose array may be reused.
    """
    chosen = choice(x_shape, weight.shape, stride, padding, algorithm)
    if chosen == "winograd":
        settings: dict[str, Any] = {"x_shape": x_shape, "padding": padding, "add_to": add_to}
        return winograd.conv2d_grads(grad, None, weight, **settings)[0]
    return OTHERS[chosen].conv2d_input_grad(
        grad,
        as_factor(weight, grad.dy.dtype),
        x_shape=x_shape,
        stride=stride,
        padding=padding,
        finish=adding(add_to),
    )


def weight_grad(
    grad: OutputGrad,
    x: Array,
    weight_shape: Shape,
    stride: int,
    padding: int,
    algorithm: str = "auto",
) -> Array:
    """Gradient with respect to the weight; the gradient of the result may have pending steps."""
    chosen = choice(x.shape, weight_shape, stride, padding, algorithm)
    if chosen == "winograd" and (algorithm == chosen or sums_are_small(weight_shape)):
        return winograd.conv2d_grads(grad, Input(x), None, x_shape=x.shape, padding=padding)[1]
    return OTHERS.get(chosen, im2col).conv2d_weight_grad(
        grad, x, kernel_size=weight_shape[:2], stride=stride, padding=padding
    )


def finished(
    source: Input,
    weight: Array,
    stride: int,
    padding: int,
    finish: Finish,
    algorithm: str = "auto",
) -> Array:
    """A convolution; `finish` is applied to each chunk of its result while it is in cache."""
    chosen = choice(source.x.shape, weight.shape, stride, padding, algorithm)
    if chosen == "winograd":
        return winograd.conv2d(source, weight, padding=padding, finish=finish)
    w = window(source.x.shape, weight.shape[:2], stride, padding)
    packed, channels = panels(weight, source.x.dtype), weight.shape[3]
    return OTHERS[chosen].product(written_input(source), w, packed, channels, finish)


@by_shape
def chunk_starts(x_shape: Shape, weight_shape: Shape, stride: int, padding: int) -> Ints:
    """The output pixel that each chunk of `finished` starts at, and one past the last."""
    w = window(x_shape, weight_shape[:2], stride, padding)
    match choice(x_shape, weight_shape, stride, padding):
        case "winograd":
            return winograd.chunk_starts(w)
        case "direct":
            return direct.chunk_starts(w, weight_shape[3])
        case _:
            return im2col.chunk_starts(w)


@by_shape
def sum_starts(shape: Shape) -> Ints:
    """Where the gradient of a map is cut into chunks to be summed.

    If Winograd's algorithm makes the gradient of such a map, the cuts are those of its blocks. So
    the sums have the same bits, whether they are gathered there or made in a pass of their own.
    """
    channels = shape[3]
    if both_by_winograd(shape, (3, 3, channels, channels), 1, 1):
        return winograd_starts(shape, channels, 1)
    return even_starts(math.prod(shape[:3]), channels)


def winograd_starts(x_shape: Shape, channels: int, padding: int) -> Ints:
    """Where Winograd's gradient cuts dx, for a convolution to `channels` channels."""
    w, size = window(x_shape, (3, 3), 1, padding), winograd.part_size(x_shape[3], channels)
    return winograd.sum_starts(w, winograd.number_of_parts(w, size))


@by_shape
def cuts_alike(x_shape: Shape, weight_shape: Shape, padding: int) -> bool:
    """Whether Winograd's gradient of a convolution cuts dx where `sum_starts` does."""
    return np.array_equal(winograd_starts(x_shape, weight_shape[3], padding), sum_starts(x_shape))


def conv2d_grads(
    grad: OutputGrad,
    source: Input,
    layer: ConvNorm,
    *,
    needs_dx: bool = True,
    from_shortcut: Array | None = None,
    link: BackwardLink | None = None,
) -> tuple[Array, Array]:
    """`(dx, dweight)` of a layer's convolution; dx is empty if not needed.

    `from_shortcut`, the gradient that comes back through the shortcut around this convolution, is
    added to dx, and its array may be reused. If there is a `link` to the operation that made the
    input, Winograd's algorithm masks dx and gathers its sums, provided that the sums get the same
    bits as in a pass of their own. The other algorithms would need another pass, so they do not.
    """
    weight, geometry = layer.weight, layer.geometry
    padding, x_shape = layer.padding, source.x.shape
    all_alike = from_shortcut is None or from_shortcut.shape == x_shape
    if all_alike and both_by_winograd(x_shape, weight.shape, **geometry):
        return winograd.conv2d_grads(
            grad,
            source,
            weight if needs_dx else None,
            x_shape=x_shape,
            padding=padding,
            add_to=from_shortcut,
            link=link if needs_dx and cuts_alike(x_shape, weight.shape, padding) else None,
        )
    dx = NO_FLOATS
    if needs_dx:
        if layer.stride == 1:  # windows of it overlap
            grad = OutputGrad(written(grad))
        add_to = spread(from_shortcut, x_shape, layer.stride)
        dx = input_grad(grad, weight, x_shape, **geometry, add_to=add_to)
    return dx, weight_grad(grad, written_input(source), weight.shape, **geometry)
