"""The distinct convolutions of the networks that the benchmarks speak of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


class Convolution(NamedTuple):
    """A layer on square images."""

    side: int
    before: int
    channels: int
    kernel: int
    stride: int = 1

    @property
    def padding(self) -> int:
        """Half the kernel, as in all these networks."""
        return self.kernel // 2

    @property
    def side_after(self) -> int:
        """Rows of the output."""
        return (self.side + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def name(self) -> str:
        """Such as 3x3/2, 64 -> 128 at 56."""
        stride = f"/{self.stride}" if self.stride > 1 else ""
        return (
            f"{self.kernel}x{self.kernel}{stride}, {self.before} -> {self.channels} at {self.side}"
        )

    def operations(self, batch: int) -> int:
        """Multiplications and additions of the direct convolution; each gradient has as many."""
        weight = self.kernel**2 * self.before * self.channels
        return 2 * batch * self.side_after**2 * weight

    def bytes(self, batch: int) -> int:
        """Input, output and weight, each once: what any algorithm must move, for gradients too."""
        x = batch * self.side**2 * self.before
        y = batch * self.side_after**2 * self.channels
        return 4 * (x + y + self.kernel**2 * self.before * self.channels)

    def gradients(self) -> tuple[str, ...]:
        """What training computes: images (3 channels) need no gradient."""
        return ("forward", "weight") if self.before == 3 else ("forward", "input", "weight")

    def arrays(self, batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Input, weight, and a gradient of the output."""
        rng = np.random.default_rng(0)
        after = self.side_after
        return (
            rng.standard_normal((batch, self.side, self.side, self.before), np.float32),
            rng.standard_normal((self.kernel, self.kernel, self.before, self.channels), np.float32),
            rng.standard_normal((batch, after, after, self.channels), np.float32),
        )


CIFAR_RESNET = (
    Convolution(32, 3, 16, 3),
    Convolution(32, 16, 16, 3),
    Convolution(32, 16, 32, 3, 2),
    Convolution(16, 32, 32, 3),
    Convolution(16, 32, 64, 3, 2),
    Convolution(8, 64, 64, 3),
)
PROJECTIONS = (Convolution(32, 16, 32, 1, 2), Convolution(16, 32, 64, 1, 2))  # options B and C
STEM = Convolution(224, 3, 64, 7, 2)
WIDTHS = (64, 128, 256, 512)  # of the stages, at 56, 28, 14 and 7 pixels


def basic_blocks() -> Iterable[Convolution]:
    """ResNet-18 and ResNet-34."""
    yield STEM
    side, before = 56, 64
    for channels in WIDTHS:
        if before != channels:
            yield Convolution(side, before, channels, 3, 2)
            yield Convolution(side, before, channels, 1, 2)
            side //= 2
        yield Convolution(side, channels, channels, 3)
        before = channels


def bottlenecks() -> Iterable[Convolution]:
    """ResNet-50, with the stride in the 3x3 convolution, as torchvision has it."""
    yield STEM
    side, before = 56, 64
    for channels in WIDTHS:
        stride = 1 if channels == 64 else 2
        yield Convolution(side, before, channels, 1)
        yield Convolution(side, channels, channels, 3, stride)
        yield Convolution(side, before, 4 * channels, 1, stride)
        side, before = side // stride, 4 * channels
        yield Convolution(side, channels, 4 * channels, 1)
        yield Convolution(side, 4 * channels, channels, 1)
        yield Convolution(side, channels, channels, 3)


def vgg16() -> Iterable[Convolution]:
    """Thirteen 3x3 convolutions, halved by pooling between the groups."""
    side, before = 224, 3
    for channels in (64, 128, 256, 512, 512):
        for _ in range(3):
            yield Convolution(side, before, channels, 3)
            before = channels
        side //= 2


NETWORKS: dict[str, tuple[int, Iterable[Convolution]]] = {
    "cifar": (128, (*CIFAR_RESNET, *PROJECTIONS)),
    "resnet18_34": (8, tuple(basic_blocks())),
    "resnet50": (8, tuple(bottlenecks())),
    "vgg16": (8, tuple(vgg16())),
}


def distinct(names: Iterable[str]) -> dict[tuple[Convolution, int], list[str]]:
    """Every layer with its batch size, and the networks that it belongs to."""
    found: dict[tuple[Convolution, int], list[str]] = {}
    for name in names:
        batch, layers = NETWORKS[name]
        for layer in dict.fromkeys(layers):
            found.setdefault((layer, batch), []).append(name)
    return found
