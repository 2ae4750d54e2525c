"""Operations of detection: pooling of regions, and losses of boxes and of yes-or-no questions."""

from __future__ import annotations

from typing import Any

from .. import kernels
from ..autograd import Context, Function, Tensor
from ..autograd.accepting import array_of
from ..autograd.function import Array
from ..common.expecting import must_be
from ..kernels.devices import as_array, is_array, move, namespace


class AlignRegions(Function):
    """Means of bilinear samples in the bins of each region; boxes are constants."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, boxes: Array, images: Array, **settings: Any) -> Array:
        y = kernels.roi_align(x, boxes, images, **settings)
        settings.pop("size")
        ctx.save(boxes=boxes, images=images, settings=settings)
        return y

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        s = ctx.saved
        settings = {"x_shape": ctx.shapes[0], **s.settings}
        return kernels.roi_align_grad(grad, s.boxes, s.images, **settings)


class PoolRegionsByMax(Function):
    """Largest value in the bins of each region; boxes are constants."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, boxes: Array, images: Array, **settings: Any) -> Array:
        y, argmax = kernels.roi_max_pool(x, boxes, images, **settings)
        ctx.save(argmax=argmax, images=images)
        return y

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        s = ctx.saved
        return kernels.roi_max_pool_grad(grad, s.argmax, s.images, x_shape=ctx.shapes[0])


class SmoothL1(Function):
    """Sum of 0.5 d² / beta where |d| < beta, else |d| - 0.5 beta (Girshick 2015, eq. 3)."""

    @staticmethod
    def forward(ctx: Context, predictions: Array, *, targets: Array, beta: float) -> Array:
        xp, distance = namespace(predictions), predictions - targets
        size, near = xp.abs(distance), xp.abs(distance) < beta
        ctx.save(slope=xp.where(near, distance / (beta or 1.0), xp.sign(distance)))
        losses = xp.where(near, 0.5 * distance**2 / (beta or 1.0), size - 0.5 * beta)
        return as_array(losses.sum(dtype=losses.dtype))

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        return as_array(grad * ctx.saved.slope)


class LogisticCrossEntropy(Function):
    """Mean of -log p of the true answers, with p = 1 / (1 + e^-logit) for yes, 1 - p for no."""

    @staticmethod
    def forward(ctx: Context, logits: Array, *, truth: Array) -> Array:
        xp = namespace(logits)
        small = xp.exp(-xp.abs(logits))  # of both signs: it never overflows
        probability = xp.where(logits >= 0, 1, small) / (1 + small)
        ctx.save(slope=(probability - truth) / max(logits.size, 1))
        losses = xp.maximum(logits, 0) - logits * truth + xp.log1p(small)
        return as_array(losses.sum(dtype=losses.dtype) / logits.dtype.type(max(logits.size, 1)))

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        return as_array(grad * ctx.saved.slope)


def roi_align(
    x: Tensor,
    boxes: Array,
    images: Array,
    *,
    size: tuple[int, int],
    scale: float,
    sampling: int = 0,
    aligned: bool = True,
) -> Tensor:
    """Bring regions of maps (N, H, W, C) to one size, by bilinear samples: (R, P, Q, C).

    `boxes` (R, 4) in pixels of the images, `images` (R,), and the settings: see
    `kernels.roi_align`. The gradient goes to the maps alone.
    """
    settings: dict[str, Any] = {"size": size, "scale": scale, "sampling": sampling}
    where = beside(x, boxes, images)
    return AlignRegions.apply(x, aligned=aligned, **where, **settings)


def roi_max_pool(
    x: Tensor, boxes: Array, images: Array, *, size: tuple[int, int], scale: float
) -> Tensor:
    """Bring regions of maps (N, H, W, C) to one size, by the largest value of each bin.

    The arguments are those of `roi_align`; see `kernels.roi_max_pool`.
    """
    return PoolRegionsByMax.apply(x, **beside(x, boxes, images), size=size, scale=scale)


def beside(x: Tensor, boxes: Array, images: Array) -> dict[str, Array]:
    """Regions where the maps are; those on the host are copied there."""
    boxes = boxes.astype(x.dtype, copy=False)
    return {"boxes": move(boxes, x.device), "images": move(images, x.device)}


def smooth_l1(predictions: Tensor, targets: Array, *, beta: float = 1.0) -> Tensor:
    """The *sum* over all elements of 0.5 d² / beta near 0 (|d| < beta), else |d| - 0.5 beta.

    `targets` is a plain array. With `beta` 0 it is the sum of |d|. Raises: ValueError where the
    shapes differ, or for a negative beta.
    """
    targets = plain("smooth_l1", targets, predictions)
    if not beta >= 0:
        raise ValueError(f"smooth_l1: beta must be at least 0, but is {beta}")
    return SmoothL1.apply(predictions, targets=targets, beta=float(beta))


def logistic_cross_entropy(logits: Tensor, truth: Array) -> Tensor:
    """The mean loss of yes-or-no questions, in nats; 0 where there are none.

    `truth` is a plain array of the logits' shape, 1 for yes and 0 for no. Raises: ValueError where
    the shapes differ.
    """
    truth = plain("logistic_cross_entropy", truth, logits)
    return LogisticCrossEntropy.apply(logits, truth=truth)


def plain(name: str, values: Any, like: Tensor) -> Array:
    """What is compared with, as an array of the tensor's shape and dtype."""
    if isinstance(values, Tensor):
        raise TypeError(f"{name}: what is compared with is a plain array, not a Tensor")
    must_be(Tensor, like, f"{name}: what is compared")
    array = values if is_array(values) else array_of(values)
    if array.shape != like.shape:
        raise ValueError(f"{name}: expected targets of shape {like.shape}, but got {array.shape}")
    return move(array.astype(like.dtype, copy=False), like.device)
