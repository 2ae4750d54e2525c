"""The CIFAR-10 networks of He et al. 2015, sec. 4.2, with their plain twins, and of He et al. 2016.

| output map | 32 x 32 | 16 x 16 | 8 x 8 |
|---|---|---|---|
| layers | 1 + 2n | 2n | 2n |
| filters | 16 | 32 | 64 |

and global average pooling and a fully connected layer at the end: 6n + 2 layers with weights. With
bottlenecks a stage has 3n layers and four times as many channels at its end: 9n + 2 layers.
"""

from __future__ import annotations

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
    Module,
    PreActBasicBlock,
    PreActBottleneck,
    ReLU,
    SubsampleAndPad,
    SubsampleAndPadBothSides,
    make_stage,
)
from ..nn.blocks import SHORTCUTS, Shortcut
from ..nn.init import Rng, Seed, generators
from ..nn.layers import DType
from ..nn.sequential import in_turn

Block = Literal["basic", "bottleneck"]
Version = Literal["v1", "v2"]
Padding = Literal["end", "both"]

STAGES = ((16, 1), (32, 2), (64, 2))  # filters, and the stride of the stage's first block
BLOCKS: dict[tuple[str, str], type[Module]] = {
    ("basic", "v1"): BasicBlock,
    ("basic", "v2"): PreActBasicBlock,
    ("bottleneck", "v1"): Bottleneck,
    ("bottleneck", "v2"): PreActBottleneck,
}
LAYERS = {"basic": 2, "bottleneck": 3}  # convolutions of a block
EXPANSION = {"basic": 1, "bottleneck": 4}  # output channels per filter


class CifarResNet(Module):
    """3x3 convolution, three stages of n blocks, global average pooling, linear classifier."""

    def __init__(
        self,
        depth: int,
        *,
        shortcut: Shortcut,
        block: Block,
        version: Version,
        channels: int,
        classes: int,
        recompute: bool,
        rng: Rng,
        shortcut_rng: Rng,
        dtype: DType,
    ) -> None:
        super().__init__()
        self.depth, self.shortcut, self.block, self.version = depth, shortcut, block, version
        self.channels = channels
        self.padding: Padding = "end"
        self.conv1 = Conv2d(channels, 16, 3, padding=1, rng=rng, dtype=dtype)
        if version == "v1":
            self.bn1 = BatchNorm2d(16, dtype=dtype)
        self.relu = ReLU()
        kind, in_channels, count = BLOCKS[block, version], 16, (depth - 2) // (3 * LAYERS[block])
        options: dict[str, Any] = {"rng": rng, "shortcut_rng": shortcut_rng, "dtype": dtype}
        options |= {"shortcut": shortcut, "recompute": recompute}
        for number, (filters, stride) in enumerate(STAGES, 1):
            wide = filters * EXPANSION[block]
            stage = make_stage(kind, in_channels, wide, count, stride=stride, **options)
            setattr(self, f"layer{number}", stage)
            in_channels = wide
        if version == "v2":
            self.bn = BatchNorm2d(in_channels, dtype=dtype)
        self.pool = GlobalAvgPool()
        self.fc = Linear(in_channels, classes, rng=rng, dtype=dtype)

    @property
    def name(self) -> str:
        """The network's name in tables and pictures, such as ResNet-20 or plain-56."""
        kind = "plain" if self.shortcut is None else "ResNet"
        version = "" if self.version == "v1" else f" {self.version}"
        bottleneck = " bottleneck" if self.block == "bottleneck" else ""
        option = "" if self.shortcut in ("A", None) else f" ({self.shortcut})"
        option += " padded on both sides" if self.padding == "both" else ""
        return f"{kind}-{self.depth}{version}{bottleneck}{option}"

    def features(self, x: Tensor) -> Tensor:
        """Images (N, H, W, 3), normalised -> maps (N, H / 4, W / 4, C), sizes rounded up."""
        if self.version == "v2":
            x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
            return self.relu(self.bn(x))
        x = in_turn(x, self.conv1, self.bn1, self.relu)
        return self.layer3(self.layer2(self.layer1(x)))

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 32, 32, 3), normalised -> logits (N, classes)."""
        return self.fc(self.pool(self.features(x)))


@expects(depth=float, channels=COUNT, classes=COUNT)
def cifar_resnet(
    depth: int,
    *,
    shortcut: Shortcut = "A",
    block: Block = "basic",
    version: Version = "v1",
    seed: Seed = 0,
    channels: int = 3,
    classes: int = 10,
    padding: Padding = "end",
    recompute: bool = False,
    dtype: DType = np.float32,
) -> CifarResNet:
    """The network with `depth` = 6n + 2 layers (the paper: 20, 32, 44, 56, 110, 1202).

    `shortcut` "A" is the paper's CIFAR network; None its plain twin, which for the same seed has
    the same parameters with the same initial values. "B" and "C" have these, too, and projections.
    `block` "bottleneck" makes 9n + 2 layers. `version` "v2" puts batch norm and ReLU before the
    convolutions: He et al. 2016 have 110 layers of basic blocks, and 164 and 1001 of bottlenecks
    with shortcuts "B". Images have `channels`, 3 of them in colour. The weights are zeros where
    `seed` is "zeros", for those who will load some. `padding` says where shortcut A puts the new
    channels: behind the others, or half of them in front ("both"), as widely used code has it.
    Weights trained with one load into the other, but give wrong results there. With `recompute` the
    blocks run again in the backward pass, for less memory: see BasicBlock.

    Raises: ValueError for a depth that does not fit, an unknown shortcut, block, version, padding.
    """
    if (block, version) not in BLOCKS:
        raise ValueError(
            f"block must be 'basic' or 'bottleneck' and version 'v1' or 'v2', but they are "
            f"{block!r} and {version!r}"
        )
    check_depth(depth, 3 * LAYERS[block])
    if not isinstance(shortcut, str | None) or shortcut not in SHORTCUTS:
        raise ValueError(f"shortcut must be 'A', 'B', 'C' or None (plain), but is {shortcut!r}")
    if padding not in ("end", "both") or (padding == "both" and shortcut != "A"):
        raise ValueError(
            f"padding must be 'end', or 'both' with shortcut 'A', but is {padding!r} with shortcut "
            f"{shortcut!r}"
        )
    rng, shortcut_rng = generators(seed)
    model = CifarResNet(
        depth,
        shortcut=shortcut,
        block=block,
        version=version,
        channels=channels,
        classes=classes,
        recompute=recompute,
        rng=rng,
        shortcut_rng=shortcut_rng,
        dtype=dtype,
    )
    if padding == "both":
        pad_on_both_sides(model)
    return model


def pad_on_both_sides(model: CifarResNet) -> None:
    """Exchange the shortcuts that pad at the end."""
    model.padding = "both"
    for block in list(model.modules()):
        for name, child in list(block.named_children()):
            if isinstance(child, SubsampleAndPad):
                setattr(block, name, SubsampleAndPadBothSides(child.channels, stride=child.stride))


def check_depth(depth: int, step: int) -> None:
    """Refuse a depth that is not step * n + 2."""
    if not isinstance(depth, int | np.integer) or depth < step + 2 or (depth - 2) % step:
        near = max(step + 2, round((depth - 2) / step) * step + 2)
        known = {6: "20, 32, 44, 56, 110", 9: "29, 47, 56, 110, 164, 1001"}[step]
        blocks = "" if step == 6 else " with bottlenecks"
        raise ValueError(
            f"cifar_resnet: depth must be {step}n + 2 ({known}, ...){blocks}, but is {depth}: "
            f"the nearest is {near}"
        )
