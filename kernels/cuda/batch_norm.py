"""Batch norm: statistics of chunks, their combination, then one pass that normalises."""

from __future__ import annotations

from typing import Any

from .launch import THREADS, blocks, empty, launch, launch_over, scalar, type_name, vector

Array = Any
WARP = 32
PIXELS_A_THREAD = 8  # of a chunk, as long as there are no more chunks than
MOST_CHUNKS = 512
PIXELS_A_PASS = 4  # that a thread normalises: it reads its channels' statistics once


def width_for(slots: int) -> int:
    """Threads that a block is wide: the power of two that holds the channels, or a warp."""
    return min(WARP, 1 << (slots - 1).bit_length())


def chunk_length(pixels: int, width: int) -> int:
    """Pixels of a chunk, by the shape alone."""
    pixels = max(1, pixels)  # a batch of no images: no chunk, but of some length
    wanted = blocks(pixels, THREADS // width * PIXELS_A_THREAD)
    return blocks(pixels, min(wanted, MOST_CHUNKS))


def batch_norm(
    x: Array,
    gamma: Array,
    beta: Array,
    *,
    eps: float,
    residual: Array | None = None,
    relu: bool = False,
) -> tuple[Array, Array, Array]:
    """Normalise by the batch; also its mean and biased variance."""
    mean, var = statistics(x)
    y = batch_norm_eval(x, gamma, beta, mean, var, eps=eps, residual=residual, relu=relu)
    return y, mean, var


def statistics(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of every channel."""
    channels, name = x.shape[3], type_name(x)
    pixels, width = x.size // channels, width_for(channels)
    chunk, across = chunk_length(pixels, width), blocks(channels, width)
    parts = empty((blocks(pixels, chunk), channels, 2), x)
    mean, var = empty((channels,), x), empty((channels,), x)
    shape = (pixels, channels, width, chunk)
    launch("batch_norm", f"moments<{name}>", (len(parts), across), x, parts, *shape)
    combine = f"combine_moments<{name}>"
    launch("batch_norm", combine, (across,), parts, x, mean, var, *shape)
    return mean, var


def pass_over(x: Array, values: int) -> tuple[tuple[int, int], tuple[int, int, int]]:
    """Grid of a kernel that normalises, and its last arguments."""
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
    """Normalise by given statistics."""
    y = empty(x.shape, x)
    values = vector(x, residual, y, sizes=x.shape[3:])
    grid, shape = pass_over(x, values)
    launch(
        "batch_norm",
        f"normalise<{type_name(x)}, {values}>",
        grid,
        *(x, gamma, beta, mean, var, residual, y, scalar(eps, x), bool(relu), *shape),
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
    """Gradients with the statistics as functions of x."""
    return gradients(dy, x, gamma, mean, var, eps=eps, y=y, training=True)


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
    """Gradients with the statistics held constant."""
    return gradients(dy, x, gamma, mean, var, eps=eps, y=y, training=False)


def gradients(
    dy: Array,
    x: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    *,
    eps: float,
    y: Array | None,
    training: bool,
    needs_dresidual: bool = True,
) -> tuple[Array, Array, Array, Array]:
    """Sums of the chunks, their combination, then dx; dresidual is dy itself where y is None."""
    dgamma, dbeta = parameter_grads(dy, x, y, mean, var, eps)
    dx = empty(x.shape, x)
    dresidual = empty(x.shape, x) if needs_dresidual and y is not None else None
    values = vector(dy, x, y, dx, dresidual, sizes=x.shape[3:])
    grid, shape = pass_over(x, values)
    launch(
        "batch_norm",
        f"normalise_grad<{type_name(x)}, {values}>",
        grid,
        *(dy, x, y, gamma, mean, var, dgamma, dbeta, dx, dresidual),
        *(scalar(eps, x), training, *shape),
    )
    return dx, dgamma, dbeta, dy if y is None else dresidual


def parameter_grads(
    dy: Array, x: Array, y: Array | None, mean: Array, var: Array, eps: float
) -> tuple[Array, Array]:
    """Gradients of gamma and beta."""
    channels, name = x.shape[3], type_name(x)
    pixels, width = x.size // channels, width_for(channels)
    chunk, across = chunk_length(pixels, width), blocks(channels, width)
    parts = empty((blocks(pixels, chunk), channels, 2), x)
    dgamma, dbeta = empty((channels,), x), empty((channels,), x)
    launch(
        "batch_norm",
        f"gradient_sums<{name}>",
        (len(parts), across),
        *(dy, x, y, mean, var, parts, scalar(eps, x), pixels, channels, width, chunk),
    )
    arguments = (parts, dgamma, dbeta, len(parts), channels, width)
    launch("batch_norm", f"combine_sums<{name}>", (across,), *arguments)
    return dgamma, dbeta


def update_running_statistics(
    running_mean: Array, running_var: Array, mean: Array, var: Array, *, momentum: float, count: int
) -> None:
    """Move the running statistics, in place."""
    launch_over(
        len(mean),
        "batch_norm",
        f"update_running_statistics<{type_name(mean)}>",
        *(running_mean, running_var, mean, var),
        *(scalar(momentum, mean), scalar(count / (count - 1), mean), len(mean)),
    )
