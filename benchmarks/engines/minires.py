"""minires itself."""

from __future__ import annotations

import contextlib
from typing import Any

import numba
import numpy as np
from minires.kernels.records import ConvNorm
from networks import NETWORKS, Arrays
from shapes import Convolution

import minires
from minires import Tensor, kernels, no_grad, optim
from minires.nn import Module, fold_batch_norm
from minires.nn.functional import cross_entropy

from . import SGD, Step


def version() -> str:
    return minires.__version__


forever = contextlib.ExitStack()


def use_mode(precision: str) -> None:
    """From here on compute in this precision."""
    forever.enter_context(minires.precision(precision))


def use_threads(count: int) -> None:
    """Nothing to set: the environment says it, NUMBA_NUM_THREADS.

    `numba.set_num_threads` would start OpenMP before the kernels have told it to let its threads
    sleep.
    """


def threads() -> int:
    """As many as Numba says."""
    return numba.get_num_threads()


def build(network: str, weights: Arrays) -> Module:
    model = NETWORKS[network].build()
    model.load_state_dict(weights)
    return model


def train(network: str, weights: Arrays, images: np.ndarray, labels: np.ndarray) -> Step:
    model = build(network, weights)
    optimizer = optim.SGD(model.parameters(), **SGD)

    def step() -> float:
        loss = cross_entropy(model(Tensor(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.data)

    return step


def for_inference(model: Module) -> Any:
    """The fastest form of a trained network, which `infer` times."""
    return fold_batch_norm(model)


def infer(network: str, weights: Arrays, images: np.ndarray) -> Step:
    model = for_inference(build(network, weights))

    def step() -> np.ndarray:
        with no_grad():
            return model(Tensor(images)).data

    return step


def convolution(shape: Convolution, batch: int, gradient: str) -> Step:
    x, weight, dy = shape.arrays(batch)
    geometry = {"stride": shape.stride, "padding": shape.padding}
    return {
        "forward": lambda: kernels.conv2d(x, weight, **geometry),
        "input": lambda: kernels.conv2d_input_grad(dy, weight, x_shape=x.shape, **geometry),
        "weight": lambda: kernels.conv2d_weight_grad(
            dy, x, kernel_size=weight.shape[:2], **geometry
        ),
    }[gradient]


def batch_norm(side: int, channels: int, batch: int, shortcut: bool, backward: bool) -> Step:
    """Batch norm with its ReLU and, at the end of a block, the shortcut: one kernel."""
    rng = np.random.default_rng(0)
    x, other = rng.standard_normal((2, batch, side, side, channels), np.float32)
    gamma, beta = rng.standard_normal((2, channels), np.float32)
    forward = {"eps": 1e-5, "residual": other if shortcut else None, "relu": True}
    if not backward:
        return lambda: kernels.batch_norm(x, gamma, beta, **forward)
    y, mean, var = kernels.batch_norm(x, gamma, beta, **forward)
    return lambda: kernels.batch_norm_grad(other, x, gamma, mean, var, eps=1e-5, y=y)


def block(side: int, channels: int, batch: int, backward: bool) -> Step:
    """A residual block of two convolutions, fused."""
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, batch, side, side, channels), np.float32)
    weights = rng.standard_normal((2, 3, 3, channels, channels), np.float32)
    gamma, beta = rng.standard_normal((2, channels), np.float32)
    first, second = (ConvNorm(weight, gamma, beta, 1e-5, padding=1) for weight in weights)
    if not backward:
        return lambda: kernels.basic_block(x, first, second, skip=True)
    _, saved = kernels.basic_block(x, first, second, skip=True)
    return lambda: kernels.basic_block_grad(dy, x, first, second, saved, skip=True)


def sgemm(side: int) -> Step:
    a, b = np.random.default_rng(0).standard_normal((2, side, side), np.float32)
    return lambda: kernels.matmul(a, b)
