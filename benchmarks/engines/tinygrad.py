"""tinygrad on its CPU backend, the whole step captured by TinyJit.

It cuts a kernel into NUM_CPU_THREADS pieces. Version 0.14 runs them one after the other: the
table's "cores busy" shows what it made of the cores it had.
"""

from __future__ import annotations

import importlib.metadata

import numpy as np
from networks import CIFAR_DEPTHS, Arrays, to_torch_layout
from tinygrad import Context, Device, Tensor, TinyJit, nn
from tinygrad.helpers import NUM_CPU_THREADS

from . import SGD, Step


def version() -> str:
    return importlib.metadata.version("tinygrad")


def use_threads(count: int) -> None:
    """Pieces of a kernel."""
    NUM_CPU_THREADS.value = count


def threads() -> int:
    """As many as tinygrad says."""
    return NUM_CPU_THREADS.value


class Block:
    """The basic block, fig. 2 of He et al. 2015, with shortcut A."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm(channels)
        self.stride, self.new = stride, channels - before

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C, H, W)."""
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        picked = x[:, :, :: self.stride, :: self.stride]
        return (y + picked.pad((None, (0, self.new), None, None))).relu()


class CifarResNet:
    """3x3 convolution, three stages of n blocks, global average pooling, linear classifier."""

    def __init__(self, depth: int) -> None:
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm(16)
        later = (depth - 2) // 6 - 1
        self.layer1 = [Block(16, 16, 1) for _ in range(later + 1)]
        self.layer2 = [Block(16, 32, 2), *(Block(32, 32, 1) for _ in range(later))]
        self.layer3 = [Block(32, 64, 2), *(Block(64, 64, 1) for _ in range(later))]
        self.fc = nn.Linear(64, 10)

    def __call__(self, x: Tensor) -> Tensor:
        """(N, 3, 32, 32) -> (N, 10)."""
        x = self.bn1(self.conv1(x)).relu()
        x = x.sequential([*self.layer1, *self.layer2, *self.layer3])
        return self.fc(x.mean((2, 3)))


def build(network: str, weights: Arrays) -> CifarResNet:
    model = CifarResNet(CIFAR_DEPTHS[network])
    state = {name: Tensor(array) for name, array in to_torch_layout(weights).items()}
    nn.state.load_state_dict(model, state, strict=False, verbose=False)
    return model


def train(network: str, weights: Arrays, images: np.ndarray, labels: np.ndarray) -> Step:
    """Forward, backward, SGD, as one captured graph."""
    model = build(network, weights)
    optimizer = nn.optim.SGD(nn.state.get_parameters(model), **SGD)
    x = Tensor(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).realize()
    y = Tensor(labels.astype(np.int32)).realize()

    @TinyJit
    def captured() -> Tensor:
        optimizer.zero_grad()
        loss = model(x).sparse_categorical_crossentropy(y).backward()
        return loss.realize(*optimizer.schedule_step())

    def step() -> float:
        with Context(TRAINING=1):
            loss = captured().item()
        Device[Device.DEFAULT].synchronize()
        return loss

    return step
