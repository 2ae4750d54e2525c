"""Checks of windows that slide over images: convolutions, pools, shortcut A; result shapes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .arrays import contiguous, fail_unless, images

ALGORITHMS = ("auto", "im2col", "direct", "winograd")


def output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """Number of positions of a kernel along one axis."""
    return (size + 2 * padding - kernel) // stride + 1


def output_shape(
    x_shape: Sequence[int], kernel_size: Sequence[int], stride: int, padding: int
) -> tuple[int, int]:
    """(OH, OW) of a window slid over images of shape (N, H, W, C)."""
    return (
        output_size(x_shape[1], kernel_size[0], stride, padding),
        output_size(x_shape[2], kernel_size[1], stride, padding),
    )


def geometry(x_shape: Sequence[int], kernel_size: Sequence[int], stride: int, padding: int) -> None:
    """Refuse a window that cannot be slid over images of this shape."""
    images(x_shape)
    kh, kw = kernel_size
    for argument, value in {"stride": stride, "padding": padding}.items():
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
            raise TypeError(f"{argument} must be a whole number, but is {value!r}")
    fail_unless(stride >= 1, f"stride must be at least 1, but is {stride}")
    fail_unless(padding >= 0, f"padding must be at least 0, but is {padding}")
    fail_unless(kh >= 1 and kw >= 1, f"kernel size must be at least 1, but is {kh} x {kw}")
    fail_unless(
        min(output_shape(x_shape, kernel_size, stride, padding)) >= 1,
        f"a {kh} x {kw} kernel does not fit into {x_shape[1]} x {x_shape[2]} images with "
        f"padding {padding}: use a smaller kernel, more padding or larger images",
    )


def window(x: np.ndarray, kernel_size: tuple[int, int], stride: int, padding: int) -> None:
    """Check the arguments of `im2col`."""
    geometry(x.shape, kernel_size, stride, padding)
    contiguous(x=x)


def columns(
    array: np.ndarray,
    x_shape: tuple[int, ...],
    kernel_size: tuple[int, int],
    stride: int,
    padding: int,
) -> None:
    """Check the arguments of `col2im`."""
    geometry(x_shape, kernel_size, stride, padding)
    expected = (
        x_shape[0],
        *output_shape(x_shape, kernel_size, stride, padding),
        kernel_size[0] * kernel_size[1] * x_shape[3],
    )
    fail_unless(
        array.shape == expected,
        f"columns for images {tuple(x_shape)} must have shape {expected}, but have {array.shape}",
    )
    contiguous(columns=array)


def weights(x_shape: Sequence[int], weight_shape: Sequence[int]) -> None:
    """Refuse a weight that is not (kh, kw, C_in, C_out) for these images."""
    images(x_shape)
    fail_unless(
        len(weight_shape) == 4,
        f"weight must be (kh, kw, C_in, C_out), but has shape {tuple(weight_shape)}",
    )
    fail_unless(
        x_shape[3] == weight_shape[2],
        f"x has {x_shape[3]} channels {tuple(x_shape)} but weight {tuple(weight_shape)} "
        f"expects {weight_shape[2]}; activations are (N, H, W, C)",
    )


def convolution(
    x: np.ndarray,
    weight: np.ndarray,
    stride: int,
    padding: int,
    algorithm: str = "auto",
) -> None:
    """Check the arguments of `conv2d`."""
    weights(x.shape, weight.shape)
    geometry(x.shape, weight.shape[:2], stride, padding)
    possible_algorithm(algorithm, weight.shape, stride, padding)
    contiguous(x=x, weight=weight)


def convolution_grad(
    dy: np.ndarray,
    x_shape: Sequence[int],
    weight_shape: Sequence[int],
    stride: int,
    padding: int,
    algorithm: str,
    **operand: np.ndarray,
) -> None:
    """Check that dy has the shape of the convolution's result; `operand` is the other array."""
    weights(x_shape, weight_shape)
    geometry(x_shape, weight_shape[:2], stride, padding)
    possible_algorithm(algorithm, weight_shape, stride, padding)
    expected = (
        x_shape[0],
        *output_shape(x_shape, weight_shape[:2], stride, padding),
        weight_shape[3],
    )
    fail_unless(
        dy.shape == expected,
        f"for x {tuple(x_shape)} and weight {tuple(weight_shape)}, stride {stride}, "
        f"padding {padding}, dy must have shape {expected}, but has {dy.shape}",
    )
    contiguous(dy=dy, **operand)


def possible_algorithm(
    algorithm: str, weight_shape: Sequence[int], stride: int, padding: int
) -> None:
    """Check that a convolution can run on the algorithm of this name."""
    fail_unless(
        isinstance(algorithm, str) and algorithm in ALGORITHMS,
        f"algorithm must be one of {', '.join(ALGORITHMS)}, but is {algorithm!r}",
    )
    fail_unless(
        algorithm != "winograd" or winograd_is_possible(weight_shape, stride, padding),
        f"winograd needs a 3 x 3 kernel, stride 1 and padding of at most 2, but the "
        f"weight is {tuple(weight_shape)}, stride {stride}, padding {padding}",
    )


def winograd_is_possible(weight_shape: Sequence[int], stride: int, padding: int) -> bool:
    """Whether our Winograd kernels can compute such a convolution."""
    return tuple(weight_shape[:2]) == (3, 3) and stride == 1 and padding <= 2


def pool(
    x_shape: Sequence[int],
    size: int,
    stride: int,
    padding: int,
    dy: np.ndarray | None = None,
) -> None:
    """Check the arguments of the pooling kernels."""
    geometry(x_shape, (size, size), stride, padding)
    fail_unless(
        2 * padding <= size,
        f"padding must be at most half of size {size}, but is {padding}: "
        "some windows would hold nothing but padding",
    )
    if dy is not None:
        expected = (x_shape[0], *output_shape(x_shape, (size, size), stride, padding), x_shape[3])
        fail_unless(
            dy.shape == expected,
            f"for x {tuple(x_shape)}, dy must have shape {expected}, but has {dy.shape}",
        )
        contiguous(dy=dy)


def subsample_and_pad(x_shape: Sequence[int], filters: int, stride: int) -> tuple[int, ...]:
    """Check the arguments of `subsample_and_pad`; returns the shape of its result."""
    geometry(x_shape, (1, 1), stride, 0)
    fail_unless(
        filters >= x_shape[3],
        f"the shortcut without parameters can't end in fewer channels than it begins with, "
        f"but has {x_shape[3]} and then {filters}",
    )
    return x_shape[0], *output_shape(x_shape, (1, 1), stride, 0), filters
