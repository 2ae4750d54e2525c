"""A convolution and the batch norm after it as one: fewer passes over memory, the same results.

Forward, the convolution gathers its result's moments (see `finish.py`). Backward, the gradient of
that result is made where the convolution's own backward pass reads it (see `operands.py`). In a
block of two convolutions the map between them, normalised and cut off, is never written either, and
the sums that its batch norm's gradient needs are gathered while that gradient is in cache.
Passes over arrays of the result's size, forward and backward, for two convolutions and a skip
connection: 7 and 13, where one operation after the other takes 11 and 25.
"""

from __future__ import annotations

import numpy as np

from .batch_norm import (
    batch_norm_eval,
    combined,
    cut_grad,
    inverse_std,
    parameter_grads,
    through_batch_norm,
)
from .convolution import chunk_starts, conv2d_grads, conv2d_grads_between, finished
from .finish import Finish
from .memory import NO_FLOATS, Array, Doubles
from .operands import Input, OutputGrad, cut_to

Optional = Array | None


# ------------------------------------------------------------------------ one convolution


def conv2d_batch_norm(
    x: Array,
    weight: Array,
    gamma: Array,
    beta: Array,
    *,
    eps: float,
    stride: int = 1,
    padding: int = 0,
    residual: Optional = None,
    relu: bool = False,
) -> tuple[Array, Array, Array, Array]:
    """Convolution with moments, then one pass."""
    z, mean, var = conv2d_moments(Input(x), weight, stride, padding)
    y = batch_norm_eval(z, gamma, beta, mean, var, eps=eps, residual=residual, relu=relu)
    return y, z, mean, var


def conv2d_batch_norm_eval(
    x: Array,
    weight: Array,
    gamma: Array,
    beta: Array,
    mean: Array,
    var: Array,
    *,
    eps: float,
    stride: int = 1,
    padding: int = 0,
    residual: Optional = None,
    relu: bool = False,
) -> Array:
    """Convolution, normalised chunk by chunk."""
    finish = Finish(
        normalise=True,
        mean=mean,
        scale=gamma * inverse_std(var, eps),
        beta=beta,
        residual=NO_FLOATS if residual is None else residual.ravel(),
        has_residual=residual is not None,
        relu=relu,
    )
    return finished(Input(x), weight, stride, padding, finish)


def conv2d_batch_norm_grad(
    dy: Array,
    x: Array,
    weight: Array,
    z: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    *,
    eps: float,
    stride: int = 1,
    padding: int = 0,
    y: Optional = None,
    needs_dx: bool = True,
    needs_dresidual: bool = True,
) -> tuple[Optional, Array, Array, Array, Optional]:
    """Sums, then both gradients of the convolution from what makes the gradient of z."""
    grad = cut_grad(dy, y)
    write_dz = needs_dresidual and y is not None
    dgamma, dbeta, dz = parameter_grads(grad, z, mean, var, eps, write_dz=write_dz)
    grad = OutputGrad(dz) if write_dz else grad
    through = through_batch_norm(grad, z, gamma, mean, var, dgamma, dbeta, eps)
    dx, dweight = conv2d_grads(through, Input(x), weight, stride, padding, needs_dx)
    dresidual = grad.dy if needs_dresidual else None
    return dx if needs_dx else None, dweight, float32(dgamma), float32(dbeta), dresidual


def float32(sums: Doubles) -> Array:
    """Sums over all pixels, rounded."""
    return sums.astype(np.float32)


# ------------------------------------------------------------------------ a block of two


def basic_block(
    x: Array,
    weight1: Array,
    gamma1: Array,
    beta1: Array,
    weight2: Array,
    gamma2: Array,
    beta2: Array,
    *,
    eps: float,
    skip: bool,
) -> tuple[Array, ...]:
    """The second convolution normalises the first one's result as it reads it."""
    z1, mean1, var1 = conv2d_moments(Input(x), weight1, 1, 1)
    between = normalised(z1, gamma1, beta1, mean1, var1, eps)
    z2, mean2, var2 = conv2d_moments(between, weight2, 1, 1)
    residual = x if skip else None
    y = batch_norm_eval(z2, gamma2, beta2, mean2, var2, eps=eps, residual=residual, relu=True)
    return y, z1, mean1, var1, z2, mean2, var2


def basic_block_grad(
    dy: Array,
    x: Array,
    weight1: Array,
    gamma1: Array,
    beta1: Array,
    weight2: Array,
    gamma2: Array,
    beta2: Array,
    y: Array,
    z1: Array,
    mean1: Array,
    var1: Array,
    z2: Array,
    mean2: Array,
    var2: Array,
    *,
    eps: float,
    skip: bool,
    needs_dx: bool = True,
) -> tuple[Optional, Array, Array, Array, Array, Array, Array]:
    """The skip connection's gradient, dz, is what the first convolution adds its dx to."""
    grad = cut_grad(dy, y)
    hands_on = skip and needs_dx
    dgamma2, dbeta2, dz = parameter_grads(grad, z2, mean2, var2, eps, write_dz=hands_on)
    grad = OutputGrad(dz) if hands_on else grad
    grad = through_batch_norm(grad, z2, gamma2, mean2, var2, dgamma2, dbeta2, eps)
    between = normalised(z1, gamma1, beta1, mean1, var1, eps)
    dbetween, dweight2, dbeta1, products = conv2d_grads_between(grad, between, weight2, 1, 1)
    dgamma1 = products * inverse_std(var1, eps)
    grad = cut_to(dbetween, between)
    grad = through_batch_norm(grad, z1, gamma1, mean1, var1, dgamma1, dbeta1, eps)
    add_to = dz if hands_on else None
    dx, dweight1 = conv2d_grads(grad, Input(x), weight1, 1, 1, needs_dx, add_to)
    grads1 = dweight1, float32(dgamma1), float32(dbeta1)
    grads2 = dweight2, float32(dgamma2), float32(dbeta2)
    return dx if needs_dx else None, *grads1, *grads2


def normalised(z: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: float) -> Input:
    """relu(batch norm of z), to be made where it is read."""
    return Input(z, True, mean, gamma * inverse_std(var, eps), beta)


def conv2d_moments(
    source: Input, weight: Array, stride: int, padding: int
) -> tuple[Array, Array, Array]:
    """The convolution's result, its mean and its biased variance."""
    starts = chunk_starts(source.x.shape, weight.shape, stride, padding)
    means, squares = np.empty((2, len(starts) - 1, weight.shape[3]))
    finish = Finish(moments=True, means=means, squares=squares)
    z = finished(source, weight, stride, padding, finish)
    return z, *combined(means, squares, np.diff(starts))
