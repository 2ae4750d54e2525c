"""The contract, continued: activation, pooling, shortcut A, and the product of matrices."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from . import checks
from .dispatch import implementation_for

Array = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


def relu(x: Array) -> Array:
    """max(x, 0), of any shape; NaN stays NaN."""
    implementation = implementation_for(x)
    checks.contiguous("relu", x=x)
    return implementation.relu(x)


def relu_grad(dy: Array, y: Array) -> Array:
    """Gradient of `relu` from its *output*: dy where y > 0, else 0 (0 at the kink)."""
    checks.same_shape("relu_grad", dy=dy, y=y)
    return implementation_for(dy, y).relu_grad(dy, y)


def max_pool(x: Array, *, size: int, stride: int, padding: int = 0) -> tuple[Array, Ints]:
    """Largest value under every size x size window: `(y, argmax)`, both (N, OH, OW, C).

    `argmax` (int32) is the place within the window, row * size + column: the first of equals.
    Padding never wins (it counts as minus infinity); a NaN does.
    """
    checks.pool("max_pool", x.shape, size, stride, padding)
    checks.contiguous("max_pool", x=x)
    return implementation_for(x).max_pool(x, size=size, stride=stride, padding=padding)


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
    checks.pool("max_pool_grad", x_shape, size, stride, padding, dy=dy)
    checks.same_shape("max_pool_grad", dy=dy, argmax=argmax)
    return implementation_for(dy, others=[argmax]).max_pool_grad(
        dy, argmax, x_shape=x_shape, size=size, stride=stride, padding=padding
    )


def avg_pool(x: Array, *, size: int, stride: int, padding: int = 0) -> Array:
    """Mean over every size x size window, (N, OH, OW, C); padding counts as zeros."""
    checks.pool("avg_pool", x.shape, size, stride, padding)
    checks.contiguous("avg_pool", x=x)
    return implementation_for(x).avg_pool(x, size=size, stride=stride, padding=padding)


def avg_pool_grad(
    dy: Array,
    *,
    x_shape: tuple[int, int, int, int],
    size: int,
    stride: int,
    padding: int = 0,
) -> Array:
    """Gradient of `avg_pool`: dy / size² to every pixel of the window; overlaps are added."""
    checks.pool("avg_pool_grad", x_shape, size, stride, padding, dy=dy)
    return implementation_for(dy).avg_pool_grad(
        dy, x_shape=x_shape, size=size, stride=stride, padding=padding
    )


def global_avg_pool(x: Array) -> Array:
    """Mean of each channel's map, (N, H, W, C) -> (N, C)."""
    checks.images("global_avg_pool", x.shape)
    checks.contiguous("global_avg_pool", x=x)
    return implementation_for(x).global_avg_pool(x)


def global_avg_pool_grad(dy: Array, *, x_shape: tuple[int, int, int, int]) -> Array:
    """Gradient of `global_avg_pool`: dy / (H * W) to every pixel, of shape `x_shape`."""
    checks.contiguous("global_avg_pool_grad", dy=dy)
    return implementation_for(dy).global_avg_pool_grad(dy, x_shape=x_shape)


def subsample_and_pad(x: Array, *, channels: int, stride: int) -> Array:
    """Every stride-th pixel, then channels of zeros: (N, H, W, C) -> (N, OH, OW, channels).

    OH is H / stride, rounded up; OW likewise. Shortcut A where the shape changes: He et al. 2015,
    sec. 3.3.
    """
    checks.subsample_and_pad("subsample_and_pad", x.shape, channels, stride)
    checks.contiguous("subsample_and_pad", x=x)
    return implementation_for(x).subsample_and_pad(x, channels=channels, stride=stride)


def subsample_and_pad_grad(dy: Array, *, x_shape: tuple[int, int, int, int], stride: int) -> Array:
    """Gradient of `subsample_and_pad`: dy to the pixels that were taken, zeros to the others."""
    shape = checks.subsample_and_pad("subsample_and_pad_grad", x_shape, dy.shape[-1], stride)
    checks.shape("subsample_and_pad_grad", "dy", dy, shape)
    return implementation_for(dy).subsample_and_pad_grad(dy, x_shape=x_shape, stride=stride)


def matmul(a: Array, b: Array) -> Array:
    """Products of stacks of matrices, (..., M, K) @ (..., K, N), whose stacks broadcast."""
    return implementation_for(a, b).matmul(a, b)
