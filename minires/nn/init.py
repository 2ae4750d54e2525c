"""Initial weights."""

from __future__ import annotations

import numpy as np

from ..autograd.function import Array

Rng = np.random.Generator | None  # None: zeros, where weights will be loaded


def generators(seed: int | None) -> tuple[Rng, Rng]:
    """One generator for shortcuts' weights (the second) and one for all others, from a seed."""
    if seed is None:
        return None, None
    rng, shortcut_rng = np.random.default_rng(seed).spawn(2)
    return rng, shortcut_rng


def he_normal(shape: tuple[int, ...], rng: Rng, dtype: np.typing.DTypeLike) -> Array:
    """Normal numbers of variance 2 / fan_in, for weights (..., C_in, C_out) before a ReLU.

    fan_in, the number of values that are summed into one output, is the product of all axes but
    the last. The forward signal then keeps its size from layer to layer: He et al. 2015,
    "Delving deep into rectifiers", eq. 10. Drawn in float64, so that float32 and float64 networks
    start alike. Zeros where `rng` is None.
    """
    if rng is None:
        return np.zeros(shape, dtype)
    fan_in = int(np.prod(shape[:-1]))
    return (rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)).astype(dtype)
