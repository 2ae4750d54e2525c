"""The ImageNet networks of He et al. 2015, table 1, and their plain twins.

| layers | output map | 18 | 34 | 50 | 101 | 152 |
|---|---|---|---|---|---|---|
| conv1 | 112 x 112 | 7x7, 64, stride 2 |||||
| maxpool | 56 x 56 | 3x3, stride 2 |||||
| layer1 | 56 x 56 | 2 basic blocks, 64 | 3 | 3 bottlenecks, 64 -> 256 | 3 | 3 |
| layer2 | 28 x 28 | 2, 128 | 4 | 4, 128 -> 512 | 4 | 8 |
| layer3 | 14 x 14 | 2, 256 | 6 | 6, 256 -> 1024 | 23 | 36 |
| layer4 | 7 x 7 | 2, 512 | 3 | 3, 512 -> 2048 | 3 | 3 |
| fc | 1 x 1 | average pool, fully connected layer for 1000 classes |||||
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np

from ..autograd import Tensor
from ..common.expecting import COUNT, expects
from ..nn import (
    BasicBlock,
    BatchNorm2d,
    Bottleneck,
    Conv2d,
    GlobalAvgPool,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    make_stage,
)
from ..nn.blocks import SHORTCUTS, Shortcut
from ..nn.init import Rng, Seed, generators
from ..nn.layers import DType
from ..nn.sequential import in_turn

Version = Literal["v1", "v1.5"]

BLOCKS = {  # depth: blocks of the four stages
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
STAGES = (  # name, filters, stride of the first block
    ("layer1", 64, 1),
    ("layer2", 128, 2),
    ("layer3", 256, 2),
    ("layer4", 512, 2),
)


class ResNet(Module):
    """7x7 convolution, max pooling, four stages of blocks, global average pooling, classifier."""

    def __init__(
        self,
        depth: int,
        *,
        shortcut: Shortcut,
        version: Version,
        groups: int,
        width_per_group: int,
        channels: int,
        classes: int,
        recompute: bool,
        rng: Rng,
        shortcut_rng: Rng,
        dtype: DType,
    ) -> None:
        super().__init__()
        self.depth, self.shortcut, self.version = depth, shortcut, version
        self.channels = channels
        self.groups, self.width_per_group = groups, width_per_group
        self.conv1 = Conv2d(channels, 64, 7, stride=2, padding=3, rng=rng, dtype=dtype)
        self.bn1 = BatchNorm2d(64, dtype=dtype)
        self.relu = ReLU()
        self.maxpool = MaxPool2d(3, stride=2, padding=1)
        block, expansion = block_of(depth, version)
        options: dict[str, Any] = {"rng": rng, "shortcut_rng": shortcut_rng, "dtype": dtype}
        options |= {"shortcut": shortcut, "recompute": recompute}
        in_channels = 64
        for (name, filters, stride), count in zip(STAGES, BLOCKS[depth], strict=True):
            if expansion > 1:
                options |= {"width": filters * width_per_group // 64 * groups, "groups": groups}
            wide = filters * expansion
            stage = make_stage(block, in_channels, wide, count, stride=stride, **options)
            setattr(self, name, stage)
            in_channels = wide
        self.avgpool = GlobalAvgPool()
        self.fc = Linear(in_channels, classes, rng=rng, dtype=dtype)

    @property
    def name(self) -> str:
        """The network's name in tables and pictures, such as ResNet-50 or plain-34."""
        option = "" if self.shortcut in ("B", None) else f" ({self.shortcut})"
        version = " v1.5" if self.version == "v1.5" and self.depth >= 50 else ""
        kind = "plain" if self.shortcut is None else "ResNet"
        if (self.groups, self.width_per_group) != (1, 64):
            version = f" {self.groups}x{self.width_per_group}d{version}"
        return f"{kind}-{self.depth}{version}{option}"

    def features(self, x: Tensor) -> Tensor:
        """Images (N, H, W, 3), normalised -> maps (N, H / 32, W / 32, C), sizes rounded up."""
        x = in_turn(x, self.conv1, self.bn1, self.relu, self.maxpool)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, H, W, 3), normalised -> logits (N, classes)."""
        return self.fc(self.avgpool(self.features(x)))


def block_of(depth: int, version: Version) -> tuple[Callable[..., Module], int]:
    """The block of the networks of this depth, and its output channels per filter."""
    if depth < 50:
        return BasicBlock, 1
    return partial(Bottleneck, stride_in="1x1" if version == "v1" else "3x3"), 4


@expects(depth=int, channels=COUNT, classes=COUNT)
def resnet(
    depth: int,
    *,
    shortcut: Shortcut = "B",
    version: Version = "v1",
    groups: int = 1,
    width_per_group: int = 64,
    seed: Seed = 0,
    channels: int = 3,
    classes: int = 1000,
    recompute: bool = False,
    dtype: DType = np.float32,
) -> ResNet:
    """The network of table 1 with `depth` 18, 34, 50, 101 or 152.

    `shortcut` "B" is what torchvision has, and the paper for 50 layers and more; "A" has no
    parameters, "C" projects everywhere (table 3), and None is the plain twin, which for the same
    seed has the same weights with the same initial values. `version` says where bottlenecks stride:
    "v1" in their first 1x1 convolution (the paper), "v1.5" in the 3x3 (torchvision); basic blocks
    are the same in both. Their 3x3 convolutions have `groups` of `width_per_group` channels in the
    first stage, twice as many in each that follows: see `resnext50_32x4d` and `wide_resnet50_2`.
    Images have `channels`, 3 of them in colour. The weights are zeros where `seed` is "zeros", for
    those who will load some. With `recompute` the blocks run again in the backward pass, for less
    memory: see BasicBlock.

    Raises: ValueError for another depth, shortcut or version.
    """
    if depth not in BLOCKS:
        raise ValueError(f"resnet: depth must be one of {', '.join(map(str, BLOCKS))}, not {depth}")
    if shortcut not in SHORTCUTS:
        raise ValueError(f"shortcut must be 'A', 'B', 'C' or None (plain), but is {shortcut!r}")
    if version not in ("v1", "v1.5"):
        raise ValueError(
            f"version must be 'v1' (strides as in the paper) or 'v1.5' (as in torchvision), "
            f"but is {version!r}"
        )
    if depth < 50 and (groups, width_per_group) != (1, 64):
        raise ValueError(
            f"resnet: groups and width_per_group are for bottlenecks (50, 101, 152), not {depth}"
        )
    rng, shortcut_rng = generators(seed)
    return ResNet(
        depth,
        shortcut=shortcut,
        version=version,
        groups=groups,
        width_per_group=width_per_group,
        channels=channels,
        classes=classes,
        recompute=recompute,
        rng=rng,
        shortcut_rng=shortcut_rng,
        dtype=dtype,
    )


def resnet18(**options: Any) -> ResNet:
    """18 layers; the options are those of `resnet`."""
    return resnet(18, **options)


def resnet34(**options: Any) -> ResNet:
    """34 layers; the options are those of `resnet`."""
    return resnet(34, **options)


def resnet50(**options: Any) -> ResNet:
    """50 layers, in bottlenecks; the options are those of `resnet`."""
    return resnet(50, **options)


def resnet101(**options: Any) -> ResNet:
    """101 layers, in bottlenecks; the options are those of `resnet`."""
    return resnet(101, **options)


def resnet152(**options: Any) -> ResNet:
    """152 layers, in bottlenecks; the options are those of `resnet`."""
    return resnet(152, **options)


def wide_resnet50_2(**options: Any) -> ResNet:
    """ResNet-50, its 3x3 convolutions twice as wide; by default with torchvision's strides.

    Zagoruyko & Komodakis 2016. The options are those of `resnet`.
    """
    return resnet(50, **(dict[str, Any](version="v1.5", width_per_group=128) | options))


def wide_resnet101_2(**options: Any) -> ResNet:
    """ResNet-101 in the same way; the options are those of `resnet`."""
    return resnet(101, **(dict[str, Any](version="v1.5", width_per_group=128) | options))


def resnext50_32x4d(**options: Any) -> ResNet:
    """ResNeXt-50: 32 groups of 4 channels and more; by default with torchvision's strides.

    Xie et al. 2017, table 1. The options are those of `resnet`.
    """
    return resnet(50, **(dict[str, Any](version="v1.5", groups=32, width_per_group=4) | options))


def resnext101_32x8d(**options: Any) -> ResNet:
    """ResNeXt-101 with 32 groups of 8; the options are those of `resnet`."""
    return resnet(101, **(dict[str, Any](version="v1.5", groups=32, width_per_group=8) | options))


def plain18(**options: Any) -> ResNet:
    """ResNet-18 without shortcuts; the other options are those of `resnet`."""
    return resnet(18, shortcut=None, **options)


def plain34(**options: Any) -> ResNet:
    """ResNet-34 without shortcuts; the other options are those of `resnet`."""
    return resnet(34, shortcut=None, **options)
