"""Operations that are several in one: a convolution and what follows it, and a whole block.

Between convolutions there is little to compute and much to read and write, so each pass over memory
that is saved counts; see `kernels/cpu/fused.py`. The results are those of the plain
operations, one after the other, to rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Context, Function
from ..autograd.function import Array, Edge
from ..autograd.ops import Gradients
from ..kernels.backward_link import BackwardLink, Links
from ..kernels.records import ConvNorm
from ..kernels.running import Running
from .module import Parameter


class ConvolveAdd(Function):
    """A convolution and, in the same pass, a bias, a residual and ReLU: each where wanted.

    It is batch norm's kernel with the mean 0 and the variance 1.
    """

    takes_parameters = True

    @staticmethod
    def forward(
        ctx: Context,
        x: Array,
        weight: Array,
        bias: Array | None,
        residual: Array | None,
        *,
        relu: bool,
        **geometry: int,
    ) -> Array:
        zero, one = np.zeros_like(weight[0, 0, 0]), np.ones_like(weight[0, 0, 0])
        beta = zero if bias is None else bias
        layer = ConvNorm(weight, one, beta, 0.0, **geometry)
        y = kernels.conv2d_batch_norm_eval(x, layer, zero, one, residual=residual, relu=relu)
        x_saved = x if ctx.needs_grad[1] else None
        ctx.save(x=x_saved, weight=weight, y=y if relu else None, geometry=geometry)
        return y

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Gradients:
        s, dx, dweight, dbias = ctx.saved, None, None, None
        dz = grad if s.y is None else kernels.relu_grad(grad, s.y)
        if ctx.needs_grad[0]:
            dx = kernels.conv2d_input_grad(dz, s.weight, x_shape=ctx.shapes[0], **s.geometry)
        if ctx.needs_grad[1]:
            kernel_size = s.weight.shape[:2]
            dweight = kernels.conv2d_weight_grad(dz, s.x, kernel_size=kernel_size, **s.geometry)
        if ctx.needs_grad[2]:
            dbias = dz.sum((0, 1, 2), dtype=s.weight.dtype)
        return dx, dweight, dbias, dz if ctx.needs_grad[3] else None


class ConvolveNormalise(Function):
    """A convolution and batch norm by the batch's own statistics, which are also returned."""

    takes_parameters = True

    @staticmethod
    def forward(
        ctx: Context,
        x: Array,
        weight: Array,
        gamma: Array,
        beta: Array,
        residual: Array | None,
        *,
        relu: bool,
        running: Running | None,
        **settings: Any,
    ) -> Any:
        layer = ConvNorm(weight, gamma, beta, **settings)
        y, saved = kernels.conv2d_batch_norm(
            x, layer, residual=residual, relu=relu, running=running
        )
        link = BackwardLink(saved.z, saved.mean) if relu else None
        ctx.save(x=x, layer=layer, saved=saved, link=link)
        return y, saved.mean, saved.var

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Gradients:
        s, (needs_dx, *_, needs_dresidual) = ctx.saved, ctx.needs_grad
        needs = {"needs_dx": needs_dx, "needs_dresidual": needs_dresidual}
        links = links_of(ctx, ctx.parents[1:4])
        return kernels.conv2d_batch_norm_grad(grad, s.x, s.layer, s.saved, **needs, links=links)


