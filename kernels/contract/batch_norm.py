"""Batch normalisation, with the batch's own statistics or given ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .. import checks
from ..dispatch import implementation_for, kernel
from ..running import Running

Array = npt.NDArray[np.floating]


@kernel
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
    """Normalise every channel of `x` (N, H, W, C) by the batch's own mean and variance.

    Returns `(y, mean, var)`: y = (x - mean) / sqrt(var + eps) * gamma + beta, and the mean and
    the *biased* variance, each (C,). A `residual` (shaped as x) is added to y; with `relu` the ReLU
    of the sum is taken: the end of a residual block in one pass over memory. `running`
    statistics, if given, move towards the batch's. Ioffe & Szegedy 2015, algorithm 1.
    """
    checks.batch_norm(x, gamma, beta, residual=residual)
    checks.several_values(x.shape)
    checks.running(gamma, running)
    return implementation_for(x, residual, parameters=(gamma, beta))


@kernel
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
    """Gradients of `batch_norm`: `(dx, dgamma, dbeta, dresidual)`.

    `mean` and `var` are those that the forward pass returned: gradients flow through both. `y` is
    the forward result if `relu` was set, else None: dy counts only where y > 0. `dresidual` is
    that masked dy (the same array as dy if y is None).
    """
    checks.batch_norm(x, gamma, mean, var, dy=dy, y=y)
    return implementation_for(dy, x, y, parameters=(gamma, mean, var))


@kernel
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
    """Normalise `x` by a given mean and variance (C,), such as the running statistics."""
    checks.batch_norm(x, gamma, beta, mean, var, residual=residual)
    return implementation_for(x, residual, parameters=(gamma, beta, mean, var))


@kernel
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
    """Gradients of `batch_norm_eval`, as in `batch_norm_grad`; `mean` and `var` are constants."""
    checks.batch_norm(x, gamma, mean, var, dy=dy, y=y)
    return implementation_for(dy, x, y, parameters=(gamma, mean, var))


@kernel
def update_running_statistics(
    running_mean: Array, running_var: Array, mean: Array, var: Array, *, momentum: float, count: int
) -> None:
    """Move a batch norm's running statistics towards those of a batch, all (C,), in place.

    running = (1 - momentum) * running + momentum * batch, where the batch's variance is made
    unbiased: times count / (count - 1), for `count` values per channel. PyTorch does the same.
    """
    arrays = (running_mean, running_var, mean, var)
    names = ("running_mean", "running_var", "mean", "var")
    checks.same_shape(**dict(zip(names, arrays, strict=True)))
    return implementation_for(*arrays)
