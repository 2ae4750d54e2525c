"""Batch norm's arithmetic on one number per channel, between two passes over memory.

So few numbers take no time, but a dozen NumPy calls do: a pass over memory evicts NumPy's and
Python's code from the caches, and idle threads fall asleep meanwhile. So each function here is one
compiled call, on one thread.
"""

from __future__ import annotations

import math

import numpy as np

from ..running import Running, unbiased
from .compiling import helper, kernel
from .memory import Array


@kernel
def combined(means, squares, starts):
    """Mean and biased variance from the moments of chunks that begin at `starts`.

    Chan, Golub & LeVeque 1983, eq. 2.1; `squares` are sums of squared distances from the means.
    """
    channels, total = means.shape[1], starts[-1] - starts[0]
    mean, var = np.empty(channels, np.float32), np.empty(channels, np.float32)
    for c in range(channels):
        middle, square = 0.0, 0.0
        for i in range(len(means)):
            middle += (starts[i + 1] - starts[i]) * means[i, c]
        middle /= total
        for i in range(len(means)):
            square += squares[i, c] + (starts[i + 1] - starts[i]) * (means[i, c] - middle) ** 2
        mean[c], var[c] = middle, square / total
    return mean, var


@helper
def inverse_std(var, eps):
    """1 / sqrt(var + eps) of one channel, rounded once."""
    return np.float32(1 / math.sqrt(np.float64(var) + eps))


@kernel
def scale_of(gamma, var, eps):
    """gamma / std: the factor of a distance from the mean."""
    scale = np.empty_like(gamma)
    for c in range(len(gamma)):
        scale[c] = gamma[c] * inverse_std(var[c], eps)
    return scale


@kernel
def terms_of_gradient(sums, gamma, var, eps, count):
    """`scale, slope, shift, dgamma, dbeta` from the sums (2, C) over `count` pixels.

    The gradient of z is made from the first three, see `operands.py`.
    """
    terms = np.empty((5, len(gamma)), np.float32)
    for c in range(len(gamma)):
        std = inverse_std(var[c], eps)
        scale, dbeta, dgamma = gamma[c] * std, sums[0, c], sums[1, c] * std
        slope, shift = -scale * std * dgamma / count, -scale * dbeta / count
        terms[0, c], terms[1, c], terms[2, c], terms[3, c], terms[4, c] = (
            scale,
            slope,
            shift,
            dgamma,
            dbeta,
        )
    return terms[0], terms[1], terms[2], terms[3], terms[4]


def update_running_statistics(
    running_mean: Array, running_var: Array, mean: Array, var: Array, *, momentum: float, count: int
) -> None:
    """Exponential moving averages; the variance is made unbiased."""
    follow_kernel(running_mean, mean, float(momentum), 1.0)
    follow_kernel(running_var, var, float(momentum), unbiased(count))


def follow(running: Running | None, mean: Array, var: Array, count: int) -> None:
    """Move the running statistics, if any, towards those of `count` values per channel."""
    if running:
        statistics = (running.mean, running.var, mean, var)
        update_running_statistics(*statistics, momentum=running.momentum, count=count)


@kernel
def follow_kernel(running, batch, momentum, factor):
    """Move a running average towards a batch's value times a factor."""
    for c in range(len(running)):
        running[c] = (1 - momentum) * running[c] + momentum * (batch[c] * factor)
