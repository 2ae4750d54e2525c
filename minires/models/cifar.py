"""The CIFAR-10 networks of He et al. 2015, sec. 4.2, with their plain twins.

| output map | 32 x 32 | 16 x 16 | 8 x 8 |
|---|---|---|---|
| layers | 1 + 2n | 2n | 2n |
| filters | 16 | 32 | 64 |

and global average pooling and a fully connected layer at the end: 6n + 2 layers with weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor
from ..nn import BasicBlock, BatchNorm2d, Conv2d, GlobalAvgPool, Linear, Module, ReLU, make_stage
from ..nn.blocks import SHORTCUTS, Shortcut, convolve
from ..nn.init import Rng, generators
from ..nn.layers import DType

STAGES = ((16, 1), (32, 2), (64, 2))  # filters, and the stride of the stage's first block


class CifarResNet(Module):
    """3x3 convolution, three stages of n blocks, global average pooling, linear classifier."""

    def __init__(
        self,
        depth: int,
        *,
        shortcut: Shortcut,
        classes: int,
        recompute: bool,
        rng: Rng,
        shortcut_rng: Rng,
        dtype: DType,
    ) -> None:
        super().__init__()
        self.depth, self.shortcut = depth, shortcut
        self.conv1 = Conv2d(3, 16, 3, padding=1, rng=rng, dtype=dtype)
        self.bn1 = BatchNorm2d(16, dtype=dtype)
        self.relu = ReLU()
        in_channels, count = 16, (depth - 2) // 6
        options: dict[str, Any] = {"rng": rng, "shortcut_rng": shortcut_rng, "dtype": dtype}
        options |= {"shortcut": shortcut, "recompute": recompute}
        for number, (channels, stride) in enumerate(STAGES, 1):
            stage = make_stage(BasicBlock, in_channels, channels, count, stride=stride, **options)
            setattr(self, f"layer{number}", stage)
            in_channels = channels
        self.pool = GlobalAvgPool()
        self.fc = Linear(64, classes, rng=rng, dtype=dtype)

    @property
    def name(self) -> str:
        """The network's name in tables and pictures, such as ResNet-20 or plain-56."""
        option = "" if self.shortcut in ("A", None) else f" ({self.shortcut})"
        return f"{'plain' if self.shortcut is None else 'ResNet'}-{self.depth}{option}"

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 32, 32, 3), normalised -> logits (N, classes)."""
        x = convolve(self.conv1, self.bn1, self.relu, x)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.pool(x))


def cifar_resnet(
    depth: int,
    *,
    shortcut: Shortcut = "A",
    seed: int | None = 0,
    classes: int = 10,
    recompute: bool = False,
    dtype: DType = np.float32,
) -> CifarResNet:
    """The network with `depth` = 6n + 2 layers (the paper: 20, 32, 44, 56, 110, 1202).

    `shortcut` "A" is the paper's CIFAR network; None its plain twin, which for the same seed has
    the same parameters with the same initial values. So have "B" and "C" but for their projections.
    With `recompute` the blocks run again in the backward pass, for less memory: see BasicBlock.

    Raises: ValueError for a depth that is not 6n + 2, or an unknown shortcut.
    """
    if not isinstance(depth, int | np.integer) or depth < 8 or (depth - 2) % 6:
        near = max(8, round((depth - 2) / 6) * 6 + 2)
        raise ValueError(
            f"cifar_resnet: depth must be 6n + 2 (20, 32, 44, 56, 110, ...), but is {depth}: "
            f"the nearest is {near}"
        )
    if shortcut not in SHORTCUTS:
        raise ValueError(f"shortcut must be 'A', 'B', 'C' or None (plain), but is {shortcut!r}")
    rng, shortcut_rng = generators(seed)
    return CifarResNet(
        depth,
        shortcut=shortcut,
        classes=classes,
        recompute=recompute,
        rng=rng,
        shortcut_rng=shortcut_rng,
        dtype=dtype,
    )
