"""Initial weights."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..autograd.function import Array
from ..common.expecting import SEED, as_kind, expects
from ..from_pytorch import missing_from


class Zeros:
    """Stands in for a generator: weights are zeros, because others will be loaded."""


Seed = int | None | Literal["zeros"]  # of a network, see `generators`
Rng = np.random.Generator | Zeros | None  # None: the package's generator, see `seed`
_package: dict[str, np.random.Generator] = {"rng": np.random.default_rng(0)}


@expects(number=SEED)
def seed(number: int) -> None:
    """Start the package's generator anew; layers that are made without `rng=` draw from it.

    A program that never calls it starts as after `seed(0)`, so it gives the same each time.
    Networks built with `seed=` and layers built with `rng=` do not depend on it.
    """
    _package["rng"] = np.random.default_rng(number)


def generators(seed: Seed) -> tuple[Rng, Rng]:
    """One generator for shortcuts' weights (the second) and one for all others, from a seed.

    None stands for the package's generator, "zeros" for weights that will be loaded.
    """
    if isinstance(seed, str) and seed == "zeros":
        return Zeros(), Zeros()
    source = _package["rng"] if seed is None else np.random.default_rng(as_kind(SEED, seed, "seed"))
    rng, shortcut_rng = source.spawn(2)
    return rng, shortcut_rng


def dropout_seed(seed: Seed) -> int:
    """The seed of a network's dropout: the network's own, if that is a number, else 0."""
    return 0 if seed is None or seed == "zeros" else seed


def he_normal(shape: tuple[int, ...], rng: Rng, dtype: np.typing.DTypeLike) -> Array:
    """Normal numbers of variance 2 / fan_in, for weights (..., C_in, C_out) before a ReLU.

    fan_in, the number of values that are summed into one output, is the product of all axes but
    the last. The forward signal then keeps its size from layer to layer: He et al. 2015,
    "Delving deep into rectifiers", eq. 10. Drawn in float64, so that float32 and float64 networks
    start alike. Where `rng` is None, the package's generator draws.
    """
    if isinstance(rng, Zeros):
        return np.zeros(shape, dtype)
    rng = rng or _package["rng"]
    fan_in = int(np.prod(shape[:-1]))
    return (rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)).astype(dtype)


__getattr__ = missing_from("minires.nn.init")
