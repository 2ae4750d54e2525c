"""A convolution and the batch norm after it as one: fewer passes over memory, the same results.

Forward, the convolution gathers its result's moments (see `finish.py`). Backward, the gradient of
that result is made where the convolution's own backward pass reads it (see `operands.py`), and the
sums that the batch norm before it needs are gathered while dx is in cache (see `handover.py`). In a
block of two convolutions the map between them, normalised and cut off, is never written either.
Passes over arrays of the result's size, forward and backward, for two convolutions and a skip
connection: 7 and 13, or 10 behind another block, where one operation after the other takes 11 and
25.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..handover import Handover
from ..running import Running
from .batch_norm import (
    batch_norm_eval,
    cut_grad,
    summed,
    through_batch_norm,
)
from .convolution import chunk_starts, conv2d_grads, finished, sum_starts
from .finish import Finish
from .memory import NO_FLOATS, Array, Doubles
from .operands import Input, OutputGrad, cut_to
from .per_channel import combined, follow, scale_of
from .shortcut import shortcut

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
    running: Running | None = None,
) -> tuple[Array, Array, Array, Array]:
    """Convolution with moments, then one pass."""
    z, mean, var = conv2d_moments(Input(x), weight, stride, padding, running)
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
        scale=scale_of(gamma, var, eps),
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
    handover: Handover | None = None,
    before: Handover | None = None,
    homes: tuple[Optional, ...] = (),  # not used here
) -> tuple[Optional, Array, Array, Array, Optional]:
    """Sums, then both gradients of the convolution from what makes the gradient of z."""
    cut = cut_grad(dy, y)
    grad, sums = handed_over_or_summed(handover, cut, z, mean, write=needs_dresidual)
    through, dgamma, dbeta = through_batch_norm(grad, sums, z, gamma, mean, var, eps)
    settings: dict[str, Any] = {"needs_dx": needs_dx, "before": before}
    dx, dweight = conv2d_grads(through, Input(x), weight, stride, padding, **settings)
    dresidual = grad.dy if needs_dresidual else None
    return dx if needs_dx else None, dweight, dgamma, dbeta, dresidual


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
    stride: int = 1,
    skip: bool,
    running: tuple[Running | None, Running | None] = (None, None),
) -> tuple[Array, ...]:
    """The second convolution normalises the first one's result as it reads it."""
    z1, mean1, var1 = conv2d_moments(Input(x), weight1, stride, 1, running[0])
    between = normalised(z1, gamma1, beta1, mean1, var1, eps)
    z2, mean2, var2 = conv2d_moments(between, weight2, 1, 1, running[1])
    residual = shortcut(x, z2.shape, stride) if skip else None
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
    stride: int = 1,
    skip: bool,
    needs_dx: bool = True,
    handover: Handover | None = None,
    before: Handover | None = None,
    homes: tuple[Optional, ...] = (),  # not used here
) -> tuple[Optional, Array, Array, Array, Array, Array, Array]:
    """The shortcut's gradient is that of dz, to which the first convolution's dx is added."""
    hands_on = skip and needs_dx
    cut = cut_grad(dy, y)
    grad, sums = handed_over_or_summed(handover, cut, z2, mean2, write=hands_on)
    from_shortcut = grad.dy if hands_on else None
    through, dgamma2, dbeta2 = through_batch_norm(grad, sums, z2, gamma2, mean2, var2, eps)
    between = normalised(z1, gamma1, beta1, mean1, var1, eps)
    to_norm1 = Handover(z1, mean1)
    dbetween, dweight2 = conv2d_grads(through, between, weight2, 1, 1, before=to_norm1)
    cut = cut_to(dbetween, between)
    grad, sums = handed_over_or_summed(to_norm1, cut, z1, mean1, write=False)
    through, dgamma1, dbeta1 = through_batch_norm(grad, sums, z1, gamma1, mean1, var1, eps)
    settings: dict[str, Any] = {
        "needs_dx": needs_dx,
        "from_shortcut": from_shortcut,
        "before": before,
    }
    dx, dweight1 = conv2d_grads(through, Input(x), weight1, stride, 1, **settings)
    wanted = dx if needs_dx else None
    return wanted, dweight1, dgamma1, dbeta1, dweight2, dgamma2, dbeta2


def handed_over_or_summed(
    handover: Handover | None, cut: OutputGrad, z: Array, mean: Array, *, write: bool
) -> tuple[OutputGrad, Doubles]:
    """`summed`, unless that has been done already; the sums have the same bits either way."""
    sums = handover.take(cut.dy) if handover else None
    if sums is None:
        return summed(cut, z, mean, sum_starts(z.shape), write=write)
    return OutputGrad(cut.dy), sums


def normalised(z: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: float) -> Input:
    """relu(batch norm of z), to be made where it is read."""
    return Input(z, True, mean, scale_of(gamma, var, eps), beta)


def conv2d_moments(
    source: Input, weight: Array, stride: int, padding: int, running: Running | None
) -> tuple[Array, Array, Array]:
    """The convolution's result, its mean and its biased variance; the running ones move."""
    starts = chunk_starts(source.x.shape, weight.shape, stride, padding)
    means, squares = np.empty((2, len(starts) - 1, weight.shape[3]))
    finish = Finish(moments=True, means=means, squares=squares)
    z = finished(source, weight, stride, padding, finish)
    mean, var = combined(means, squares, starts)
    follow(running, mean, var, z.size // z.shape[3])
    return z, mean, var
