"""Operands of a convolution: arrays, or values that are computed from arrays when they are read.

Between two convolutions are batch norm and ReLU. Their arithmetic takes no time beside the memory
that they read and write. So their results need not be written: a convolution takes an `Input` whose
normalisation is pending, and its backward pass an `OutputGrad` whose ReLU mask and batch norm are
pending (`../backward_link.py` defines the terms). Each value is made in registers:

    input = relu((x - mean) * scale + beta)
    grad  = scale * dz + slope * (z - mean) + shift,  dz = dy where y > 0     (see `batch_norm.py`)

`mean`, `scale`, `beta`, `slope` and `shift` hold one value per channel. Where maps are bfloat16, a
convolution multiplies pending values rounded, as if they had been maps (`factor_of_input`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .compiling import helper
from .memory import NO_FLOATS, Array, flat, no_map
from .simd import (
    as_stored,
    broadcast,
    cut_below_zero,
    fma,
    load_lanes,
    pointer,
    where_positive,
)
from .window import prefetch_share


class Input(NamedTuple):
    """The input of a convolution: x, or relu(batch norm of x), pending."""

    x: Array
    norm_pending: bool = False
    mean: Array = NO_FLOATS
    scale: Array = NO_FLOATS
    beta: Array = NO_FLOATS


class OutputGrad(NamedTuple):
    """The gradient of a convolution's result: dy; a mask and a batch norm may be pending."""

    dy: Array
    mask_pending: bool = False  # y > 0; y as in Input (Numba's loops take no nested tuples)
    y: Array = NO_FLOATS
    y_norm_pending: bool = False
    y_mean: Array = NO_FLOATS
    y_scale: Array = NO_FLOATS
    y_beta: Array = NO_FLOATS
    norm_pending: bool = False
    z: Array = NO_FLOATS
    mean: Array = NO_FLOATS
    scale: Array = NO_FLOATS
    slope: Array = NO_FLOATS
    shift: Array = NO_FLOATS


class MaskAndSum(NamedTuple):
    """If `wanted`: dx is masked and its sums are gathered, for batch norm of z, then ReLU."""

    z: Array = NO_FLOATS
    mean: Array = NO_FLOATS
    wanted: bool = False


def masked(dy: Array, y: Input) -> OutputGrad:
    """dy where y > 0."""
    return OutputGrad(dy, True, *y)


def flat_input(source: Input) -> Input:
    """The same with flat arrays, as kernels take them."""
    return source._replace(x=flat(source.x))


def flat_grad(grad: OutputGrad) -> OutputGrad:
    """The same with flat arrays, as kernels take them."""
    nothing = no_map(grad.dy.dtype)  # one type, so one compilation
    y = flat(grad.y) if grad.mask_pending else nothing
    z = flat(grad.z) if grad.norm_pending else nothing
    return grad._replace(dy=flat(grad.dy), y=y, z=z)


@helper
def input_pointers(source):
    """The same with pointers in place of arrays, for the helpers of a kernel."""
    return Input(
        pointer(source.x),
        source.norm_pending,
        pointer(source.mean),
        pointer(source.scale),
        pointer(source.beta),
    )


@helper
def grad_pointers(grad):
    """The same with pointers in place of arrays, for the helpers of a kernel."""
    return OutputGrad(
        pointer(grad.dy),
        grad.mask_pending,
        pointer(grad.y),
        grad.y_norm_pending,
        pointer(grad.y_mean),
        pointer(grad.y_scale),
        pointer(grad.y_beta),
        grad.norm_pending,
        pointer(grad.z),
        pointer(grad.mean),
        pointer(grad.scale),
        pointer(grad.slope),
        pointer(grad.shift),
    )


@helper
def mask_pointers(mask):
    """The same with pointers in place of arrays, for the helpers of a kernel."""
    return MaskAndSum(pointer(mask.z), pointer(mask.mean), mask.wanted)


@helper
def masked_pointers(dy, y):
    """`masked` for kernels. The other fields get any pointer: they are never read."""
    masked = dy, True, y.x, y.norm_pending, y.mean, y.scale, y.beta
    return OutputGrad(*masked, False, y.x, y.mean, y.mean, y.mean, y.mean)


@helper
def input_terms(source, c, lanes):
    """`(mean, scale, beta)` of the channels from `c`."""
    zero = broadcast(np.float32(0))
    if not source.norm_pending:
        return zero, zero, zero
    return (
        load_lanes(source.mean, c, lanes),
        load_lanes(source.scale, c, lanes),
        load_lanes(source.beta, c, lanes),
    )


@helper
def load_input(source, terms, at, lanes, exists):
    """A vector of the input; zeros if the pixel does not exist."""
    if not exists:
        return broadcast(np.float32(0))
    value = load_lanes(source.x, at, lanes)
    if source.norm_pending:
        mean, scale, beta = terms
        value = cut_below_zero(fma(value - mean, scale, beta))
    return value


@helper
def factor_of_input(source, terms, at, lanes, exists):
    """`load_input` as it is multiplied."""
    value = load_input(source, terms, at, lanes, exists)
    return as_stored(value, source.x) if source.norm_pending else value


@helper
def mask_source(grad):
    """The y that masks a gradient, as an Input."""
    return Input(grad.y, grad.y_norm_pending, grad.y_mean, grad.y_scale, grad.y_beta)


@helper
def grad_terms(grad, c, lanes):
    """Terms of the channels from `c`: those of y, and `(mean, scale, slope, shift)`."""
    zero = broadcast(np.float32(0))
    if not grad.norm_pending:
        return input_terms(mask_source(grad), c, lanes), (zero, zero, zero, zero)
    terms = (
        load_lanes(grad.mean, c, lanes),
        load_lanes(grad.scale, c, lanes),
        load_lanes(grad.slope, c, lanes),
        load_lanes(grad.shift, c, lanes),
    )
    return input_terms(mask_source(grad), c, lanes), terms


@helper
def load_grad(grad, terms, at, lanes, exists):
    """A vector of the gradient; zeros if the pixel does not exist."""
    if not exists:
        return broadcast(np.float32(0))
    value = load_lanes(grad.dy, at, lanes)
    if grad.mask_pending:
        value = where_positive(load_input(mask_source(grad), terms[0], at, lanes, True), value)
    if grad.norm_pending:
        mean, scale, slope, shift = terms[1]
        rest = fma(slope, load_lanes(grad.z, at, lanes) - mean, shift)
        value = fma(scale, value, rest)
    return value


@helper
def factor_of_grad(grad, terms, at, lanes, exists):
    """`load_grad` as it is multiplied. (A mask alone changes no digits.)"""
    value = load_grad(grad, terms, at, lanes, exists)
    return as_stored(value, grad.dy) if grad.norm_pending else value


@helper
def prefetch_grads(grad, first, last, share, shares):
    """`prefetch_share` of all arrays from which floats first .. last of the gradient are made."""
    prefetch_share(grad.dy, first, last, share, shares)
    if grad.mask_pending:
        prefetch_share(grad.y, first, last, share, shares)
    if grad.norm_pending:
        prefetch_share(grad.z, first, last, share, shares)
