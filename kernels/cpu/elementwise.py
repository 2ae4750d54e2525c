"""ReLU and its gradient, and the optimiser's step: one pass over memory, in chunks of fixed size.

Numba's own loops become vector code here, as nothing must stay in registers from one value to the
next. Operations: 1 to 4 a value; bytes: every array once, which is what sets the speed.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .compiling import parallel_kernel
from .memory import Array, empty

CHUNK = 1 << 14


def relu(x: Array) -> Array:
    """max(x, 0)."""
    y = empty(x.shape)
    relu_kernel(x.ravel(), y.reshape(-1))
    return y


def relu_grad(dy: Array, y: Array) -> Array:
    """dy where y > 0."""
    dx = empty(dy.shape)
    relu_grad_kernel(dy.ravel(), y.ravel(), dx.reshape(-1))
    return dx


def sgd_step(
    parameter: Array,
    grad: Array,
    velocity: Array,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
) -> None:
    """Velocity, then parameter, in place."""
    settings = np.array([lr, momentum, weight_decay], np.float32)
    sgd_kernel(parameter.reshape(-1), grad.reshape(-1), velocity.reshape(-1), settings)


@parallel_kernel
def relu_kernel(x, y):
    """Written so that NaN, which compares as false, stays."""
    for chunk in prange((len(x) + CHUNK - 1) // CHUNK):
        for i in range(chunk * CHUNK, min(len(x), (chunk + 1) * CHUNK)):
            y[i] = np.float32(0) if x[i] <= 0 else x[i]


@parallel_kernel
def relu_grad_kernel(dy, y, dx):
    """Pass or stop."""
    for chunk in prange((len(dy) + CHUNK - 1) // CHUNK):
        for i in range(chunk * CHUNK, min(len(dy), (chunk + 1) * CHUNK)):
            dx[i] = dy[i] if y[i] > 0 else np.float32(0)


@parallel_kernel
def sgd_kernel(parameter, grad, velocity, settings):
    """One pass over the three arrays."""
    for chunk in prange((len(grad) + CHUNK - 1) // CHUNK):
        lr, momentum, weight_decay = settings
        for i in range(chunk * CHUNK, min(len(grad), (chunk + 1) * CHUNK)):
            velocity[i] = momentum * velocity[i] + (grad[i] + weight_decay * parameter[i])
            parameter[i] -= lr * velocity[i]
