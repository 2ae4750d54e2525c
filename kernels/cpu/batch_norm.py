"""Batch normalisation: two passes over memory forward, two backward, everything else fused in.

A channel's statistics must be known before its first value can be normalised, so x is read twice:

    forward   1. read x            -> mean, variance        2. read x (, residual), write y
    backward  1. read dy, x (, y)  -> sums (, write dz)     2. read dz, x, write dx

Bytes: 3 (4 with a residual) arrays forward, 6 or 7 backward; some 10 operations a value, so memory
sets the speed, and adding the residual and cutting off at zero in the same pass are free.

Statistics. The textbook E[x²] - E[x]² loses everything where |mean| >> std. Here every chunk of
CHUNK floats, small enough to be in cache the second time, is reduced twice: its mean, then squared
distances from that mean, with the correction for the mean's own rounding (Chan, Golub & LeVeque
1983, "Algorithms for computing the sample variance", eq. 1.7). Chunks are combined in float64.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .compiling import helper, parallel_kernel
from .memory import Array, empty
from .simd import (
    LANES,
    broadcast,
    cut_below_zero,
    fma,
    lane,
    load_lanes,
    pointer,
    store_lanes,
    where_positive,
)

CHUNK = 1 << 15  # floats a chunk holds: 128 KB, a quarter of an L2 cache


# ------------------------------------------------------------------------ the public calls


def batch_norm(
    x: Array,
    gamma: Array,
    beta: Array,
    *,
    eps: float,
    residual: Array | None = None,
    relu: bool = False,
) -> tuple[Array, Array, Array]:
    """Statistics, then one pass."""
    mean, var = moments(x)
    y = batch_norm_eval(x, gamma, beta, mean, var, eps=eps, residual=residual, relu=relu)
    return y, mean, var


def batch_norm_eval(
    x: Array,
    gamma: Array,
    beta: Array,
    mean: Array,
    var: Array,
    *,
    eps: float,
    residual: Array | None = None,
    relu: bool = False,
) -> Array:
    """(x - mean) * scale + beta, plus the residual, cut off at zero."""
    y = empty(x.shape)
    added = x if residual is None else residual
    normalise_kernel(
        x.ravel(),
        mean,
        gamma * inverse_std(var, eps),
        beta,
        added.ravel(),
        residual is not None,
        relu,
        y.reshape(-1),
    )
    return y


def batch_norm_grad(
    dy: Array,
    x: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    *,
    eps: float,
    y: Array | None = None,
) -> tuple[Array, Array, Array, Array]:
    """Sums, then dx = gamma / std * (dz - average(dz) - x_hat * average(dz * x_hat))."""
    dz, dgamma, dbeta = parameter_grads(dy, x, mean, var, eps, y)
    std = inverse_std(var, eps)
    count = max(1, x.size // x.shape[3])
    dx = empty(x.shape)
    input_grad_kernel(
        dz.ravel(),
        x.ravel(),
        mean,
        gamma * std,
        (dbeta / count).astype(np.float32),
        (dgamma * std / count).astype(np.float32),
        dx.reshape(-1),
    )
    return dx, dgamma.astype(np.float32), dbeta.astype(np.float32), dz


def batch_norm_eval_grad(
    dy: Array,
    x: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    *,
    eps: float,
    y: Array | None = None,
) -> tuple[Array, Array, Array, Array]:
    """dx = dz * gamma / std: the map is linear."""
    dz, dgamma, dbeta = parameter_grads(dy, x, mean, var, eps, y)
    zero, one = np.zeros_like(gamma), np.ones_like(var)
    dx = batch_norm_eval(dz, gamma * inverse_std(var, eps), zero, zero, one, eps=0.0)
    return dx, dgamma.astype(np.float32), dbeta.astype(np.float32), dz


# ------------------------------------------------------------------------ combining chunks


def inverse_std(var: Array, eps: float) -> Array:
    """1 / sqrt(var + eps), rounded once."""
    return (1 / np.sqrt(var.astype(np.float64) + eps)).astype(np.float32)


def chunk_pixels(channels: int) -> int:
    """Pixels in a chunk."""
    return max(1, CHUNK // max(1, channels))


def moments(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of every channel, from those of chunks (Chan et al., eq. 2.1)."""
    channels = x.shape[3]
    chunk, total = chunk_pixels(channels), x.size // channels
    parts = np.empty((2, -(-total // chunk), channels))
    moments_kernel(x.ravel(), channels, chunk, *parts)
    means, squares = parts
    counts = np.minimum(chunk, total - chunk * np.arange(len(means)))[:, None]
    mean = (counts * means).sum(0) / total
    var = (squares.sum(0) + (counts * (means - mean) ** 2).sum(0)) / total
    return mean.astype(np.float32), var.astype(np.float32)


def parameter_grads(
    dy: Array, x: Array, mean: Array, var: Array, eps: float, y: Array | None
) -> tuple[Array, Array, Array]:
    """`(dz, dgamma, dbeta)`, the last two in float64."""
    channels = x.shape[3]
    chunk, total = chunk_pixels(channels), x.size // channels
    parts = np.empty((2, -(-total // chunk), channels))
    dz = dy if y is None else empty(dy.shape)
    cut = dy if y is None else y
    grad_sums_kernel(
        dy.ravel(), x.ravel(), mean, cut.ravel(), y is not None, chunk, dz.reshape(-1), *parts
    )
    sums, products = parts.sum(1)
    return dz, products * inverse_std(var, eps), sums


# ------------------------------------------------------------------------ kernels


@parallel_kernel
def moments_kernel(x, channels, chunk, means, squares):
    """Mean and sum of squared distances from it, of every chunk and channel."""
    total = len(x) // channels
    for i in prange(len(means)):
        first, last = i * chunk, min(total, (i + 1) * chunk)
        for c in range(0, channels, LANES):
            chunk_moments(pointer(x), channels, first, last, c, means[i], squares[i])


@helper
def chunk_moments(x, channels, first, last, c, means, squares):
    """The moments of LANES channels from `c` over pixels first .. last."""
    lanes = min(LANES, channels - c)
    count = np.float32(last - first)
    zero = broadcast(np.float32(0))
    total = zero
    for p in range(first, last):
        total += load_lanes(x, p * channels + c, lanes)
    mean = total * broadcast(np.float32(1) / count)
    rest, square = zero, zero
    for p in range(first, last):
        distance = load_lanes(x, p * channels + c, lanes) - mean
        rest += distance
        square = fma(distance, distance, square)
    for i in range(lanes):
        correction = np.float64(lane(rest, i))
        means[c + i] = lane(mean, i) + correction / count
        squares[c + i] = lane(square, i) - correction * correction / count


@parallel_kernel
def normalise_kernel(x, mean, scale, beta, residual, has_residual, relu, y):
    """y = (x - mean) * scale + beta (+ residual) (cut off at zero)."""
    channels = len(mean)
    total = len(x) // channels
    chunk = max(1, CHUNK // channels)
    for i in prange((total + chunk - 1) // chunk):
        first, last = i * chunk, min(total, (i + 1) * chunk)
        normalise_chunk(
            pointer(x),
            pointer(mean),
            pointer(scale),
            pointer(beta),
            pointer(residual),
            has_residual,
            relu,
            pointer(y),
            channels,
            first,
            last,
        )


@helper
def normalise_chunk(x, mean, scale, beta, residual, has_residual, relu, y, channels, first, last):
    """Pixels first .. last, LANES channels at a time."""
    for p in range(first, last):
        for c in range(0, channels, LANES):
            at, lanes = p * channels + c, channels - c
            value = load_lanes(x, at, lanes) - load_lanes(mean, c, lanes)
            value = fma(value, load_lanes(scale, c, lanes), load_lanes(beta, c, lanes))
            if has_residual:
                value += load_lanes(residual, at, lanes)
            if relu:
                value = cut_below_zero(value)
            store_lanes(value, y, at, lanes)


@parallel_kernel
def grad_sums_kernel(dy, x, mean, y, cut, chunk, dz, sums, products):
    """Sums of dz and of dz * (x - mean), of every chunk and channel; dz = dy where y > 0."""
    channels = len(mean)
    total = len(x) // channels
    for i in prange(len(sums)):
        first, last = i * chunk, min(total, (i + 1) * chunk)
        if cut:
            cut_grad(pointer(dy), pointer(y), pointer(dz), first * channels, last * channels)
        for c in range(0, channels, LANES):
            chunk_grad_sums(
                pointer(dz),
                pointer(x),
                pointer(mean),
                channels,
                first,
                last,
                c,
                sums[i],
                products[i],
            )


@helper
def cut_grad(dy, y, dz, first, last):
    """dz = dy where y > 0."""
    for i in range(first, last, LANES):
        lanes = last - i
        value = where_positive(load_lanes(y, i, lanes), load_lanes(dy, i, lanes))
        store_lanes(value, dz, i, lanes)


@helper
def chunk_grad_sums(dz, x, mean, channels, first, last, c, sums, products):
    """The sums of LANES channels from `c` over pixels first .. last."""
    lanes = min(LANES, channels - c)
    total = broadcast(np.float32(0))
    product = total
    middle = load_lanes(mean, c, lanes)
    for p in range(first, last):
        at = p * channels + c
        value = load_lanes(dz, at, lanes)
        total += value
        product = fma(value, load_lanes(x, at, lanes) - middle, product)
    for i in range(lanes):
        sums[c + i] = lane(total, i)
        products[c + i] = lane(product, i)


@parallel_kernel
def input_grad_kernel(dz, x, mean, scale, mean_dz, slope, dx):
    """dx = scale * (dz - mean_dz - (x - mean) * slope)."""
    channels = len(mean)
    total = len(x) // channels
    chunk = max(1, CHUNK // channels)
    for i in prange((total + chunk - 1) // chunk):
        input_grad_chunk(
            pointer(dz),
            pointer(x),
            pointer(mean),
            pointer(scale),
            pointer(mean_dz),
            pointer(slope),
            pointer(dx),
            channels,
            i * chunk,
            min(total, (i + 1) * chunk),
        )


@helper
def input_grad_chunk(dz, x, mean, scale, mean_dz, slope, dx, channels, first, last):
    """Pixels first .. last, LANES channels at a time."""
    for p in range(first, last):
        for c in range(0, channels, LANES):
            at, lanes = p * channels + c, channels - c
            grad = load_lanes(dz, at, lanes) - load_lanes(mean_dz, c, lanes)
            distance = load_lanes(x, at, lanes) - load_lanes(mean, c, lanes)
            grad -= distance * load_lanes(slope, c, lanes)
            store_lanes(grad * load_lanes(scale, c, lanes), dx, at, lanes)
