"""A convolution and its batch norm, and a whole block, with few passes over memory.

The moments of a convolution's result are taken while it is in registers. The map between a block's
two convolutions is never in memory: batch norm and ReLU stay *pending* on z1, and the kernels that
read z1 apply them. The kernel that makes the gradient of a ReLU's result also masks it and gathers
its sums, so the operation before gets it in that form (`../backward_link.py` explains the idea).
"""

from __future__ import annotations

from typing import Any

from ..backward_link import NO_LINKS, BackwardLink, Links
from ..devices import namespace
from ..records import ConvNorm, SavedNorm
from ..running import Running
from .batch_norm import Norm, batch_norm_eval, fresh_moments, gradients, normalise, statistics
from .convolution import (
    MaskAndSum,
    ShortcutGrad,
    by_columns,
    conv2d,
    conv2d_input_grad,
    conv2d_weight_grad,
    convolve,
    input_grad,
    weight_grad,
)
from .launch import empty_numbers

Array = Any
Pair = tuple[SavedNorm, SavedNorm]
MOST_PENDING = 512  # channels; their statistics fit into shared memory beside the tiles


def conv2d_batch_norm(
    x: Array,
    layer: ConvNorm,
    *,
    residual: Array | None = None,
    relu: bool = False,
    running: Running | None = None,
) -> tuple[Array, SavedNorm]:
    saved = with_moments(x, layer, running)
    y = normalise(saved.z, norm_of(saved, layer), residual=residual, relu=relu)
    return y, saved._replace(y=y if relu else None)


def norm_of(saved: SavedNorm, layer: ConvNorm) -> Norm:
    """A layer's batch norm, with its statistics."""
    return Norm(saved.mean, saved.var, layer.gamma, layer.beta, layer.eps)


def with_moments(x: Array, layer: ConvNorm, running: Running | None) -> SavedNorm:
    """A convolution's result, its mean and variance; large kernels take a pass for them."""
    if by_columns("conv2d_batch_norm", "auto", layer.weight.shape[:2]):
        z = conv2d(x, layer.weight, **layer.geometry)
        return SavedNorm(z, *statistics(z, running))
    return convolved(x, layer, running)


def convolved(
    x: Array, layer: ConvNorm, running: Running | None, pending: Norm | None = None
) -> SavedNorm:
    """The convolution of x, or of relu(pending(x)), with moments taken on the way."""
    moments = fresh_moments(layer.weight.shape[3], x, running)
    z = convolve(x, layer.weight, layer.stride, layer.padding, pending, moments)
    return SavedNorm(z, moments.mean, moments.var)


def conv2d_batch_norm_eval(
    x: Array,
    layer: ConvNorm,
    mean: Array,
    var: Array,
    *,
    residual: Array | None = None,
    relu: bool = False,
) -> Array:
    z = conv2d(x, layer.weight, **layer.geometry)
    settings: dict[str, Any] = {"eps": layer.eps, "residual": residual, "relu": relu}
    return batch_norm_eval(z, layer.gamma, layer.beta, mean, var, **settings)


def conv2d_batch_norm_grad(
    dy: Array,
    x: Array,
    layer: ConvNorm,
    saved: SavedNorm,
    *,
    needs_dx: bool = True,
    needs_dresidual: bool = True,
    links: Links = NO_LINKS,
) -> tuple[Array | None, Array, Array, Array, Array | None]:
    sums = links.of_result.take(dy) if links.of_result else None
    settings: dict[str, Any] = {"sums": sums, "needs_dresidual": needs_dresidual}
    settings["grad_buffers"] = links.grad_buffers[1:3]
    dz, dgamma, dbeta, dresidual = gradients(dy, saved, layer.gamma, layer.eps, **settings)
    dx, weight = None, layer.weight
    if by_columns("conv2d_batch_norm_grad", "auto", weight.shape[:2]):
        if needs_dx:
            dx = conv2d_input_grad(dz, weight, x_shape=x.shape, **layer.geometry)
        dweight = conv2d_weight_grad(dz, x, kernel_size=weight.shape[:2], **layer.geometry)
    else:
        if needs_dx:
            dx = grad_for(links.of_input, x, dz, layer, grad_so_far(links))
        dweight = grad_of_weight(dz, x, layer, links.grad_buffers[0])
    return dx, dweight, dgamma, dbeta, dresidual if needs_dresidual else None


