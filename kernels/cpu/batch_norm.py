"""Batch normalisation: two passes over memory forward, two backward, everything else fused in.

A channel's statistics must be known before its first value can be normalised, so x is read twice:

    forward   1. read x            -> mean, variance        2. read x (, residual), write y
    backward  1. read dy, x (, y)  -> sums (, write dz)     2. read dz, x, write dx

Bytes: 3 (4 with a residual) arrays forward, 5 to 7 backward. There are about 10 operations per
value, so memory sets the speed; adding the residual and ReLU in the same pass are free.

Statistics. The textbook E[x²] - E[x]² loses all digits if |mean| >> std. Here every chunk of CHUNK
floats, small enough to be in cache the second time, is read twice: for its mean, then for squared
distances from that mean, with the correction for the mean's own rounding (Chan, Golub & LeVeque
1983, "Algorithms for computing the sample variance", eq. 1.7). Chunks are combined in float64
(`per_channel.py`).

The forward pass, one idea at a time: `kernels/ladder/norm1_three_passes.py` and the two after it.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from ..records import SavedNorm
from ..running import Running
from .compiling import helper, parallel_kernel
from .dealing import dealt, divided
from .memory import Array, Doubles, Ints, empty, flat
from .operands import (
    Input,
    OutputGrad,
    flat_grad,
    grad_pointers,
    grad_terms,
    load_grad,
    masked,
    masked_pointers,
)
from .per_channel import combined, follow, scale_of, terms_of_gradient
from .simd import (
    LANES,
    as_stored,
    broadcast,
    cut_below_zero,
    differ,
    fma,
    lane,
    load_lanes,
    pointer,
    store_lanes,
)

CHUNK = 1 << 15  # floats of a chunk: 128 KB, a quarter of an L2 cache


# ------------------------------------------------------------------------ the public calls


def batch_norm(
    x: Array,
    gamma: Array,
    beta: Array,
    *,
    eps: float,
    residual: Array | None = None,
    relu: bool = False,
    running: Running | None = None,
) -> tuple[Array, Array, Array]:
    mean, var = moments(x)
    follow(running, mean, var, x.size // x.shape[3])
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
    """(x - mean) * scale + beta, plus the residual, then ReLU."""
    y = empty(x.shape, x.dtype)
    added = x if residual is None else residual
    normalise_kernel(
        flat(x),
        mean,
        scale_of(gamma, var, eps),
        beta,
        flat(added),
        residual is not None,
        relu,
        flat(y),
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
    dz, sums = summed(masked_by(dy, y), x, mean, chunks_of(x), write=True)
    through, dgamma, dbeta = through_batch_norm(dz, sums, SavedNorm(x, mean, var), gamma, eps)
    return written(through), dgamma, dbeta, dz.dy


def masked_by(dy: Array, y: Array | None) -> OutputGrad:
    """dy where y > 0; all of dy if y is None."""
    return OutputGrad(dy) if y is None else masked(dy, Input(y))


def summed(
    grad: OutputGrad, x: Array, mean: Array, starts: Ints, *, write: bool
) -> tuple[OutputGrad, Doubles]:
    """The gradient dz of batch norm's result, written if asked, and its sums (see `grad_sums`)."""
    write = write and grad.mask_pending
    dz = empty(x.shape if write else (0,), x.dtype)
    sums = grad_sums(grad, x, mean, starts, dz)
    return OutputGrad(dz) if write else grad, sums


