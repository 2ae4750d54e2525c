"""Checks of batch norm, alone and after convolutions; of blocks and links."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from ..backward_link import BackwardLink
from ..records import ConvNorm
from ..running import Running
from .arrays import channels, contiguous, fail_unless, images, same_shape, shape
from .windows import convolution, geometry, output_shape, subsample_and_pad, weights


def several_values(shape: Sequence[int]) -> None:
    """Refuse a batch with one value per channel: its variance is zero."""
    fail_unless(
        shape[0] * shape[1] * shape[2] > 1,
        f"{tuple(shape)} holds one value per channel, which has no variance: train with a "
        "larger batch (drop a last batch of one), or call eval() first",
    )


def batch_norm(x: np.ndarray, *per_channel: np.ndarray, **like_x: np.ndarray | None) -> None:
    """Check the arguments of the batch norm kernels: (C,) arrays, and arrays shaped as x."""
    images(x.shape)
    channels("x", x.shape, *per_channel)
    for argument, other in like_x.items():
        if other is not None:
            same_shape(x=x, **{argument: other})
    contiguous(x=x)


def running(gamma: np.ndarray, *statistics: Running | None) -> None:
    """Refuse running statistics without the shape and the dtype of gamma."""
    like = gamma.shape, gamma.dtype
    for one in statistics:
        if one and not (one.mean.shape, one.mean.dtype) == (one.var.shape, one.var.dtype) == like:
            raise ValueError(
                f"running statistics must be {gamma.shape} {gamma.dtype} like gamma, but "
                f"are {one.mean.shape} {one.mean.dtype} and {one.var.shape} {one.var.dtype}"
            )


def link_of_input(x: np.ndarray, link: BackwardLink | None) -> tuple[np.ndarray, ...]:
    """Check that the batch norm that made x is of a map shaped as x; returns its arrays."""
    if link is None:
        return ()
    batch_norm(x, link.mean, z=link.z)
    return link.z, link.mean


def conv2d_batch_norm(
    x: np.ndarray,
    layer: ConvNorm,
    *per_channel: np.ndarray,
    **like_result: np.ndarray | None,
) -> tuple[int, ...]:
    """Check the arguments of the fused kernels; returns the shape of the convolution's result."""
    convolution(x, layer.weight, layer.stride, layer.padding)
    size = output_shape(x.shape, layer.weight.shape[:2], layer.stride, layer.padding)
    result = (x.shape[0], *size, layer.weight.shape[3])
    what = "the convolution's result"
    channels(what, result, layer.gamma, layer.beta, *per_channel)
    for argument, array in like_result.items():
        if array is not None:
            fail_unless(
                array.shape == result,
                f"the result has shape {result}, so {argument} must have it too, but has "
                f"{array.shape}",
            )
    contiguous(**like_result)
    return result


def basic_block(
    x: np.ndarray,
    first: ConvNorm,
    second: ConvNorm,
    skip: bool,
    **like_result: np.ndarray,
) -> None:
    """Check the arguments of `basic_block`: 3 x 3 kernels, and a result with a variance."""
    weights = first.weight.shape, second.weight.shape
    result = block_shape(x.shape, *weights, skip, *first[4:], *second[4:])
    per_channel = first.gamma, first.beta, second.gamma, second.beta
    channels("the block's result", result, *per_channel)
    for argument, array in like_result.items():
        shape(argument, array, result)
    contiguous(x=x, weight1=first.weight, weight2=second.weight)


@functools.lru_cache(maxsize=256, typed=True)  # every step calls it again
def block_shape(
    x_shape: tuple[int, ...],
    weight1: tuple[int, ...],
    weight2: tuple[int, ...],
    skip: bool,
    stride: int,
    *others: int,
) -> tuple[int, ...]:
    """Check a block's shapes, strides and paddings; returns the shape of its result."""
    weights(x_shape, weight1)
    geometry(x_shape, (3, 3), stride, 1)
    before, filters = weight1[2:]
    fail_unless(
        (weight1, weight2) == ((3, 3, before, filters), (3, 3, filters, filters)),
        f"for x {x_shape} and {filters} channels the weights must have shapes "
        f"(3, 3, {before}, {filters}) and (3, 3, {filters}, {filters}), but have {weight1} and "
        f"{weight2}",
    )
    fail_unless(
        others == (1, 1, 1),
        "a block's convolutions have padding 1, and the second one stride 1, but padding of the "
        f"first, stride and padding of the second are {others}",
    )
    result = (x_shape[0], *output_shape(x_shape, (3, 3), stride, 1), filters)
    if skip:
        subsample_and_pad(x_shape, filters, stride)
    several_values(result)
    return result