def grad_so_far(links: Links) -> ShortcutGrad | None:
    """What came through a shortcut around this convolution, if that came first."""
    grad = links.take_grad_so_far()
    return None if grad is None else ShortcutGrad(namespace(grad).ascontiguousarray(grad), 1)


def grad_of_weight(
    dz: Array, x: Array, layer: ConvNorm, grad_buffer: Array | None, pending: Norm | None = None
) -> Array:
    """Gradient of the weight of a convolution of x, or of relu(pending(x))."""
    kernel_size, geometry = layer.weight.shape[:2], (layer.stride, layer.padding)
    return weight_grad(dz, x, kernel_size, *geometry, pending, grad_buffer)


def grad_for(
    link: BackwardLink | None,
    x: Array,
    dz: Array,
    layer: ConvNorm,
    shortcut: ShortcutGrad | None = None,
) -> Array:
    """The gradient of a convolution's input, plus what came through the shortcut.

    If there is a link to the operation that made the input, the gradient is masked and its sums are
    gathered. Not if the convolution has a stride, or if its filters prevent packs of four: then it
    would sum in another order than `gradient_sums`, and recomputation would give other bits.
    """
    weight, geometry = layer.weight, (layer.stride, layer.padding)
    filters_do_not_fit = x.shape[3] % 4 == 0 and weight.shape[3] % 4 != 0
    if link is None or layer.stride != 1 or filters_do_not_fit:
        return input_grad(dz, weight, x.shape, *geometry, shortcut)
    mask = MaskAndSum(link.z, link.mean, empty_numbers((2, x.shape[3]), x), y=x)
    dx = input_grad(dz, weight, x.shape, *geometry, shortcut, mask)
    link.put(dx, mask.sums)
    return dx


def basic_block(
    x: Array,
    first: ConvNorm,
    second: ConvNorm,
    *,
    skip: bool,
    running: tuple[Running | None, Running | None] = (None, None),
) -> tuple[Array, Pair]:
    """`(y, saved)`; the last pass reads shortcut A's pixels from x itself."""
    saved1 = convolved(x, first, running[0])
    between, pending = between_of(saved1.z, norm_of(saved1, first))
    saved2 = convolved(between, second, running[1], pending)
    residual, norm2 = x if skip else None, norm_of(saved2, second)
    y = normalise(saved2.z, norm2, residual=residual, stride=first.stride, relu=True)
    return y, (saved1, saved2._replace(y=y))


def between_of(z1: Array, norm1: Norm) -> tuple[Array, Norm | None]:
    """What the second convolution reads, and what is pending on it."""
    if z1.shape[3] <= MOST_PENDING:
        return z1, norm1
    return normalise(z1, norm1, relu=True), None


def basic_block_grad(
    dy: Array,
    x: Array,
    first: ConvNorm,
    second: ConvNorm,
    saved: Pair,
    *,
    skip: bool,
    needs_dx: bool = True,
    links: Links = NO_LINKS,
) -> tuple[Array | None, Array, Array, Array, Array, Array, Array]:
    """The skip connection's gradient is added where dx is made."""
    (saved1, saved2), buffers = saved, links.grad_buffers
    sums = links.of_result.take(dy) if links.of_result else None
    settings: dict[str, Any] = {"sums": sums, "needs_dresidual": skip and needs_dx}
    settings["grad_buffers"] = buffers[4:]
    dz2, dgamma2, dbeta2, dresidual = gradients(dy, saved2, second.gamma, second.eps, **settings)
    z1, norm1 = saved1.z, norm_of(saved1, first)
    mask = MaskAndSum(z1, saved1.mean, empty_numbers((2, z1.shape[3]), z1), norm=norm1)
    dbetween = input_grad(dz2, second.weight, z1.shape, 1, 1, mask=mask)
    between, pending = between_of(z1, norm1)
    dweight2 = grad_of_weight(dz2, between, second, buffers[3], pending)
    settings = {"sums": mask.sums, "grad_buffers": buffers[1:3]}
    dz1, dgamma1, dbeta1, _ = gradients(dbetween, saved1, first.gamma, first.eps, **settings)
    dx = None
    if needs_dx:
        shortcut = ShortcutGrad(dresidual, first.stride) if skip else None
        dx = grad_for(links.of_input, x, dz1, first, shortcut)
    dweight1 = grad_of_weight(dz1, x, first, buffers[0])
    return dx, dweight1, dgamma1, dbeta1, dweight2, dgamma2, dbeta2
