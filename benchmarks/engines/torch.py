"""PyTorch, channels_last, its fastest layout here; eager, or after `use_mode` compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from networks import CIFAR_DEPTHS, Arrays, to_torch_layout
from shapes import Convolution
from torch_resnet import TorchResNet, TorchResNet50

from . import SGD, Step

NETWORKS = {name: partial(TorchResNet, depth) for name, depth in CIFAR_DEPTHS.items()}
NETWORKS["resnet50"] = TorchResNet50


MODES: set[str] = set()


def version() -> str:
    return torch.__version__


def use_mode(mode: str) -> None:
    """From here on "compile" the networks, or run them in "bfloat16" by autocast."""
    MODES.add(mode)


def forward_of(model: torch.nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Logits in float32 from images, in the modes asked for."""
    run: Any = torch.compile(model) if "compile" in MODES else model

    def forward(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled="bfloat16" in MODES):
            return run(x).float()

    return forward


def use_threads(count: int) -> None:
    """OpenMP's threads."""
    torch.set_num_threads(count)


def threads() -> int:
    """As many as PyTorch says."""
    return torch.get_num_threads()


def channels_last(array: np.ndarray) -> torch.Tensor:
    """Images (N, H, W, C) as (N, C, H, W), the same bytes."""
    images = torch.from_numpy(array).permute(0, 3, 1, 2)
    return images.contiguous(memory_format=torch.channels_last)


def build(network: str, weights: Arrays) -> torch.nn.Module:
    return with_weights(NETWORKS[network](), weights)


def with_weights(model: torch.nn.Module, weights: Arrays) -> torch.nn.Module:
    """A network that has taken over the weights of its twin in minires."""
    state = {name: torch.from_numpy(a) for name, a in to_torch_layout(weights).items()}
    model.load_state_dict(model.state_dict() | state)
    return model.to(memory_format=torch.channels_last)


def train(network: str, weights: Arrays, images: np.ndarray, labels: np.ndarray) -> Step:
    model = build(network, weights)
    optimizer = torch.optim.SGD(model.parameters(), **SGD)
    x, y, forward = channels_last(images), torch.from_numpy(labels), forward_of(model)

    def step() -> float:
        loss = torch.nn.functional.cross_entropy(forward(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def infer(network: str, weights: Arrays, images: np.ndarray) -> Step:
    forward, x = forward_of(build(network, weights).eval()), channels_last(images)

    def step() -> np.ndarray:
        with torch.no_grad():
            return forward(x).numpy()

    return step


def convolution(shape: Convolution, batch: int, gradient: str) -> Step:
    """One operator of ATen; results as NumPy arrays in the layout of minires."""
    x, weight, dy = shape.arrays(batch)
    x, dy = channels_last(x), channels_last(dy)
    weight = torch.from_numpy(weight).permute(3, 2, 0, 1)
    weight = weight.contiguous(memory_format=torch.channels_last)
    geometry = ([shape.stride] * 2, [shape.padding] * 2, [1, 1])
    if gradient == "forward":
        forward = torch.nn.functional.conv2d
        return lambda: forward(x, weight, None, *geometry).permute(0, 2, 3, 1).numpy()
    mask = [gradient == "input", gradient == "weight", False]
    axes = (0, 2, 3, 1) if gradient == "input" else (2, 3, 1, 0)

    def step() -> np.ndarray:
        results = torch.ops.aten.convolution_backward(
            dy, x, weight, None, *geometry, False, [0, 0], 1, mask
        )
        return results[mask.index(True)].permute(axes).numpy()

    return step
