"""A convolution and the batch norm after it as one: fewer passes over memory, the same results.

In the forward pass the convolution gathers its result's moments (see `finish.py`). In the backward
pass the gradient of that result is made where the convolution's gradients read it (see
`operands.py`), and the sums that the batch norm before it needs are gathered while dx is in cache
(`../backward_link.py` explains the idea). In a block of two convolutions the map between them,
after batch norm and ReLU, is never written either. Passes over arrays of the result's size, for two
convolutions and a skip connection: 7 forward and 13 backward, or 10 if the next operation is
linked. Unfused operations take 11 and 25.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backward_link import NO_LINKS, BackwardLink, Links
from ..records import ConvNorm, SavedNorm
from ..running import Running
from .batch_norm import batch_norm_eval, masked_by, summed, through_batch_norm
from .by_dtype import chunk_starts, conv2d_grads, finished, sum_starts
from .finish import Finish
from .memory import NO_FLOATS, Array, Doubles, flat
from .operands import Input, OutputGrad, masked
from .per_channel import combined, follow, scale_of
from .shortcut import shortcut

Optional = Array | None
Pair = tuple[SavedNorm, SavedNorm]


# ------------------------------------------------------------------------ one convolution


def conv2d_batch_norm(
    x: Array,
    layer: ConvNorm,
    *,
    residual: Optional = None,
    relu: bool = False,
    running: Running | None = None,
) -> tuple[Array, SavedNorm]:
    """Convolution with moments, then one pass."""
    saved = with_moments(Input(x), layer, running)
    y = normalised(saved, layer, residual, relu)
    return y, saved._replace(y=y if relu else None)


def normalised(saved: SavedNorm, layer: ConvNorm, residual: Optional, relu: bool) -> Array:
    """The second pass: batch norm of the convolution's result."""
    z, mean, var, _ = saved
    settings: dict[str, Any] = {"eps": layer.eps, "residual": residual, "relu": relu}
    return batch_norm_eval(z, layer.gamma, layer.beta, mean, var, **settings)


def conv2d_batch_norm_eval(
    x: Array,
    layer: ConvNorm,
    mean: Array,
    var: Array,
    *,
    residual: Optional = None,
    relu: bool = False,
) -> Array:
    """Convolution, normalised chunk by chunk."""
    finish = Finish(
        normalise=True,
        mean=mean,
        scale=scale_of(layer.gamma, var, layer.eps),
        beta=layer.beta,
        residual=NO_FLOATS if residual is None else flat(residual),
        has_residual=residual is not None,
        relu=relu,
    )
    return finished(Input(x), layer.weight, layer.stride, layer.padding, finish)


def conv2d_batch_norm_grad(
    dy: Array,
    x: Array,
    layer: ConvNorm,
    saved: SavedNorm,
    *,
    needs_dx: bool = True,
    needs_dresidual: bool = True,
    links: Links = NO_LINKS,
) -> tuple[Optional, Array, Array, Array, Optional]:
    """Sums, then both gradients of the convolution, with batch norm pending on that of z."""
    dz = masked_by(dy, saved.y)
    dz, sums = gathered_or_summed(links.of_result, dz, saved, write=needs_dresidual)
    through, dgamma, dbeta = through_batch_norm(dz, sums, saved, layer.gamma, layer.eps)
    settings: dict[str, Any] = {"needs_dx": needs_dx, "link": links.of_input}
    dx, dweight = conv2d_grads(through, Input(x), layer, **settings)
    dresidual = dz.dy if needs_dresidual else None
    return dx if needs_dx else None, dweight, dgamma, dbeta, dresidual


# ------------------------------------------------------------------------ a block of two


def basic_block(
    x: Array,
    first: ConvNorm,
    second: ConvNorm,
    *,
    skip: bool,
    running: tuple[Running | None, Running | None] = (None, None),
) -> tuple[Array, Pair]:
    """The second convolution normalises the first one's result while reading it."""
    saved1 = with_moments(Input(x), first, running[0])
    saved2 = with_moments(pending_norm(saved1, first), second, running[1])
    residual = shortcut(x, saved2.z.shape, first.stride) if skip else None
    y = normalised(saved2, second, residual, relu=True)
    return y, (saved1, saved2._replace(y=y))


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
) -> tuple[Optional, Array, Array, Array, Array, Array, Array]:
    """The shortcut's gradient is dz; the first convolution adds its dx to it."""
    hands_on, (saved1, saved2) = skip and needs_dx, saved
    dz = masked_by(dy, saved2.y)
    dz, sums = gathered_or_summed(links.of_result, dz, saved2, write=hands_on)
    from_shortcut = dz.dy if hands_on else None
    through, dgamma2, dbeta2 = through_batch_norm(dz, sums, saved2, second.gamma, second.eps)
    between = pending_norm(saved1, first)
    inner = BackwardLink(saved1.z, saved1.mean)
    dbetween, dweight2 = conv2d_grads(through, between, second, link=inner)
    dz, sums = gathered_or_summed(inner, masked(dbetween, between), saved1, write=False)
    through, dgamma1, dbeta1 = through_batch_norm(dz, sums, saved1, first.gamma, first.eps)
    settings: dict[str, Any] = {"needs_dx": needs_dx, "link": links.of_input}
    dx, dweight1 = conv2d_grads(through, Input(x), first, from_shortcut=from_shortcut, **settings)
    wanted = dx if needs_dx else None
    return wanted, dweight1, dgamma1, dbeta1, dweight2, dgamma2, dbeta2


def gathered_or_summed(
    link: BackwardLink | None, dz: OutputGrad, saved: SavedNorm, *, write: bool
) -> tuple[OutputGrad, Doubles]:
    """`summed`, unless the sums have been gathered; they have the same bits either way."""
    sums = link.take(dz.dy) if link else None
    if sums is None:
        return summed(dz, saved.z, saved.mean, sum_starts(saved.z), write=write)
    return OutputGrad(dz.dy), sums


def pending_norm(saved: SavedNorm, layer: ConvNorm) -> Input:
    """relu(batch norm of z), pending: it is made where it is read."""
    scale = scale_of(layer.gamma, saved.var, layer.eps)
    return Input(saved.z, True, saved.mean, scale, layer.beta)


def with_moments(source: Input, layer: ConvNorm, running: Running | None) -> SavedNorm:
    """The convolution's result, its mean and biased variance; the running statistics move."""
    weight, geometry = layer.weight, (layer.stride, layer.padding)
    starts = chunk_starts(source.x, weight.shape, *geometry)
    means, squares = np.empty((2, len(starts) - 1, weight.shape[3]))
    finish = Finish(moments=True, means=means, squares=squares)
    z = finished(source, weight, *geometry, finish)
    mean, var = combined(means, squares, starts)
    follow(running, mean, var, z.size // z.shape[3])
    return SavedNorm(z, mean, var)
