"""The networks that every engine builds, and the numbers that all of them start from.

Another network is one more line in `NETWORKS`, and one in the table of each engine that has it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from minires.models import cifar_resnet, resnet50
from minires.nn import Module

Arrays = dict[str, np.ndarray]
CIFAR_DEPTHS = {f"resnet{depth}": depth for depth in range(8, 1203, 6)}


class Network(NamedTuple):
    """How minires builds it, and the side of its images."""

    build: Callable[[], Module]
    side: int


NETWORKS = {name: Network(partial(cifar_resnet, depth), 32) for name, depth in CIFAR_DEPTHS.items()}

# minires keeps a block's input only and computes it twice; the peers train as they always do
NETWORKS["resnet110_recomputed"] = Network(partial(cifar_resnet, 110, recompute=True), 32)
CIFAR_DEPTHS["resnet110_recomputed"] = 110

NETWORKS["resnet50"] = Network(partial(resnet50, version="v1.5"), 224)


def initial_weights(network: str) -> Arrays:
    """Parameters and running statistics by name, away from 0 and 1, which would hide mistakes."""
    rng = np.random.default_rng(0)
    weights = NETWORKS[network].build().state_dict()
    for array in weights.values():
        if array.ndim == 1:
            array += rng.uniform(-0.1, 0.1, array.shape).astype(array.dtype)
    return weights


def random_batch(network: str, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """The same images (N, side, side, 3) and labels for every engine."""
    rng = np.random.default_rng(0)
    side = NETWORKS[network].side
    return rng.standard_normal((batch, side, side, 3), np.float32), rng.integers(0, 10, batch)


def to_torch_layout(weights: Arrays) -> Arrays:
    """Weights (kh, kw, in, out) become (out, in, kh, kw), (in, out) becomes (out, in)."""
    axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    return {k: np.ascontiguousarray(a.transpose(axes[a.ndim])) for k, a in weights.items()}
