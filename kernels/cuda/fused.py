"""A convolution and its batch norm, and a whole block, composed of the kernels.

What is saved here beside the plain calls: the ReLU and the addition cost no pass of their own, nor
does the addition of what came back through the skip connection.
"""

from __future__ import annotations

from typing import Any

from ..handover import Handover
from ..reference import subsample_and_pad, subsample_and_pad_grad
from .batch_norm import batch_norm, batch_norm_eval, gradients
from .convolution import conv2d, conv2d_input_grad, conv2d_weight_grad

Array = Any


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
) -> tuple[Array, Array, Array, Array]:
    """`(y, z, mean, var)`."""
    z = conv2d(x, weight, stride=stride, padding=padding)
    y, mean, var = batch_norm(z, gamma, beta, eps=eps, residual=residual, relu=relu)
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
    addend: Array | None = None,
) -> tuple[Array | None, Array, Array, Array, Array | None]:
    """`(dx, dweight, dgamma, dbeta, dresidual)`; `addend` is added to dx."""
    geometry: dict[str, Any] = {"stride": stride, "padding": padding}
    settings: dict[str, Any] = {"eps": eps, "training": True, "needs_dresidual": needs_dresidual}
    dz, dgamma, dbeta, dresidual = gradients(dy, z, gamma, mean, var, y=y, **settings)
    dx = None
    if needs_dx:
        dx = conv2d_input_grad(dz, weight, x_shape=x.shape, addend=addend, **geometry)
    dweight = conv2d_weight_grad(dz, x, kernel_size=weight.shape[:2], **geometry)
    return dx, dweight, dgamma, dbeta, dresidual if needs_dresidual else None


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
) -> tuple[Array, Array, Array, Array, Array, Array, Array]:
    """`(y, z1, mean1, var1, z2, mean2, var2)`."""
    settings: dict[str, Any] = {"eps": eps, "padding": 1, "relu": True}
    between, z1, mean1, var1 = conv2d_batch_norm(
        x, weight1, gamma1, beta1, stride=stride, **settings
    )
    residual = shortcut(x, z1.shape, stride) if skip else None
    y, z2, mean2, var2 = conv2d_batch_norm(
        between, weight2, gamma2, beta2, residual=residual, **settings
    )
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
) -> tuple[Array | None, Array, Array, Array, Array, Array, Array]:
    """The map between the convolutions is made anew; the skip connection's share is added last."""
    settings: dict[str, Any] = {"eps": eps, "padding": 1}
    between = batch_norm_eval(z1, gamma1, beta1, mean1, var1, eps=eps, relu=True)
    dbetween, *grads2, dresidual = conv2d_batch_norm_grad(
        dy,
        *(between, weight2, z2, gamma2, mean2, var2),
        y=y,
        needs_dresidual=skip and needs_dx,
        **settings,
    )
    dx, *grads1, _ = conv2d_batch_norm_grad(
        dbetween,
        *(x, weight1, z1, gamma1, mean1, var1),
        y=between,
        stride=stride,
        needs_dx=needs_dx,
        needs_dresidual=False,
        addend=None if dresidual is None else shortcut_grad(dresidual, x.shape, stride),
        **settings,
    )
    return dx, *grads1, *grads2


def shortcut(x: Array, shape: tuple[int, ...], stride: int) -> Array:
    """Shortcut A from x to a map of this shape; x itself where nothing changes."""
    return x if x.shape == shape else subsample_and_pad(x, channels=shape[3], stride=stride)


def shortcut_grad(dy: Array, x_shape: tuple[int, ...], stride: int) -> Array:
    """Its gradient."""
    return dy if dy.shape == x_shape else subsample_and_pad_grad(dy, x_shape=x_shape, stride=stride)
