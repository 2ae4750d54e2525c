"""A convolution and its batch norm, and a whole block: with few passes over memory.

The moments of a convolution's result are taken while it is in registers. The map between a block's
two convolutions is never in memory: batch norm and ReLU stay *pending* on z1, and who reads z1
applies them. The gradient behind a ReLU is cut, and summed for batch norm, where it is made; so it
arrives that way at the operation before (`handover.py`).
"""

from __future__ import annotations

from typing import Any

from ..handover import Handover
from ..running import Running
from .batch_norm import Norm, batch_norm_eval, fresh_moments, gradients, normalise, statistics
from .convolution import (
    Gate,
    by_columns,
    conv2d,
    conv2d_input_grad,
    conv2d_weight_grad,
    convolve,
    input_grad,
    weight_grad,
)
from .launch import empty

Array = Any
MOST_PENDING = 512  # channels whose statistics fit into shared memory beside the tiles


def conv2d_batch_norm(
    x: Array,
    weight: Array,
    gamma: Array,
    beta: Array,
    *,
    eps: float,
    stride: int = 1,
    padding: int = 0,
    residual: Array | None = None,
    relu: bool = False,
    running: Running | None = None,
) -> tuple[Array, Array, Array, Array]:
    """`(y, z, mean, var)`."""
    z, mean, var = with_moments(x, weight, stride, padding, running)
    norm = Norm(mean, var, gamma, beta, eps)
    return normalise(z, norm, residual=residual, relu=relu), z, mean, var


def with_moments(
    x: Array, weight: Array, stride: int, padding: int, running: Running | None
) -> tuple[Array, Array, Array]:
    """A convolution's result, its mean and its variance; those of large kernels take a pass."""
    if by_columns("conv2d_batch_norm", "auto", weight.shape[:2]):
        z = conv2d(x, weight, stride=stride, padding=padding)
        return z, *statistics(z, running)
    moments = fresh_moments(weight.shape[3], x, running)
    z = convolve(x, weight, stride, padding, moments=moments)
    return z, *moments[:2]


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
    residual: Array | None = None,
    relu: bool = False,
) -> Array:
    """The result y alone."""
    z = conv2d(x, weight, stride=stride, padding=padding)
    return batch_norm_eval(z, gamma, beta, mean, var, eps=eps, residual=residual, relu=relu)


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
    y: Array | None = None,
    needs_dx: bool = True,
    needs_dresidual: bool = True,
    handover: Handover | None = None,
    before: Handover | None = None,
    homes: tuple[Array | None, ...] = (None,) * 3,
) -> tuple[Array | None, Array, Array, Array, Array | None]:
    """`(dx, dweight, dgamma, dbeta, dresidual)`."""
    dz, dgamma, dbeta, dresidual = behind_relu(
        dy, z, gamma, mean, var, eps, y, handover, needs_dresidual, homes[1:]
    )
    dx, kernel_size = None, weight.shape[:2]
    if by_columns("conv2d_batch_norm_grad", "auto", kernel_size):
        geometry: dict[str, Any] = {"stride": stride, "padding": padding}
        if needs_dx:
            dx = conv2d_input_grad(dz, weight, x_shape=x.shape, **geometry)
        dweight = conv2d_weight_grad(dz, x, kernel_size=kernel_size, **geometry)
    else:
        if needs_dx:
            dx = grad_for(before, x, dz, weight, stride, padding)
        dweight = weight_grad(dz, x, kernel_size, stride, padding, home=homes[0])
    return dx, dweight, dgamma, dbeta, dresidual if needs_dresidual else None


