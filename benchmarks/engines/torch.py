"""PyTorch, eager, channels_last: its fastest layout here."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from networks import CIFAR_DEPTHS, Arrays, to_torch_layout
from shapes import Convolution
from torch_resnet import TorchResNet, TorchResNet50

from . import SGD, Step

NETWORKS = {name: partial(TorchResNet, depth) for name, depth in CIFAR_DEPTHS.items()}
NETWORKS["resnet50"] = TorchResNet50


def version() -> str:
    return torch.__version__


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
    x, y = channels_last(images), torch.from_numpy(labels)

    def step() -> float:
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def infer(network: str, weights: Arrays, images: np.ndarray) -> Step:
    model, x = build(network, weights).eval(), channels_last(images)

    def step() -> np.ndarray:
        with torch.no_grad():
            return model(x).numpy()

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
