"""What a convolution reads: arrays, or values made from arrays where they are read.

Between two convolutions stand batch norm and ReLU, which take no time next to the memory that they
read and write. So their results need not be written: a convolution takes an `Input` that is still
to be normalised, and its backward pass an `OutputGrad` that is still to go back through ReLU and
batch norm. Each value is made in registers:

    input = relu((x - mean) * scale + beta)
    grad  = scale * dz + slope * (z - mean) + shift,  dz = dy where y > 0     (see `batch_norm.py`)

`mean`, `scale`, `beta`, `slope` and `shift` hold one value a channel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .compiling import helper
from .memory import NO_FLOATS, Array
from .simd import broadcast, cut_below_zero, fma, load_lanes, pointer, where_positive
from .window import prefetch_share


class Input(NamedTuple):
    """The input of a convolution: x, or what makes it from x."""

    x: Array
    normalised: bool = False
    mean: Array = NO_FLOATS
    scale: Array = NO_FLOATS
    beta: Array = NO_FLOATS


NO_INPUT = Input(NO_FLOATS)


class OutputGrad(NamedTuple):
    """The gradient of a convolution's result: dy, or what makes it from dy."""

    dy: Array
    cut: bool = False  # to where y > 0; y as in Input (Numba's loops take no tuples in tuples)
    y: Array = NO_FLOATS
    y_normalised: bool = False
    y_mean: Array = NO_FLOATS
    y_scale: Array = NO_FLOATS
    y_beta: Array = NO_FLOATS
    normalised: bool = False
    z: Array = NO_FLOATS
    mean: Array = NO_FLOATS
    scale: Array = NO_FLOATS
    slope: Array = NO_FLOATS
    shift: Array = NO_FLOATS


class Norm(NamedTuple):
    """The batch norm of z, then cut off at zero to be an input; do its sums matter?"""

    z: Array = NO_FLOATS
    mean: Array = NO_FLOATS
    wants_sums: bool = False


def cut_to(dy: Array, y: Input) -> OutputGrad:
    """dy where y > 0."""
    return OutputGrad(dy, True, *y)


def flat_input(source: Input) -> Input:
    """The same with arrays of one axis, as kernels take them."""
    return source._replace(x=source.x.ravel())


def flat_grad(grad: OutputGrad) -> OutputGrad:
    """The same with arrays of one axis, as kernels take them."""
    return grad._replace(dy=grad.dy.ravel(), y=grad.y.ravel(), z=grad.z.ravel())


@helper
def input_pointers(source):
    """The same with pointers for arrays, for the helpers of a kernel."""
    return Input(
        pointer(source.x),
        source.normalised,
        pointer(source.mean),
        pointer(source.scale),
        pointer(source.beta),
    )


@helper
def grad_pointers(grad):
    """The same with pointers for arrays, for the helpers of a kernel."""
    return OutputGrad(
        pointer(grad.dy),
        grad.cut,
        pointer(grad.y),
        grad.y_normalised,
        pointer(grad.y_mean),
        pointer(grad.y_scale),
        pointer(grad.y_beta),
        grad.normalised,
        pointer(grad.z),
        pointer(grad.mean),
        pointer(grad.scale),
        pointer(grad.slope),
        pointer(grad.shift),
    )


@helper
def norm_pointers(norm):
    """The same with pointers for arrays, for the helpers of a kernel."""
    return Norm(pointer(norm.z), pointer(norm.mean), norm.wants_sums)


@helper
def cut_pointers(dy, y):
    """`cut_to` within a kernel; what has nothing to do with cutting is never read."""
    cut = dy, True, y.x, y.normalised, y.mean, y.scale, y.beta
    return OutputGrad(*cut, False, y.x, y.mean, y.mean, y.mean, y.mean)


@helper
def input_terms(source, c, lanes):
    """What channels from `c` are normalised by: mean, scale, beta."""
    zero = broadcast(np.float32(0))
    if not source.normalised:
        return zero, zero, zero
    return (
        load_lanes(source.mean, c, lanes),
        load_lanes(source.scale, c, lanes),
        load_lanes(source.beta, c, lanes),
    )


@helper
def load_input(source, terms, at, lanes, exists):
    """A vector of the input; zeros where there is no such pixel."""
    if not exists:
        return broadcast(np.float32(0))
    value = load_lanes(source.x, at, lanes)
    if source.normalised:
        mean, scale, beta = terms
        value = cut_below_zero(fma(value - mean, scale, beta))
    return value


@helper
def cutting_input(grad):
    """The y of a gradient."""
    return Input(grad.y, grad.y_normalised, grad.y_mean, grad.y_scale, grad.y_beta)


@helper
def grad_terms(grad, c, lanes):
    """What gradients of channels from `c` are made with: y's terms; mean, scale, slope, shift."""
    zero = broadcast(np.float32(0))
    if not grad.normalised:
        return input_terms(cutting_input(grad), c, lanes), (zero, zero, zero, zero)
    terms = (
        load_lanes(grad.mean, c, lanes),
        load_lanes(grad.scale, c, lanes),
        load_lanes(grad.slope, c, lanes),
        load_lanes(grad.shift, c, lanes),
    )
    return input_terms(cutting_input(grad), c, lanes), terms


@helper
def load_grad(grad, terms, at, lanes, exists):
    """A vector of the gradient; zeros where there is no such pixel."""
    if not exists:
        return broadcast(np.float32(0))
    value = load_lanes(grad.dy, at, lanes)
    if grad.cut:
        value = where_positive(load_input(cutting_input(grad), terms[0], at, lanes, True), value)
    if grad.normalised:
        mean, scale, slope, shift = terms[1]
        rest = fma(slope, load_lanes(grad.z, at, lanes) - mean, shift)
        value = fma(scale, value, rest)
    return value


@helper
def prefetch_grads(grad, first, last, share, shares):
    """`prefetch_share` of all that floats first .. last of the gradient are made from."""
    prefetch_share(grad.dy, first, last, share, shares)
    if grad.cut:
        prefetch_share(grad.y, first, last, share, shares)
    if grad.normalised:
        prefetch_share(grad.z, first, last, share, shares)
