"""Other operations on maps: activation, pooling, shortcut A; and the matrix product."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .. import checks
from ..dispatch import implementation_for, kernel

Array = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


@kernel
def relu(x: Array) -> Array:
    """max(x, 0), of any shape; NaN stays NaN."""
    checks.contiguous(x=x)
    return implementation_for(x)


@kernel
def relu_grad(dy: Array, y: Array) -> Array:
    """Gradient of `relu` from its *output*: dy where y > 0, else 0 (0 at the kink)."""
    checks.same_shape(dy=dy, y=y)
    return implementation_for(dy, y)


@kernel
def max_pool(x: Array, *, size: int, stride: int, padding: int = 0) -> tuple[Array, Ints]:
    """Largest value under every size x size window: `(y, argmax)`, both (N, OH, OW, C).

    `argmax` (int32) is the position within the window, row * size + column; of equal values the
    first. Padding never wins (it counts as minus infinity); a NaN does.
    """
    checks.pool(x.shape, size, stride, padding)
    checks.contiguous(x=x)
    return implementation_for(x)


@kernel
def max_pool_grad(
    dy: Array,
    argmax: Ints,
    *,
    x_shape: tuple[int, int, int, int],
    size: int,
    stride: int,
    padding: int = 0,
) -> Array:
    """Gradient of `max_pool`: each dy goes to its window's winner; overlaps are added."""
    checks.pool(x_shape, size, stride, padding, dy=dy)
    checks.same_shape(dy=dy, argmax=argmax)
    return implementation_for(dy, others=[argmax])


@kernel
def avg_pool(x: Array, *, size: int, stride: int, padding: int = 0) -> Array:
    """Mean over every size x size window, (N, OH, OW, C); padding counts as zeros."""
    checks.pool(x.shape, size, stride, padding)
    checks.contiguous(x=x)
    return implementation_for(x)


@kernel
def avg_pool_grad(
    dy: Array,
    *,
    x_shape: tuple[int, int, int, int],
    size: int,
    stride: int,
    padding: int = 0,
) -> Array:
    """Gradient of `avg_pool`: dy / size² to every pixel of the window; overlaps are added."""
    checks.pool(x_shape, size, stride, padding, dy=dy)
    return implementation_for(dy)


@kernel
def global_avg_pool(x: Array) -> Array:
    """Mean of each channel's map, (N, H, W, C) -> (N, C); float32 for maps in bfloat16."""
    checks.images(x.shape)
    checks.contiguous(x=x)
    return implementation_for(x)


@kernel
def global_avg_pool_grad(dy: Array, *, x_shape: tuple[int, int, int, int]) -> Array:
    """Gradient of `global_avg_pool`: dy / (H * W) to every pixel, of shape `x_shape`."""
    checks.contiguous(dy=dy)
    return implementation_for(dy)


@kernel
def subsample_and_pad(x: Array, *, channels: int, stride: int) -> Array:
    """Every stride-th pixel, then channels of zeros: (N, H, W, C) -> (N, OH, OW, channels).

    OH is H / stride, rounded up; OW likewise. Shortcut A where the shape changes: He et al. 2015,
    sec. 3.3.
    """
    checks.subsample_and_pad(x.shape, channels, stride)
    checks.contiguous(x=x)
    return implementation_for(x)


@kernel
def subsample_and_pad_grad(dy: Array, *, x_shape: tuple[int, int, int, int], stride: int) -> Array:
    """Gradient of `subsample_and_pad`: dy for the pixels that were taken, zeros for the others."""
    shape = checks.subsample_and_pad(x_shape, dy.shape[-1], stride)
    checks.shape("dy", dy, shape)
    return implementation_for(dy)


@kernel
def matmul(a: Array, b: Array) -> Array:
    """Products of stacks of matrices, (..., M, K) @ (..., K, N); the stacks broadcast."""
    return implementation_for(a, b)
