"""Convolutions of other kinds: groups, dilation, another stride or padding for rows and columns.

No kernel of their own: they are made of the plain convolution, on every device. Where rows and
columns differ, x gets its border before, and pixels are skipped afterwards; a dilated weight is one
with zeros between its taps; groups run one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from .. import kernels
from ..autograd import Context, Function
from ..autograd.function import Array
from ..autograd.ops import Gradients
from ..kernels.devices import namespace

Pair = tuple[int, int]


class Plan(NamedTuple):
    """What the plain convolution does, and what is done around it."""

    stride: int
    padding: int
    border: Pair  # rows and columns of zeros on each side, beside the padding
    skip: Pair  # of the result every so-manieth row and column stays
    dilation: Pair
    groups: int

    @classmethod
    def of(cls, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Plan:
        common, least = math.gcd(*stride), min(padding)
        border = padding[0] - least, padding[1] - least
        skip = stride[0] // common, stride[1] // common
        return cls(common, least, border, skip, dilation, groups)

    @property
    def geometry(self) -> dict[str, Any]:
        """Of the plain convolution."""
        return {"stride": self.stride, "padding": self.padding}


class ConvolveGenerally(Function):
    """Convolution of x (N, H, W, C_in) with a weight (kh, kw, C_in / groups, C_out)."""

    takes_parameters = True

    @staticmethod
    def forward(
        ctx: Context, x: Array, weight: Array, bias: Array | None, **settings: Any
    ) -> Array:
        plan = Plan.of(**settings)
        refuse_what_does_not_fit(x, weight, bias, plan)
        ctx.save(x=x if ctx.needs_grad[1] else None, weight=weight, plan=plan)
        parts = zip(parts_of_input(x, plan), parts_of_weight(weight, plan), strict=True)
        y = joined(kernels.conv2d(a, b, **plan.geometry) for a, b in parts)
        y = every(y, plan.skip)
        return y if bias is None else y + bias.astype(y.dtype, copy=False)

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Gradients:
        x, weight, plan = ctx.saved.x, ctx.saved.weight, ctx.saved.plan
        dx = dweight = None
        grads = split(with_skipped(grad, ctx.shapes[0], weight, plan), plan.groups)
        if ctx.needs_grad[0]:
            n, *size, channels = ctx.shapes[0]
            size = [a + 2 * b for a, b in zip(size, plan.border, strict=True)]
            geometry = {"x_shape": (n, *size, channels // plan.groups), **plan.geometry}
            pairs = zip(grads, parts_of_weight(weight, plan), strict=True)
            dx = joined(kernels.conv2d_input_grad(g, w, **geometry) for g, w in pairs)
            dx = within(dx, plan.border)
        if ctx.needs_grad[1]:
            geometry = {"kernel_size": spread_size(weight, plan.dilation), **plan.geometry}
            pairs = zip(grads, parts_of_input(x, plan), strict=True)
            dweight = joined(kernels.conv2d_weight_grad(g, a, **geometry) for g, a in pairs)
            rows, columns = plan.dilation
            dweight = contiguous(dweight[::rows, ::columns])
        dbias = grad.sum((0, 1, 2), dtype=weight.dtype) if ctx.needs_grad[2] else None
        return dx, dweight, dbias


def refuse_what_does_not_fit(x: Array, weight: Array, bias: Array | None, plan: Plan) -> None:
    """What the plain convolution cannot know."""
    *_, per_group, out_channels = weight.shape
    if x.ndim != 4:
        raise ValueError(f"conv2d: x must be images (N, H, W, C), but has shape {x.shape}")
    if x.shape[3] != per_group * plan.groups or out_channels % plan.groups:
        raise ValueError(
            f"conv2d: {plan.groups} groups of a weight {weight.shape} take "
            f"{per_group * plan.groups} channels, and give a multiple of {plan.groups}; but x has "
            f"{x.shape[3]} channels {x.shape}"
        )
    if bias is not None and bias.shape != (out_channels,):
        raise ValueError(f"conv2d: bias must have shape {(out_channels,)}, but has {bias.shape}")


# -------------------------------------------------------------------- there, and back for gradients


def parts_of_input(x: Array, plan: Plan) -> list[Array]:
    """Each group's channels of x, with the border."""
    return split(with_border(x, plan.border), plan.groups)


def parts_of_weight(weight: Array, plan: Plan) -> list[Array]:
    """Each group's part of the weight, with zeros between its taps."""
    return split(spread(weight, plan.dilation), plan.groups)


def split(array: Array, groups: int) -> list[Array]:
    """Equal parts of the last axis, each contiguous."""
    size = array.shape[-1] // groups
    return [contiguous(array[..., g * size : (g + 1) * size]) for g in range(groups)]


def joined(parts: Iterable[Array]) -> Array:
    """The parts side by side in the last axis."""
    first, *others = parts
    return namespace(first).concatenate([first, *others], axis=-1) if others else first


def contiguous(array: Array) -> Array:
    """The array itself, or a copy, in order."""
    return namespace(array).ascontiguousarray(array)


def with_border(x: Array, border: Pair) -> Array:
    """Rows and columns of zeros around each image."""
    (n, height, width, channels), (rows, columns) = x.shape, border
    if not any(border):
        return x
    y = namespace(x).zeros((n, height + 2 * rows, width + 2 * columns, channels), x.dtype)
    within_view(y, border)[...] = x
    return y


def within_view(y: Array, border: Pair) -> Array:
    """The images within a border."""
    rows, columns = border
    return y[:, rows : y.shape[1] - rows, columns : y.shape[2] - columns]


def within(y: Array, border: Pair) -> Array:
    """The images within a border, in an array of their own."""
    return contiguous(within_view(y, border)) if any(border) else y


def spread_size(weight: Array, dilation: Pair) -> Pair:
    """Rows and columns that a dilated weight covers."""
    rows, columns = ((k - 1) * d + 1 for k, d in zip(weight.shape[:2], dilation, strict=True))
    return rows, columns


def spread(weight: Array, dilation: Pair) -> Array:
    """The weight with zeros between its taps."""
    if dilation == (1, 1):
        return weight
    shape = (*spread_size(weight, dilation), *weight.shape[2:])
    wide = namespace(weight).zeros(shape, weight.dtype)
    wide[:: dilation[0], :: dilation[1]] = weight
    return wide


def every(y: Array, skip: Pair) -> Array:
    """Every so-manieth row and column."""
    return y if skip == (1, 1) else contiguous(y[:, :: skip[0], :: skip[1]])


def with_skipped(grad: Array, x_shape: tuple[int, ...], weight: Array, plan: Plan) -> Array:
    """The gradient of what the plain convolution gives: zeros where pixels were skipped."""
    if plan.skip == (1, 1):
        return grad
    sizes = zip(x_shape[1:3], spread_size(weight, plan.dilation), plan.border, strict=True)
    size = [(n + 2 * (b + plan.padding) - k) // plan.stride + 1 for n, k, b in sizes]
    whole = namespace(grad).zeros((len(grad), *size, grad.shape[3]), grad.dtype)
    whole[:, :: plan.skip[0], :: plan.skip[1]] = grad
    return whole
