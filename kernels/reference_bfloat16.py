"""The reference for maps in bfloat16: where values are rounded, and nothing else.

What computes with maps takes their values as float32, calls `reference.py`, and rounds the maps
that it makes, once. So this is the text to read for what "bfloat16" means:

- A convolution multiplies rounded weights. Its result z is a map: it is rounded before its
  statistics are taken, which are float32.
- Between the convolutions of a block, after batch norm and ReLU, values are rounded as if they were
  stored; so is the gradient behind batch norm.
- Gradients of maps are maps. Where a block adds the gradients of branch and shortcut, their sum is
  rounded. Gradients of weights, gamma and beta are float32 and never rounded.
- With given statistics (`conv2d_batch_norm_eval`) z is not kept, and only the result is rounded.
"""

from __future__ import annotations

import functools

import numpy as np

from . import reference
from .backward_link import NO_LINKS
from .dtypes import bfloat16, is_bfloat16
from .records import SavedNorm


def wide(*arrays):
    """Maps as float32; other arrays, and None, as they are."""
    return [
        a.astype(np.float32) if isinstance(a, np.ndarray) and is_bfloat16(a.dtype) else a
        for a in arrays
    ]


def rounded(array):
    """A map of these values."""
    return array.astype(bfloat16())


def rounded_weight(weight):
    """A weight of these values, to rounding, still in float32."""
    return rounded(weight).astype(weight.dtype)


def of_maps(kernel):
    """The reference's kernel for maps: its result, or the first of several, is rounded."""

    @functools.wraps(kernel)
    def call(*arrays, **settings):
        result = kernel(
            *wide(*arrays), **dict(zip(settings, wide(*settings.values()), strict=True))
        )
        if isinstance(result, tuple):
            return rounded(result[0]), *result[1:]
        return rounded(result)

    return call


avg_pool = of_maps(reference.avg_pool)
avg_pool_grad = of_maps(reference.avg_pool_grad)
batch_norm = of_maps(reference.batch_norm)
batch_norm_eval = of_maps(reference.batch_norm_eval)
global_avg_pool_grad = of_maps(reference.global_avg_pool_grad)
max_pool = of_maps(reference.max_pool)
max_pool_grad = of_maps(reference.max_pool_grad)
relu = of_maps(reference.relu)
relu_grad = of_maps(reference.relu_grad)
subsample_and_pad = of_maps(reference.subsample_and_pad)
subsample_and_pad_grad = of_maps(reference.subsample_and_pad_grad)


def global_avg_pool(x):
    """The averages are no map."""
    return reference.global_avg_pool(*wide(x))


# ---------------------------------------------------------------------------- convolution


def conv2d(x, weight, **geometry):
    return rounded(reference.conv2d(*wide(x), rounded_weight(weight), **geometry))


def conv2d_input_grad(dy, weight, **geometry):
    return rounded(reference.conv2d_input_grad(*wide(dy), rounded_weight(weight), **geometry))


def conv2d_weight_grad(dy, x, **geometry):
    return reference.conv2d_weight_grad(*wide(dy, x), **geometry)


# --------------------------------------------------------------------- batch normalisation


def batch_norm_grad(dy, x, gamma, mean, var, *, eps, y=None):
    return two_maps(reference.batch_norm_grad, (dy, x, gamma, mean, var), eps, y)


def batch_norm_eval_grad(dy, x, gamma, mean, var, *, eps, y=None):
    return two_maps(reference.batch_norm_eval_grad, (dy, x, gamma, mean, var), eps, y)


def two_maps(kernel, arrays, eps, y):
    """dx is rounded; the residual's gradient is dy, masked, and has no more digits than that."""
    dx, dgamma, dbeta, dresidual = kernel(*wide(*arrays), eps=eps, y=wide(y)[0])
    return rounded(dx), dgamma, dbeta, rounded(dresidual)


def conv2d_batch_norm(x, layer, *, residual=None, relu=False, running=None):
    z = conv2d(x, layer.weight, **layer.geometry)
    settings = {"eps": layer.eps, "residual": residual, "relu": relu, "running": running}
    y, mean, var = batch_norm(z, layer.gamma, layer.beta, **settings)
    return y, SavedNorm(z, mean, var, y if relu else None)


def conv2d_batch_norm_grad(
    dy, x, layer, saved, *, needs_dx=True, needs_dresidual=True, links=NO_LINKS
):
    dz, dgamma, dbeta, dresidual = norm_grad(dy, layer, saved)
    dx = (
        conv2d_input_grad(dz, layer.weight, x_shape=x.shape, **layer.geometry) if needs_dx else None
    )
    dweight = conv2d_weight_grad(dz, x, kernel_size=layer.weight.shape[:2], **layer.geometry)
    return dx, dweight, dgamma, dbeta, dresidual if needs_dresidual else None


def norm_grad(dy, layer, saved):
    """The gradients of a layer's batch norm."""
    z, mean, var, y = saved
    return batch_norm_grad(dy, z, layer.gamma, mean, var, eps=layer.eps, y=y)


def conv2d_batch_norm_eval(x, layer, mean, var, *, residual=None, relu=False):
    layer = layer._replace(weight=rounded_weight(layer.weight))
    x, residual = wide(x, residual)
    return rounded(
        reference.conv2d_batch_norm_eval(x, layer, mean, var, residual=residual, relu=relu)
    )


def basic_block(x, first, second, *, skip, running=(None, None)):
    between, saved1 = conv2d_batch_norm(x, first, relu=True, running=running[0])
    channels = second.weight.shape[3]
    residual = subsample_and_pad(x, channels=channels, stride=first.stride) if skip else None
    settings = {"residual": residual, "relu": True, "running": running[1]}
    y, saved2 = conv2d_batch_norm(between, second, **settings)
    return y, (saved1._replace(y=None), saved2)


def basic_block_grad(dy, x, first, second, saved, *, skip, needs_dx=True, links=NO_LINKS):
    """As in the reference; the sum of dx and the shortcut's gradient is rounded once."""
    saved1, saved2 = saved
    z1, mean1, var1, _ = saved1
    between = batch_norm_eval(z1, first.gamma, first.beta, mean1, var1, eps=first.eps, relu=True)
    dbetween, *grads2, dresidual = conv2d_batch_norm_grad(dy, between, second, saved2)
    dz1, dgamma1, dbeta1, _ = norm_grad(dbetween, first, saved1._replace(y=between))
    dweight1 = conv2d_weight_grad(dz1, x, kernel_size=(3, 3), **first.geometry)
    dx = None
    if needs_dx:
        weight, settings = rounded_weight(first.weight), {"x_shape": x.shape, **first.geometry}
        dx = reference.conv2d_input_grad(*wide(dz1), weight, **settings)
        if skip:
            (dresidual,) = wide(dresidual)
            dx += reference.subsample_and_pad_grad(dresidual, x_shape=x.shape, stride=first.stride)
        dx = rounded(dx)
    return dx, dweight1, dgamma1, dbeta1, *grads2


# ----------------------------------------------------------------------- what takes no maps


def __getattr__(name):
    """The other kernels of the contract refuse bfloat16, with a sentence."""
    if not hasattr(reference, name) or name.startswith("_"):
        raise AttributeError(name)

    def refuse(*_, **__):
        raise ValueError(f"{name} takes no bfloat16 on the cpu: convert with .astype(np.float32)")

    return refuse