def through_batch_norm(
    dz: OutputGrad, sums: Doubles, saved: SavedNorm, gamma: Array, eps: float
) -> tuple[OutputGrad, Array, Array]:
    """The gradients of batch norm's z, gamma and beta, from the gradient dz and its sums."""
    z, mean, var, _ = saved
    count = max(1, z.size // z.shape[3])
    scale, slope, shift, dgamma, dbeta = terms_of_gradient(sums, gamma, var, eps, count)
    terms = {"mean": mean, "scale": scale, "slope": slope, "shift": shift}
    return dz._replace(norm_pending=True, z=z, **terms), dgamma, dbeta


def written(grad: OutputGrad) -> Array:
    """The gradient as an array: what is pending is applied."""
    if not (grad.mask_pending or grad.norm_pending):
        return grad.dy
    dx = empty(grad.dy.shape, grad.dy.dtype)
    write_grad_kernel(flat_grad(grad), dx.shape[3], flat(dx))
    return dx


def written_input(source: Input) -> Array:
    """The input as an array: a pending batch norm and ReLU are applied."""
    if not source.norm_pending:
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
    """dx = dz * gamma / std: with constant statistics batch norm is linear."""
    grad, sums = summed(masked_by(dy, y), x, mean, chunks_of(x), write=True)
    scale, _, _, dgamma, dbeta = terms_of_gradient(sums, gamma, var, eps, 1)
    zero, one = np.zeros_like(gamma), np.ones_like(var)
    dx = batch_norm_eval(grad.dy, scale, zero, zero, one, eps=0.0)
    return dx, dgamma, dbeta, grad.dy


# ------------------------------------------------------------------------ combining chunks


def chunk_pixels(channels: int) -> int:
    return max(1, CHUNK // max(1, channels))


def even_starts(pixels: int, channels: int) -> Ints:
    """The pixel that each chunk starts at, and one past the last."""
    return np.append(np.arange(0, pixels, chunk_pixels(channels)), pixels)


def chunks_of(x: Array) -> Ints:
    """`even_starts` of a map."""
    return even_starts(x.size // max(1, x.shape[3]), x.shape[3])


def moments(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of every channel."""
    starts = chunks_of(x)
    means, squares = np.empty((2, len(starts) - 1, x.shape[3]))
    moments_kernel(flat(x), x.shape[3], starts, means, squares)
    return combined(means, squares, starts)


def grad_sums(grad: OutputGrad, x: Array, mean: Array, starts: Ints, dz: Array) -> Doubles:
    """Every channel's sums of dz and of dz * (x - mean); dz is written unless it has no elements.

    `starts` says how the pixels are cut into chunks; the chunks' sums are added in order.
    """
    sums, products = parts = np.empty((2, len(starts) - 1, x.shape[3]))
    grad_sums_kernel(flat_grad(grad), flat(x), mean, starts, flat(dz), sums, products)
    return parts.sum(1)


# ------------------------------------------------------------------------ kernels


@parallel_kernel
def moments_kernel(x, channels, starts, means, squares):
    """Mean and sum of squared distances from it, of every chunk and channel."""
    work = divided(len(means))
    for thread in prange(len(work)):
        for i in dealt(work, thread):
            first, last = starts[i], starts[i + 1]
            for c in range(0, channels, LANES):
                chunk_moments(
                    pointer(x), pointer(x), channels, first, last, c, means[i], squares[i]
                )


@helper
def chunk_moments(sums, x, channels, first, last, c, means, squares):
    """The moments of LANES channels from `c` over pixels first .. last of x.

    `sums` is x as well; or x is made from its sums on the way (see `sums.py`).
    """
    lanes = min(LANES, channels - c)
    count = np.float32(last - first)
    begin, end = first * channels + c, last * channels + c
    total = sum_of_pixels(sums, x, begin, end, channels, lanes)
    mean = total * broadcast(np.float32(1) / count)
    rest, square = sums_of_distances(x, begin, end, channels, lanes, mean)
    for i in range(lanes):  # the distances would sum to zero if the mean had no rounding error
        correction = np.float64(lane(rest, i))
        means[c + i] = lane(mean, i) + correction / count
        squares[c + i] = lane(square, i) - correction * correction / count


@helper
def sum_of_pixels(sums, x, begin, end, step, lanes):
    """The sum of the vectors from `begin`, `step` floats apart, as four independent sums.

    An addition takes four cycles, and the next one to the same sum would wait for it. Four sums
    keep the adder busy; the vectors that four do not divide are added at the end.
    """
    s0 = broadcast(np.float32(0))
    s1, s2, s3 = s0, s0, s0
    whole = end - (end - begin) % (4 * step)
    for at in range(begin, whole, 4 * step):
        s0 += settled(sums, x, at, lanes)
        s1 += settled(sums, x, at + step, lanes)
        s2 += settled(sums, x, at + 2 * step, lanes)
        s3 += settled(sums, x, at + 3 * step, lanes)
    for at in range(whole, end, step):
        s0 += settled(sums, x, at, lanes)
    return (s0 + s1) + (s2 + s3)


@helper
def settled(sums, x, at, lanes):
    """A vector of x; it is first made from its sums, and rounded, if they lie elsewhere."""
    value = load_lanes(sums, at, lanes)
    if differ(sums, x):
        store_lanes(value, x, at, lanes)
        value = as_stored(value, x)
    return value


@helper
def sums_of_distances(x, begin, end, step, lanes, mean):
    """The sums of the distances from the mean and of their squares, as in `sum_of_pixels`."""
    s0 = broadcast(np.float32(0)), broadcast(np.float32(0))
    s1, s2, s3 = s0, s0, s0
    whole = end - (end - begin) % (4 * step)
    for at in range(begin, whole, 4 * step):
        s0 = plus_distance(s0, load_lanes(x, at, lanes) - mean)
        s1 = plus_distance(s1, load_lanes(x, at + step, lanes) - mean)
        s2 = plus_distance(s2, load_lanes(x, at + 2 * step, lanes) - mean)
        s3 = plus_distance(s3, load_lanes(x, at + 3 * step, lanes) - mean)
    for at in range(whole, end, step):
        s0 = plus_distance(s0, load_lanes(x, at, lanes) - mean)
    return plus(plus(s0, s1), plus(s2, s3))


@helper
def plus_distance(sums, distance):
    """Both sums with one more distance added."""
    return sums[0] + distance, fma(distance, distance, sums[1])


@helper
def plus(sums, others):
    return sums[0] + others[0], sums[1] + others[1]


@parallel_kernel
def normalise_kernel(x, mean, scale, beta, residual, has_residual, relu, y):
    """y = (x - mean) * scale + beta (+ residual) (then ReLU)."""
    channels = len(mean)
    total = len(x) // channels
    chunk = max(1, CHUNK // channels)
    work = divided((total + chunk - 1) // chunk)
    for thread in prange(len(work)):
        for i in dealt(work, thread):
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
def grad_sums_kernel(grad, x, mean, starts, dz, sums, products):
    """Sums of dz and of dz * (x - mean), of every chunk and channel; dz if it has elements."""
    channels = len(mean)
    work = divided(len(sums))
    for thread in prange(len(work)):
        for i in dealt(work, thread):
            first, last = starts[i], starts[i + 1]
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
    """The sums of LANES channels from `c` over pixels first .. last, as in `sum_of_pixels`."""
    lanes = min(LANES, channels - c)
    s0 = broadcast(np.float32(0)), broadcast(np.float32(0))
    s1, s2, s3 = s0, s0, s0
    middle = load_lanes(mean, c, lanes)
    terms = grad_terms(grad, c, lanes)
    place = lanes, x, middle, write_dz, dz
    begin, end, step = first * channels + c, last * channels + c, channels
    whole = end - (end - begin) % (4 * step)
    for at in range(begin, whole, 4 * step):
        s0 = plus_grad(s0, grad, terms, at, *place)
        s1 = plus_grad(s1, grad, terms, at + step, *place)
        s2 = plus_grad(s2, grad, terms, at + 2 * step, *place)
        s3 = plus_grad(s3, grad, terms, at + 3 * step, *place)
    for at in range(whole, end, step):
        s0 = plus_grad(s0, grad, terms, at, *place)
    total, product = plus(plus(s0, s1), plus(s2, s3))
    for i in range(lanes):
        sums[c + i] = lane(total, i)
        products[c + i] = lane(product, i)


@helper
def plus_grad(sums, grad, terms, at, lanes, x, middle, write_dz, dz):
    """Both sums with one more gradient added; it is written if asked."""
    value = load_grad(grad, terms, at, lanes, True)
    if write_dz:
        store_lanes(value, dz, at, lanes)
    return sums[0] + value, fma(value, load_lanes(x, at, lanes) - middle, sums[1])


@helper
def mask_and_sum(dx, source, mask, channels, first, last, sums, products):
    """Mask pixels first .. last of dx, which are complete, and gather batch norm's sums."""
    grad = masked_pointers(dx, source)
    for c in range(0, channels, LANES):
        chunk_grad_sums(grad, mask.z, mask.mean, channels, first, last, c, True, dx, sums, products)


@parallel_kernel
def write_grad_kernel(grad, channels, dx):
    total = len(dx) // channels
    chunk = max(1, CHUNK // channels)
    work = divided((total + chunk - 1) // chunk)
    for thread in prange(len(work)):
        for i in dealt(work, thread):
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