def behind_relu(
    dy: Array,
    z: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    eps: float,
    y: Array | None,
    handover: Handover | None,
    needs_dresidual: bool,
    homes: tuple[Array | None, ...],
) -> tuple[Array, Array, Array, Array | None]:
    """`(dz, dgamma, dbeta, dresidual)` of batch norm and ReLU, whose dy may be cut already."""
    sums = handover.take(dy) if handover else None
    return gradients(
        *(dy, z, gamma, mean, var),
        eps=eps,
        y=y if sums is None else None,
        training=True,
        sums=sums,
        needs_dresidual=needs_dresidual,
        homes=homes,
    )


def grad_for(
    before: Handover | None,
    x: Array,
    dy: Array,
    weight: Array,
    stride: int,
    padding: int,
    addend: Array | None = None,
) -> Array:
    """The gradient of a convolution's input, plus what came through the shortcut.

    It is left cut and summed for who made the input, if that is known. Not where the convolution
    strides, or where its filters keep it from packs of four: it would sum in another order than
    `gradient_sums`, and recomputation give other bits.
    """
    shortcut: dict[str, Any] = {"addend": addend, "addend_stride": stride}
    filters_do_not_fit = x.shape[3] % 4 == 0 and weight.shape[3] % 4 != 0
    if before is None or stride != 1 or filters_do_not_fit:
        return input_grad(dy, weight, x.shape, stride, padding, **shortcut)
    gate = Gate(before.z, before.mean, empty((2, x.shape[3]), x), result=x)
    dx = input_grad(dy, weight, x.shape, stride, padding, gate=gate, **shortcut)
    before.leave(dx, gate.sums)
    return dx


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
) -> tuple[Array, Array, Array, Array, Array, Array, Array]:
    """`(y, z1, mean1, var1, z2, mean2, var2)`; shortcut A is a way of reading x."""
    moments1 = fresh_moments(len(gamma1), x, running[0])
    moments2 = fresh_moments(len(gamma2), x, running[1])
    z1 = convolve(x, weight1, stride, 1, moments=moments1)
    norm1 = Norm(*moments1[:2], gamma1, beta1, eps)
    between, pending = between_of(z1, norm1)
    z2 = convolve(between, weight2, 1, 1, pending=pending, moments=moments2)
    norm2 = Norm(*moments2[:2], gamma2, beta2, eps)
    y = normalise(z2, norm2, residual=x if skip else None, stride=stride, relu=True)
    return y, z1, *norm1[:2], z2, *norm2[:2]


def between_of(z1: Array, norm1: Norm) -> tuple[Array, Norm | None]:
    """What the second convolution reads, and what is pending on it."""
    if z1.shape[3] <= MOST_PENDING:
        return z1, norm1
    return normalise(z1, norm1, relu=True), None


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
    homes: tuple[Array | None, ...] = (None,) * 6,
) -> tuple[Array | None, Array, Array, Array, Array, Array, Array]:
    """The skip connection's share is added where dx is made."""
    dz2, dgamma2, dbeta2, dresidual = behind_relu(
        dy, z2, gamma2, mean2, var2, eps, y, handover, skip and needs_dx, homes[4:]
    )
    norm1 = Norm(mean1, var1, gamma1, beta1, eps)
    gate = Gate(z1, mean1, empty((2, z1.shape[3]), z1), norm=norm1)
    dbetween = input_grad(dz2, weight2, z1.shape, 1, 1, gate=gate)
    between, pending = between_of(z1, norm1)
    dweight2 = weight_grad(dz2, between, (3, 3), 1, 1, pending=pending, home=homes[3])
    settings: dict[str, Any] = {"eps": eps, "y": None, "training": True}
    dz1, dgamma1, dbeta1, _ = gradients(
        dbetween, z1, gamma1, mean1, var1, **settings, sums=gate.sums, homes=homes[1:3]
    )
    dx = None
    if needs_dx:
        dx = grad_for(before, x, dz1, weight1, stride, 1, dresidual if skip else None)
    dweight1 = weight_grad(dz1, x, (3, 3), stride, 1, home=homes[0])
    return dx, dweight1, dgamma1, dbeta1, dweight2, dgamma2, dbeta2
