"""ReLU and its gradient, and the optimiser's step: one pass over memory, in chunks of fixed size.

Operations: 1 to 4 per value. Bytes: every array once, which sets the speed.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .compiling import helper, parallel_kernel
from .dealing import dealt, divided
from .memory import Array, empty, flat
from .simd import (
    LANES,
    broadcast,
    cut_below_zero,
    fma,
    load_lanes,
    pointer,
    store_lanes,
    where_positive,
)

CHUNK = 1 << 12  # floats; small, so that a layer's weight gives work to several threads


def relu(x: Array) -> Array:
    y = empty(x.shape, x.dtype)
    relu_kernel(flat(x), flat(y))
    return y


def relu_grad(dy: Array, y: Array) -> Array:
    dx = empty(dy.shape, dy.dtype)
    relu_grad_kernel(flat(dy), flat(y), flat(dx))
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


@helper
def chunk_range(chunk, size):
    """First and last element of a chunk."""
    first = chunk * CHUNK
    return first, min(size, first + CHUNK)


@parallel_kernel
def relu_kernel(x, y):
    """max(x, 0); NaN stays NaN."""
    work = divided((len(x) + CHUNK - 1) // CHUNK)
    for thread in prange(len(work)):
        for chunk in dealt(work, thread):
            first, last = chunk_range(chunk, len(x))
            for i in range(first, last, LANES):
                value = cut_below_zero(load_lanes(pointer(x), i, last - i))
                store_lanes(value, pointer(y), i, last - i)


@parallel_kernel
def relu_grad_kernel(dy, y, dx):
    work = divided((len(dy) + CHUNK - 1) // CHUNK)
    for thread in prange(len(work)):
        for chunk in dealt(work, thread):
            first, last = chunk_range(chunk, len(dy))
            for i in range(first, last, LANES):
                condition = load_lanes(pointer(y), i, last - i)
                value = where_positive(condition, load_lanes(pointer(dy), i, last - i))
                store_lanes(value, pointer(dx), i, last - i)


@parallel_kernel
def sgd_kernel(parameter, grad, velocity, settings):
    work = divided((len(grad) + CHUNK - 1) // CHUNK)
    for thread in prange(len(work)):
        for chunk in dealt(work, thread):
            first, last = chunk_range(chunk, len(grad))
            lr, momentum, weight_decay = settings
            for i in range(first, last, LANES):
                old = load_lanes(pointer(parameter), i, last - i)
                slope = fma(broadcast(weight_decay), old, load_lanes(pointer(grad), i, last - i))
                speed = load_lanes(pointer(velocity), i, last - i)
                speed = fma(broadcast(momentum), speed, slope)
                store_lanes(speed, pointer(velocity), i, last - i)
                store_lanes(old - broadcast(lr) * speed, pointer(parameter), i, last - i)
