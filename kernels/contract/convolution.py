"""Convolution and its gradients, and the im2col columns.

A body only checks the arguments and returns the module that computes. `@kernel` then calls that
module's function of the same name, so the return type is that of the kernel.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .. import checks
from ..dispatch import implementation_for, kernel

Array = npt.NDArray[np.floating]


@kernel
def im2col(x: Array, *, kernel_size: tuple[int, int], stride: int = 1, padding: int = 0) -> Array:
    """Copy the window under every output pixel into a row: (N, H, W, C) -> (N, OH, OW, kh*kw*C).

    Within a row the order is (kernel row, kernel column, channel), as in a weight, so that a
    convolution is `im2col(x) @ weight.reshape(kh*kw*C_in, C_out)`.
    """
    checks.window(x, kernel_size, stride, padding)
    return implementation_for(x)


@kernel
def col2im(
    columns: Array,
    *,
    x_shape: tuple[int, int, int, int],
    kernel_size: tuple[int, int],
    stride: int = 1,
    padding: int = 0,
) -> Array:
    """Add every window back to where `im2col` took it from; the transpose of `im2col`."""
    checks.columns(columns, x_shape, kernel_size, stride, padding)
    return implementation_for(columns)


@kernel
def conv2d(
    x: Array, weight: Array, *, stride: int = 1, padding: int = 0, algorithm: str = "auto"
) -> Array:
    """Slide `weight` (kh, kw, C_in, C_out) over `x` (N, H, W, C_in): (N, OH, OW, C_out).

    A cross-correlation, as usual in deep learning: the kernel is not flipped.

    `algorithm`, here and for the gradients, is "auto" (the fastest, as measured) or one to compare:
    "im2col" (a matrix product of windows made in cache), "direct" (the product reads the images;
    an input gradient with a stride still uses columns), "winograd" (a quarter of the
    multiplications; 3 x 3 at stride 1 only). They differ by rounding. The reference always uses
    im2col.
    """
    checks.convolution(x, weight, stride, padding, algorithm)
    return implementation_for(x, parameters=[weight])


@kernel
def conv2d_input_grad(
    dy: Array,
    weight: Array,
    *,
    x_shape: tuple[int, int, int, int],
    stride: int = 1,
    padding: int = 0,
    algorithm: str = "auto",
) -> Array:
    """Gradient of `conv2d` with respect to `x`, of shape `x_shape`, for dy (N, OH, OW, C_out)."""
    geometry = (weight.shape, stride, padding, algorithm)
    checks.convolution_grad(dy, x_shape, *geometry, weight=weight)
    return implementation_for(dy, parameters=[weight])


@kernel
def conv2d_weight_grad(
    dy: Array,
    x: Array,
    *,
    kernel_size: tuple[int, int],
    stride: int = 1,
    padding: int = 0,
    algorithm: str = "auto",
) -> Array:
    """Gradient of `conv2d` with respect to `weight`, (kh, kw, C_in, C_out), summed over images."""
    geometry = ((*kernel_size, x.shape[-1], dy.shape[-1]), stride, padding, algorithm)
    checks.convolution_grad(dy, x.shape, *geometry, x=x)
    return implementation_for(dy, x)
