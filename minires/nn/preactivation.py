"""Residual blocks of the second version: batch norm and ReLU come before the convolutions.

Nothing follows the addition then, so the shortcuts of a network are one clean path:
x_L = x_l + the branches between. He et al. 2016, "Identity mappings in deep residual networks",
fig. 1b and sec. 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor
from .blocks import Shortcut, make_shortcut, recomputed
from .init import Rng
from .layers import BatchNorm2d, Conv2d, DType, Identity, ReLU
from .module import Module
from .sequential import in_turn


class PreActivation(Module):
    """What both blocks share: the first batch norm and ReLU, and the shortcut.

    An identity shortcut starts at the block's input. One that changes the shape starts behind the
    first ReLU, and its 1x1 convolution has no batch norm.
    """

    bn1: BatchNorm2d
    relu: ReLU
    downsample: Module | None
    recompute: bool

    @recomputed
    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C_in) -> (N, ceil(H / stride), ceil(W / stride), C)."""
        y = self.relu(self.bn1(x))
        if self.downsample is None:
            return self.branch(y)
        is_identity = type(self.downsample) is Identity
        return self.branch(y) + self.downsample(x if is_identity else y)

    def branch(self, x: Tensor) -> Tensor:
        """From behind the first ReLU to the addition."""
        raise NotImplementedError


class PreActBasicBlock(PreActivation):
    """norm, ReLU, 3x3, norm, ReLU, 3x3; the options are those of BasicBlock."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        rng: Rng,
        shortcut_rng: Rng,
        shortcut: Shortcut = "A",
        stride: int = 1,
        recompute: bool = False,
        dtype: DType = np.float32,
    ) -> None:
        super().__init__()
        self.recompute = recompute
        options: dict[str, Any] = {"padding": 1, "rng": rng, "dtype": dtype}
        self.bn1 = BatchNorm2d(in_channels, dtype=dtype)
        self.conv1 = Conv2d(in_channels, channels, 3, stride=stride, **options)
        self.bn2 = BatchNorm2d(channels, dtype=dtype)
        self.conv2 = Conv2d(channels, channels, 3, **options)
        self.relu = ReLU()
        options = {"stride": stride, "rng": shortcut_rng, "dtype": dtype, "norm": False}
        self.downsample = make_shortcut(shortcut, in_channels, channels, **options)

    def branch(self, x: Tensor) -> Tensor:
        """3x3, norm, ReLU, 3x3."""
        return in_turn(x, self.conv1, self.bn2, self.relu, self.conv2)


class PreActBottleneck(PreActivation):
    """norm, ReLU, 1x1 to a quarter of the channels; norm, ReLU, 3x3; norm, ReLU, 1x1 back.

    The first 1x1 convolution strides, as in the authors' code. The options are those of BasicBlock.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        rng: Rng,
        shortcut_rng: Rng,
        shortcut: Shortcut = "B",
        stride: int = 1,
        recompute: bool = False,
        dtype: DType = np.float32,
    ) -> None:
        super().__init__()
        self.recompute = recompute
        width = channels // 4
        options: dict[str, Any] = {"rng": rng, "dtype": dtype}
        self.bn1 = BatchNorm2d(in_channels, dtype=dtype)
        self.conv1 = Conv2d(in_channels, width, 1, stride=stride, **options)
        self.bn2 = BatchNorm2d(width, dtype=dtype)
        self.conv2 = Conv2d(width, width, 3, padding=1, **options)
        self.bn3 = BatchNorm2d(width, dtype=dtype)
        self.conv3 = Conv2d(width, channels, 1, **options)
        self.relu = ReLU()
        options = {"stride": stride, "rng": shortcut_rng, "dtype": dtype, "norm": False}
        self.downsample = make_shortcut(shortcut, in_channels, channels, **options)

    def branch(self, x: Tensor) -> Tensor:
        """1x1, norm, ReLU, 3x3, norm, ReLU, 1x1."""
        layers = self.conv1, self.bn2, self.relu, self.conv2, self.bn3, self.relu, self.conv3
        return in_turn(x, *layers)
