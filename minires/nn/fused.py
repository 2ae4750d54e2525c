"""Operations that are several in one: a convolution and what follows it, and a whole block.

Between convolutions there is little to compute and much to read and write, so that each pass over
memory that is saved counts; see `kernels/cpu/normalised.py`. The results are those of the plain
operations, one after the other, to rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Context, Function
from ..autograd.function import Array
from ..autograd.ops import Gradients
from ..kernels.handover import Handover
from ..kernels.running import Running
from .module import Parameter


class ConvAdd(Function):
    """A convolution and, in the same pass, a bias, a residual and ReLU: each where wanted.

    It is batch norm's kernel with the mean 0 and the variance 1.
    """

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
        y = kernels.conv2d_batch_norm_eval(
            x, weight, one, beta, zero, one, eps=0.0, residual=residual, relu=relu, **geometry
        )
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
            dbias = dz.sum((0, 1, 2))
        return dx, dweight, dbias, dz if ctx.needs_grad[3] else None


class ConvBatchNorm(Function):
    """A convolution and batch norm by the batch's own statistics, which are also returned."""

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
        y, z, mean, var = kernels.conv2d_batch_norm(
            x, weight, gamma, beta, residual=residual, relu=relu, running=running, **settings
        )
        results = {"z": z, "mean": mean, "var": var, "y": y if relu else None}
        handover = Handover(z, mean) if relu else None
        ctx.save(x=x, weight=weight, gamma=gamma, **results, **settings, handover=handover)
        return y, mean, var

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Gradients:
        needs_dx, *_, needs_dresidual = ctx.needs_grad
        return kernels.conv2d_batch_norm_grad(
            grad,
            **vars(ctx.saved),
            needs_dx=needs_dx,
            needs_dresidual=needs_dresidual,
            before=handover_before(ctx),
            homes=homes(ctx, 1, 2, 3),
        )


class ConvBatchNormEval(Function):
    """A convolution and batch norm by given statistics, constants to the gradient.

    The convolution's result is not kept: backward, which evaluation seldom needs, makes it anew.
    """

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
        eps: float,
        relu: bool,
        **geometry: int,
    ) -> Array:
        y = kernels.conv2d_batch_norm_eval(
            x, weight, gamma, beta, mean, var, eps=eps, residual=residual, relu=relu, **geometry
        )
        # copies: the running statistics move on before the backward pass
        ctx.save(
            x=x,
            weight=weight,
            gamma=gamma,
            mean=mean.copy(),
            var=var.copy(),
            y=y if relu else None,
            eps=eps,
            geometry=geometry,
        )
        return y

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Gradients:
        s = ctx.saved
        z = kernels.conv2d(s.x, s.weight, **s.geometry)
        dz, dgamma, dbeta, dresidual = kernels.batch_norm_eval_grad(
            grad, z, s.gamma, s.mean, s.var, eps=s.eps, y=s.y
        )
        dx = dweight = None
        if ctx.needs_grad[0]:
            dx = kernels.conv2d_input_grad(dz, s.weight, x_shape=s.x.shape, **s.geometry)
        if ctx.needs_grad[1]:
            kernel_size = s.weight.shape[:2]
            dweight = kernels.conv2d_weight_grad(dz, s.x, kernel_size=kernel_size, **s.geometry)
        return dx, dweight, dgamma, dbeta, dresidual


class BasicBlock(Function):
    """A residual block with shortcut A, or its plain twin; also returns its statistics."""

    @staticmethod
    def forward(
        ctx: Context,
        x: Array,
        weight1: Array,
        gamma1: Array,
        beta1: Array,
        weight2: Array,
        gamma2: Array,
        beta2: Array,
        *,
        eps: float,
        stride: int,
        skip: bool,
        running: tuple[Running | None, Running | None],
    ) -> Any:
        inputs: dict[str, Any] = {"x": x, "weight1": weight1, "gamma1": gamma1, "beta1": beta1}
        inputs |= {"weight2": weight2, "gamma2": gamma2, "beta2": beta2}
        settings: dict[str, Any] = {"eps": eps, "stride": stride, "skip": skip}
        results = kernels.basic_block(**inputs, **settings, running=running)
        names = ("y", "z1", "mean1", "var1", "z2", "mean2", "var2")
        by_name = dict(zip(names, results, strict=True))
        handover = Handover(by_name["z2"], by_name["mean2"])
        ctx.save(**inputs, **by_name, **settings, handover=handover)
        return tuple(by_name[name] for name in ("y", "mean1", "var1", "mean2", "var2"))

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Gradients:
        return kernels.basic_block_grad(
            grad,
            **vars(ctx.saved),
            needs_dx=ctx.needs_grad[0],
            before=handover_before(ctx),
            homes=homes(ctx, 1, 2, 3, 4, 5, 6),
        )


def handover_before(ctx: Context) -> Handover | None:
    """That of the operation that made this one's first input, unless somebody watches."""
    maker = ctx.parents[0]
    if not isinstance(maker, Context) or maker.hooks:
        return None
    handover = getattr(maker.saved, "handover", None)
    return handover if isinstance(handover, Handover) else None


def homes(ctx: Context, *positions: int) -> tuple[Array | None, ...]:
    """Arrays to write the gradients of these inputs into, where there are any."""
    parents = [ctx.parents[position] for position in positions]
    return tuple(p.lend_home() if isinstance(p, Parameter) else None for p in parents)
