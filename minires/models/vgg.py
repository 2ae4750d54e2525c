"""VGG-16 and VGG-19 (Simonyan & Zisserman 2014, table 1, D and E), the networks that ResNet beat.

| output map | 224 | 112 | 56 | 28 | 14 | then |
|---|---|---|---|---|---|---|
| VGG-16 | 2 x 64 | 2 x 128 | 3 x 256 | 3 x 512 | 3 x 512 | 4096, 4096, 1000 |
| VGG-19 | 2 x 64 | 2 x 128 | 4 x 256 | 4 x 512 | 4 x 512 | 4096, 4096, 1000 |

All convolutions are 3x3, each with ReLU; 2x2 max pooling halves the map after each group. In front
of the fully connected layers torchvision, and so we, bring maps of any size to 7 x 7.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..common.expecting import COUNT, expects
from ..nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
)
from ..nn.init import Rng, Seed, dropout_seed, generators
from ..nn.layers import DType

GROUPS = {  # depth: convolutions before each max pooling
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
FILTERS = (64, 128, 256, 512, 512)


class VGG(Module):
    """Groups of 3x3 convolutions and max pooling, then three fully connected layers."""

    def __init__(
        self,
        depth: int,
        *,
        batch_norm: bool,
        dropout: float,
        classes: int,
        seed: Seed,
        dtype: DType,
        hidden: int = 4096,
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.depth, self.batch_norm, self.channels = depth, batch_norm, channels
        rng, _ = generators(seed)
        self.features = Sequential(*convolutions(channels, depth, batch_norm, rng=rng, dtype=dtype))
        self.avgpool = AdaptiveAvgPool2d(7)
        self.flatten = Flatten()
        self.classifier = Sequential(
            Linear(7 * 7 * 512, hidden, of_map=(7, 7, 512), rng=rng, dtype=dtype),
            ReLU(),
            Dropout(dropout, seed=(dropout_seed(seed), 0)),
            Linear(hidden, hidden, rng=rng, dtype=dtype),
            ReLU(),
            Dropout(dropout, seed=(dropout_seed(seed), 1)),
            Linear(hidden, classes, rng=rng, dtype=dtype),
        )

    @property
    def name(self) -> str:
        """The network's name in tables and pictures, such as VGG-16."""
        return f"VGG-{self.depth}{' BN' if self.batch_norm else ''}"

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, H, W, 3) of at least 32 x 32, normalised -> logits (N, classes)."""
        return self.classifier(self.flatten(self.avgpool(self.features(x))))


def convolutions(
    in_channels: int, depth: int, batch_norm: bool, *, rng: Rng, dtype: DType
) -> Iterator[Module]:
    """The layers up to the last max pooling."""
    for channels, count in zip(FILTERS, GROUPS[depth], strict=True):
        for _ in range(count):
            yield Conv2d(in_channels, channels, 3, padding=1, bias=True, rng=rng, dtype=dtype)
            if batch_norm:
                yield BatchNorm2d(channels, dtype=dtype)
            yield ReLU()
            in_channels = channels
        yield MaxPool2d(2)


@expects(depth=int, classes=COUNT)
def vgg(
    depth: int,
    *,
    batch_norm: bool = False,
    dropout: float = 0.5,
    channels: int = 3,
    classes: int = 1000,
    seed: Seed = 0,
    dtype: DType = np.float32,
) -> VGG:
    """VGG with `depth` 16 or 19; `batch_norm` adds it after each convolution, as torchvision does.

    The weights are He et al.'s, with which these networks train from scratch (2015, "Delving deep",
    sec. 2.2). Images have `channels`, 3 of them in colour. The weights are zeros where `seed` is
    "zeros", for those who will load some.

    Raises: ValueError for another depth.
    """
    if depth not in GROUPS:
        raise ValueError(f"vgg: depth must be 16 or 19, not {depth}")
    options: dict[str, Any] = {
        "channels": channels,
        "classes": classes,
        "seed": seed,
        "dtype": dtype,
    }
    return VGG(depth, batch_norm=batch_norm, dropout=dropout, **options)


def vgg16(**options: Any) -> VGG:
    """16 layers; the options are those of `vgg`."""
    return vgg(16, **options)


def vgg19(**options: Any) -> VGG:
    """19 layers; the options are those of `vgg`."""
    return vgg(19, **options)