class ConvolveNormaliseEval(Function):
    """A convolution and batch norm by given statistics, constants to the gradient.

    The convolution's result is not kept: backward, which evaluation seldom needs, makes it anew.
    """

    takes_parameters = True

    @staticmethod
    def forward(
        ctx: Context,
        x: Array,
        weight: Array,
        gamma: Array,
        beta: Array,
        residual: Array | None,
        *,
        mean: Array,
        var: Array,
        relu: bool,
        **settings: Any,
    ) -> Array:
        layer = ConvNorm(weight, gamma, beta, **settings)
        y = kernels.conv2d_batch_norm_eval(x, layer, mean, var, residual=residual, relu=relu)
        # copies: the running statistics move on before the backward pass
        statistics = {"mean": mean.copy(), "var": var.copy()}
        ctx.save(x=x, layer=layer, y=y if relu else None, **statistics)
        return y

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Gradients:
        s, layer = ctx.saved, ctx.saved.layer
        if not any(ctx.needs_grad[2:4]):
            return folded_gradients(ctx, grad)
        z = kernels.conv2d(s.x, layer.weight, **layer.geometry)
        dz, dgamma, dbeta, dresidual = kernels.batch_norm_eval_grad(
            grad, z, layer.gamma, s.mean, s.var, eps=layer.eps, y=s.y
        )
        dx = dweight = None
        if ctx.needs_grad[0]:
            dx = kernels.conv2d_input_grad(dz, layer.weight, x_shape=s.x.shape, **layer.geometry)
        if ctx.needs_grad[1]:
            kernel_size = layer.weight.shape[:2]
            dweight = kernels.conv2d_weight_grad(dz, s.x, kernel_size=kernel_size, **layer.geometry)
        return dx, dweight, dgamma, dbeta, dresidual


def folded_gradients(ctx: Context, grad: Array) -> Gradients:
    """Those of a convolution whose frozen batch norm is a factor of its weights, and a shift."""
    s, layer, dx, dweight = ctx.saved, ctx.saved.layer, None, None
    dz = kernels.relu_grad(grad, s.y) if s.y is not None else grad
    scale = layer.gamma / np.sqrt(s.var + layer.gamma.dtype.type(layer.eps))
    if ctx.needs_grad[0]:
        weight = layer.weight * scale
        dx = kernels.conv2d_input_grad(dz, weight, x_shape=s.x.shape, **layer.geometry)
    if ctx.needs_grad[1]:
        kernel_size = layer.weight.shape[:2]
        dweight = scale * kernels.conv2d_weight_grad(
            dz, s.x, kernel_size=kernel_size, **layer.geometry
        )
    return dx, dweight, None, None, dz if ctx.needs_grad[4] else None


class RunBasicBlock(Function):
    """A residual block with shortcut A, or its plain twin; also returns its statistics."""

    takes_parameters = True

    @staticmethod
    def forward(
        ctx: Context,
        x: Array,
        *parameters: Any,
        eps: float,
        stride: int,
        skip: bool,
        running: tuple[Running | None, Running | None],
    ) -> Any:
        weight1, gamma1, beta1, weight2, gamma2, beta2 = parameters
        first = ConvNorm(weight1, gamma1, beta1, eps, stride, 1)
        second = ConvNorm(weight2, gamma2, beta2, eps, 1, 1)
        y, saved = kernels.basic_block(x, first, second, skip=skip, running=running)
        norm1, norm2 = saved
        link = BackwardLink(norm2.z, norm2.mean)
        ctx.save(x=x, first=first, second=second, saved=saved, skip=skip, link=link)
        return y, norm1.mean, norm1.var, norm2.mean, norm2.var

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Gradients:
        s, links = ctx.saved, links_of(ctx, ctx.parents[1:])
        arrays = grad, s.x, s.first, s.second, s.saved
        settings = {"skip": s.skip, "needs_dx": ctx.needs_grad[0]}
        return kernels.basic_block_grad(*arrays, **settings, links=links)


def links_of(ctx: Context, parameters: tuple[Edge, ...]) -> Links:
    """What ties an operation's backward pass to others; `parameters` are some of its parents."""
    buffers = [p.lend_grad_buffer() if isinstance(p, Parameter) else None for p in parameters]
    return Links(ctx.saved.link, link_of_input(ctx), tuple(buffers), ctx.take_grad_so_far)


def link_of_input(ctx: Context) -> BackwardLink | None:
    """The link of the operation that made the first input; None if a hook watches that one."""
    maker = ctx.parents[0]
    if not isinstance(maker, Context) or maker.hooks:
        return None
    link = getattr(maker.saved, "link", None)
    return link if isinstance(link, BackwardLink) else None
