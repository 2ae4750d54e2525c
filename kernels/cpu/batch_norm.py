"""Batch normalisation: two passes over memory forward, two backward, everything else fused in.

A channel's statistics must be known before its first value can be normalised, so x is read twice:

    forward   1. read x            -> mean, variance        2. read x (, residual), write y
    backward  1. read dy, x (, y)  -> sums (, write dz)     2. read dz, x, write dx

Bytes: 3 (4 with a residual) arrays forward, 5 to 7 backward; some 10 operations a value, so memory
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
from .memory import NO_FLOATS, Array, Doubles, Ints, empty
from .operands import (
    Input,
    OutputGrad,
    cut_to,
    flat_grad,
    grad_pointers,
    grad_terms,
    load_grad,
)
from .simd import LANES, broadcast, cut_below_zero, fma, lane, load_lanes, pointer, store_lanes

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
    grad = cut_grad(dy, y)
    dgamma, dbeta, dz = parameter_grads(grad, x, mean, var, eps, write_dz=y is not None)
    dz = dy if y is None else dz
    dx = written(through_batch_norm(OutputGrad(dz), x, gamma, mean, var, dgamma, dbeta, eps))
    return dx, dgamma.astype(np.float32), dbeta.astype(np.float32), dz


def cut_grad(dy: Array, y: Array | None) -> OutputGrad:
    """dy where y > 0; all of it where there is no y."""
    return OutputGrad(dy) if y is None else cut_to(dy, Input(y))


def through_batch_norm(
    grad: OutputGrad,
    x: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    dgamma: Doubles,
    dbeta: Doubles,
    eps: float,
) -> OutputGrad:
    """The gradient of batch norm's input x, from that of its result."""
    std, count = inverse_std(var, eps), max(1, x.size // x.shape[3])
    scale = gamma * std
    return grad._replace(
        normalised=True,
        z=x,
        mean=mean,
        scale=scale,
        slope=(-scale * std * dgamma / count).astype(np.float32),
        shift=(-scale * dbeta / count).astype(np.float32),
    )


def written(grad: OutputGrad) -> Array:
    """The values of a gradient."""
    dx = empty(grad.dy.shape)
    write_grad_kernel(flat_grad(grad), dx.shape[3], dx.reshape(-1))
    return dx


def written_input(source: Input) -> Array:
    """The values of an input."""
    if not source.normalised:
        return source.x
    one = np.ones_like(source.mean)
    return batch_norm_eval(
        source.x, source.scale, source.beta, source.mean, one, eps=0.0, residual=None, relu=True
    )


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
    grad = cut_grad(dy, y)
    dgamma, dbeta, dz = parameter_grads(grad, x, mean, var, eps, write_dz=y is not None)
    dz = dy if y is None else dz
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
    """Mean and biased variance of every channel."""
    channels = x.shape[3]
    chunk, total = chunk_pixels(channels), x.size // channels
    means, squares = np.empty((2, -(-total // chunk), channels))
    moments_kernel(x.ravel(), channels, chunk, means, squares)
    return combined(means, squares, np.minimum(chunk, total - chunk * np.arange(len(means))))


def combined(means: Doubles, squares: Doubles, counts: Ints) -> tuple[Array, Array]:
    """Mean and variance from those of chunks of `counts` pixels (Chan et al., eq. 2.1)."""
    total, weights = counts.sum(), counts[:, None]  # no BLAS: it may split a sum by threads
    mean = (weights * means).sum(0) / total
    var = (squares.sum(0) + (weights * (means - mean) ** 2).sum(0)) / total
    return mean.astype(np.float32), var.astype(np.float32)


def parameter_grads(
    grad: OutputGrad, x: Array, mean: Array, var: Array, eps: float, *, write_dz: bool
) -> tuple[Doubles, Doubles, Array]:
    """`(dgamma, dbeta, dz)` from dz, the gradient of batch norm's result; dz empty if not asked."""
    dz = empty(x.shape) if write_dz else NO_FLOATS
    sums, products = grad_sums(grad, x, mean, dz)
    return products * inverse_std(var, eps), sums, dz


def grad_sums(
    grad: OutputGrad, x: Array, mean: Array, dz: Array = NO_FLOATS
) -> tuple[Doubles, Doubles]:
    """Every channel's sums of dz and of dz * (x - mean); dz is written where there is room."""
    channels = x.shape[3]
    chunk, total = chunk_pixels(channels), x.size // channels
    sums, products = np.empty((2, -(-total // chunk), channels))
    grad_sums_kernel(flat_grad(grad), x.ravel(), mean, chunk, dz.reshape(-1), sums, products)
    return sums.sum(0), products.sum(0)


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
            0,
            channels,
        )


@helper
def normalise_chunk(
    x, mean, scale, beta, residual, has_residual, relu, y, channels, first, last, begin, end
):
    """Channels begin .. end of pixels first .. last, LANES channels at a time."""
    for p in range(first, last):
        for c in range(begin, end, LANES):
            at, lanes = p * channels + c, channels - c
            value = load_lanes(x, at, lanes) - load_lanes(mean, c, lanes)
            value = fma(value, load_lanes(scale, c, lanes), load_lanes(beta, c, lanes))
            if has_residual:
                value += load_lanes(residual, at, lanes)
            if relu:
                value = cut_below_zero(value)
            store_lanes(value, y, at, lanes)


@parallel_kernel
def grad_sums_kernel(grad, x, mean, chunk, dz, sums, products):
    """Sums of dz and of dz * (x - mean), of every chunk and channel; dz where there is room."""
    channels = len(mean)
    total = len(x) // channels
    for i in prange(len(sums)):
        first, last = i * chunk, min(total, (i + 1) * chunk)
        for c in range(0, channels, LANES):
            chunk_grad_sums(
                grad_pointers(grad),
                pointer(x),
                pointer(mean),
                channels,
                first,
                last,
                c,
                len(dz) > 0,
                pointer(dz),
                sums[i],
                products[i],
            )


@helper
def chunk_grad_sums(grad, x, mean, channels, first, last, c, write_dz, dz, sums, products):
    """The sums of LANES channels from `c` over pixels first .. last."""
    lanes = min(LANES, channels - c)
    total = broadcast(np.float32(0))
    product = total
    middle = load_lanes(mean, c, lanes)
    terms = grad_terms(grad, c, lanes)
    for p in range(first, last):
        at = p * channels + c
        value = load_grad(grad, terms, at, lanes, True)
        if write_dz:
            store_lanes(value, dz, at, lanes)
        total += value
        product = fma(value, load_lanes(x, at, lanes) - middle, product)
    for i in range(lanes):
        sums[c + i] = lane(total, i)
        products[c + i] = lane(product, i)


@parallel_kernel
def write_grad_kernel(grad, channels, dx):
    """Every value of a gradient."""
    total = len(dx) // channels
    chunk = max(1, CHUNK // channels)
    for i in prange((total + chunk - 1) // chunk):
        first, last = i * chunk, min(total, (i + 1) * chunk)
        write_grad_chunk(grad_pointers(grad), channels, first, last, pointer(dx))


@helper
def write_grad_chunk(grad, channels, first, last, dx):
    """Pixels first .. last, LANES channels at a time."""
    for c in range(0, channels, LANES):
        lanes = channels - c
        terms = grad_terms(grad, c, lanes)
        for p in range(first, last):
            at = p * channels + c
            store_lanes(load_grad(grad, terms, at, lanes, True), dx, at, lanes)
