"""Batch norm: statistics of chunks, combined by the last block to arrive, then normalisation."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..records import SavedNorm
from ..running import Running, unbiased
from .launch import (
    THREADS,
    arithmetic,
    blocks,
    counters,
    empty,
    empty_numbers,
    launch,
    launch_over,
    scalar,
    type_name,
    vector,
)
from .source import choose_engine, product

Array = Any
WARP = 32
PIXELS_A_THREAD = 8  # of a chunk, as long as there are at most MOST_CHUNKS
MOST_CHUNKS = 512
PIXELS_A_PASS = 4  # that a thread normalises; it reads its channels' statistics once


def width_for(slots: int) -> int:
    """Width of a block in threads: the power of two that holds the channels, at most a warp."""
    return min(WARP, 1 << (slots - 1).bit_length())


def chunk_length(pixels: int, width: int) -> int:
    """Pixels of a chunk, from the shape alone."""
    pixels = max(1, pixels)  # a batch of no images has no chunk, but a length
    wanted = blocks(pixels, THREADS // width * PIXELS_A_THREAD)
    return blocks(pixels, min(wanted, MOST_CHUNKS))


class Norm(NamedTuple):
    """A batch norm with known statistics."""

    mean: Array
    var: Array
    gamma: Array
    beta: Array
    eps: float


class Moments(NamedTuple):
    """Arrays for a map's mean and variance, and the running statistics to move."""

    mean: Array
    var: Array
    running: Running | None


def fresh_moments(channels: int, like: Array, running: Running | None) -> Moments:
    mean, var = (empty_numbers((channels,), like) for _ in range(2))
    return Moments(mean, var, running)


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
    mean, var = statistics(x, running)
    y = batch_norm_eval(x, gamma, beta, mean, var, eps=eps, residual=residual, relu=relu)
    return y, mean, var


def statistics(x: Array, running: Running | None) -> tuple[Array, Array]:
    """Mean and biased variance of every channel; the running statistics move."""
    channels = x.shape[3]
    pixels, width = x.size // channels, width_for(channels)
    chunk, across = chunk_length(pixels, width), blocks(channels, width)
    count = blocks(pixels, chunk)
    moments = fresh_moments(channels, x, running)
    launch(
        "batch_norm",
        f"moments<{type_name(x)}>",
        (count, across),
        *(x, empty_numbers((count, 2, channels), x), counters(x, across, count)),
        *following(moments, pixels, x),
        *(pixels, channels, width, chunk),
    )
    return moments.mean, moments.var


def following(moments: Moments | None, pixels: int, like: Array) -> tuple[Any, ...]:
    """A kernel's arguments for moments over `pixels`; if it takes none, null pointers."""
    mean, var, running = moments or (None, None, None)
    running_mean, running_var, momentum = running or (None, None, 0)
    factor = unbiased(pixels) if running else 0
    return mean, var, running_mean, running_var, scalar(momentum, like), scalar(factor, like)


def pass_over(x: Array, values: int) -> tuple[tuple[int, int], tuple[int, int, int]]:
    """Grid of a normalising kernel, and its last arguments."""
    channels = x.shape[3]
    pixels, width = x.size // channels, width_for(channels // values)
    down = blocks(pixels, THREADS // width * PIXELS_A_PASS)
    return (down, blocks(channels // values, width)), (pixels, channels, width)


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
    return normalise(x, Norm(mean, var, gamma, beta, eps), residual=residual, relu=relu)


def normalise(
    x: Array, norm: Norm, *, residual: Array | None = None, stride: int = 1, relu: bool
) -> Array:
    """Normalise. With a stride, the residual is a larger map with fewer channels: shortcut A."""
    y = empty(x.shape, x)
    shape = x.shape if residual is None else residual.shape
    values = vector(x, residual, y, sizes=(x.shape[3], shape[3]))
    grid, sizes = pass_over(x, values)
    launch(
        "batch_norm",
        f"normalise<{type_name(x)}, {values}>",
        grid,
        *(x, norm.gamma, norm.beta, norm.mean, norm.var, residual, int(stride), *shape[1:], y),
        *(scalar(norm.eps, x), bool(relu), *x.shape[1:3], *sizes),
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
    return gradients(dy, SavedNorm(x, mean, var, y), gamma, eps, training=True)


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
    return gradients(dy, SavedNorm(x, mean, var, y), gamma, eps, training=False)


def gradients(
    dy: Array,
    saved: SavedNorm,
    gamma: Array,
    eps: float,
    *,
    training: bool = True,
    sums: Array | None = None,
    needs_dresidual: bool = True,
    grad_buffers: tuple[Array | None, ...] = (None, None),
) -> tuple[Array, Array, Array, Array]:
    """Sums over all pixels, unless they were gathered; then dx.

    If `sums` were gathered, or there is no y, dy needs no mask: it is dresidual.
    """
    x, mean, var, y = saved if sums is None else saved._replace(y=None)
    if sums is None:
        sums = gradient_sums(dy, x, y, mean)
    dgamma, dbeta = (empty(gamma.shape, gamma) if b is None else b for b in grad_buffers)
    dx = empty(x.shape, x)
    if x.size == 0:  # an empty grid: nothing is launched
        dgamma.fill(0)
        dbeta.fill(0)
    dresidual = empty(x.shape, x) if needs_dresidual and y is not None else None
    values = vector(dy, x, y, dx, dresidual, sizes=x.shape[3:])
    grid, shape = pass_over(x, values)
    launch(
        "batch_norm",
        f"normalise_grad<{type_name(x)}, {values}>",
        grid,
        *(dy, x, y, gamma, mean, var, sums, dgamma, dbeta, dx, dresidual),
        *(scalar(eps, x), training, *shape),
    )
    return dx, dgamma, dbeta, dy if y is None else dresidual


def gradient_sums(dy: Array, x: Array, y: Array | None, mean: Array) -> Array:
    """(2, C): the sums of the gradient, where y > 0, and of its product with x - mean.

    The engine that would make this gradient in a convolution adds them, so in the same order.
    """
    channels = x.shape[3]
    pixels, sums = x.size // channels, empty_numbers((2, channels), x)
    values = vector(dy, x, y, sizes=(channels,))
    engine = choose_engine("conv2d_input_grad", arithmetic(x), values, pixels, channels)
    grid = blocks(pixels, engine.m), blocks(channels, engine.n)
    launch(
        "convolution",
        product("gradient_sums", engine, values),
        grid,
        *(dy, x, y, mean),
        *(empty_numbers((grid[0], 2, channels), x), counters(x, grid[1], grid[0]), sums),
        *(pixels, channels),
        threads=engine.threads,
    )
    return sums


def update_running_statistics(
    running_mean: Array, running_var: Array, mean: Array, var: Array, *, momentum: float, count: int
) -> None:
    launch_over(
        len(mean),
        "batch_norm",
        f"update_running_statistics<{type_name(mean)}>",
        *(running_mean, running_var, mean, var),
        *(scalar(momentum, mean), scalar(unbiased(count), mean), len(mean)),
    )
