"""A matrix product as a convolution with a 1 x 1 kernel; so are its gradients.

BLAS would work too, but its threads wait in a busy loop for the next product, for a tenth of a
second. They take the cores that our next kernels need: ResNet-50's first layers took twice the time
after the linear layer of the step before.
"""

from __future__ import annotations

import numpy as np

from .. import reference
from .by_dtype import conv2d, conv2d_input_grad, conv2d_weight_grad
from .memory import Array


def matmul(a: Array, b: Array) -> Array:
    """(M, K) @ (K, N). If one is a transposed view, a gradient kernel takes it without a copy."""
    if a.ndim != 2 or b.ndim != 2 or 0 in (*a.shape, *b.shape):
        return reference.matmul(a, b)
    if is_transposed(b):
        shape = (1, 1, len(a), b.shape[1])
        return conv2d_input_grad(line(a), line(b.T), x_shape=shape)[0, 0]
    if is_transposed(a):
        return conv2d_weight_grad(line(b), line(a.T), kernel_size=(1, 1))[0, 0]
    return conv2d(line(a), line(b))[0, 0]


def is_transposed(matrix: Array) -> bool:
    """Whether a matrix is the transposed view of a contiguous one."""
    return matrix.flags.f_contiguous and not matrix.flags.c_contiguous


def line(matrix: Array) -> Array:
    """A matrix as an image with one row of pixels: the matrix's rows."""
    return np.ascontiguousarray(matrix)[None, None]
