"""Shortcut A for a change of shape: every stride-th pixel, then channels of zeros.

Bytes at stride 2: forward, a quarter of x and the result. Backward, only the pixels that were taken
have a gradient, so it can be added in place, to a quarter of dx.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .compiling import helper, parallel_kernel
from .dealing import dealt, divided
from .memory import Array, Shape, empty, flat
from .simd import pointer
from .window import Window, add, copy, fill_zero, window

# ------------------------------------------------------------------------ the public calls


def subsample_and_pad(x: Array, *, channels: int, stride: int) -> Array:
    w = picked(x.shape, stride)
    y = empty((w.images, w.rows, w.cols, channels), x.dtype)
    subsample_kernel(flat(x), w, channels, flat(y))
    return y


def subsample_and_pad_grad(dy: Array, *, x_shape: Shape, stride: int) -> Array:
    dx = np.zeros(x_shape, dy.dtype)
    add_shortcut_grad(dx, dy, stride)
    return dx


# ------------------------------------------------------------------------ for a block


def shortcut(x: Array, shape: Shape, stride: int) -> Array:
    """Shortcut A from x to a map of this shape; x itself if the shape does not change."""
    return x if x.shape == shape else subsample_and_pad(x, channels=shape[3], stride=stride)


def spread(dy: Array | None, x_shape: Shape, stride: int) -> Array | None:
    """dy, the gradient of the shortcut's result, if any, as that of its input."""
    if dy is None or dy.shape == tuple(x_shape):
        return dy
    return subsample_and_pad_grad(dy, x_shape=x_shape, stride=stride)


def add_shortcut_grad(dx: Array, dy: Array, stride: int) -> None:
    """Add dy, the gradient of the shortcut's result, to dx, that of its input."""
    add_kernel(flat(dy), picked(dx.shape, stride), dy.shape[3], flat(dx))


def picked(x_shape: Shape, stride: int) -> Window:
    """A 1 x 1 window: the pixel that every output pixel is copied from."""
    return window(x_shape, (1, 1), stride, 0)


# ------------------------------------------------------------------------ kernels


@helper
def picked_pixel(w, line, col):
    """The first float of the source of output pixel (line, col); lines count through all images."""
    image, row = divmod(line, w.rows)
    return ((image * w.height + row * w.stride) * w.width + col * w.stride) * w.channels


@parallel_kernel
def subsample_kernel(x, w, channels, y):
    """A chunk is an output row."""
    work = divided(w.images * w.rows)
    for thread in prange(len(work)):
        for line in dealt(work, thread):
            for col in range(w.cols):
                at = (line * w.cols + col) * channels
                copy(pointer(x), picked_pixel(w, line, col), pointer(y), at, w.channels)
                fill_zero(pointer(y), at + w.channels, channels - w.channels)


@parallel_kernel
def add_kernel(dy, w, channels, dx):
    """A chunk is an output row."""
    work = divided(w.images * w.rows)
    for thread in prange(len(work)):
        for line in dealt(work, thread):
            for col in range(w.cols):
                at = (line * w.cols + col) * channels
                add(pointer(dy), at, pointer(dx), picked_pixel(w, line, col), w.channels, 1)
