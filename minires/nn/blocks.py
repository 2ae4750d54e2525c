"""The residual block, its shortcuts, and its plain twin. He et al. 2015, sec. 3."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..autograd import Tensor
from . import functional as F
from .layers import BatchNorm2d, Conv2d, DType, ReLU, Sequential
from .module import Module

Shortcut = Literal["A", "B", "C"] | None
SHORTCUTS: tuple[Shortcut, ...] = ("A", "B", "C", None)


class Identity(Module):
    """The shortcut that hands on its input as it is."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x


class SubsampleAndPad(Module):
    """Shortcut A where the shape changes: every stride-th pixel, new channels zero."""

    def __init__(self, channels: int, *, stride: int) -> None:
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, ceil(H / stride), ceil(W / stride), channels)."""
        return F.subsample_and_pad(x, channels=self.channels, stride=self.stride)

    def settings(self) -> str:
        """Geometry."""
        return f"{self.channels}, stride={self.stride}"


def make_shortcut(
    kind: Shortcut,
    in_channels: int,
    channels: int,
    *,
    stride: int,
    rng: np.random.Generator,
    dtype: DType = np.float32,
) -> Module | None:
    """The connection past a block, by the paper's three options (sec. 4.1, table 3).

    A: identity; where the shape changes, subsampled and padded with zeros, without parameters.
    B: identity; where the shape changes, a 1x1 convolution with batch norm.
    C: a 1x1 convolution with batch norm everywhere.
    None: no connection at all, the plain twin.
    """
    if kind not in SHORTCUTS:
        raise ValueError(f"shortcut must be 'A', 'B', 'C' or None (plain), but is {kind!r}")
    same_shape = stride == 1 and in_channels == channels
    if kind is None:
        return None
    if kind != "C" and same_shape:
        return Identity()
    if kind == "A":
        return SubsampleAndPad(channels, stride=stride)
    return Sequential(
        Conv2d(in_channels, channels, 1, stride=stride, rng=rng, dtype=dtype),
        BatchNorm2d(channels, dtype=dtype),
    )


class BasicBlock(Module):
    """Two 3x3 convolutions, and a shortcut past them: y = relu(F(x) + shortcut(x)), eq. 1 and 2.

    With `shortcut=None` the very same layers without the addition: relu(F(x)). Weights of the
    shortcut are drawn from a generator of their own, so that blocks with the same `rng` have the
    same F whatever their shortcut.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        rng: np.random.Generator,
        shortcut_rng: np.random.Generator,
        shortcut: Shortcut = "A",
        stride: int = 1,
        dtype: DType = np.float32,
    ) -> None:
        super().__init__()
        self.conv1 = Conv2d(
            in_channels, channels, 3, stride=stride, padding=1, rng=rng, dtype=dtype
        )
        self.bn1 = BatchNorm2d(channels, dtype=dtype)
        self.conv2 = Conv2d(channels, channels, 3, padding=1, rng=rng, dtype=dtype)
        self.bn2 = BatchNorm2d(channels, dtype=dtype)
        self.relu = ReLU()
        self.downsample = make_shortcut(
            shortcut, in_channels, channels, stride=stride, rng=shortcut_rng, dtype=dtype
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C_in) -> (N, ceil(H / stride), ceil(W / stride), C)."""
        y = normalise_and_relu(self.bn1, self.relu, self.conv1(x))
        shortcut = None if self.downsample is None else self.downsample(x)
        return normalise_and_relu(self.bn2, self.relu, self.conv2(y), shortcut)


def normalise_and_relu(
    bn: BatchNorm2d, relu: ReLU, x: Tensor, residual: Tensor | None = None
) -> Tensor:
    """relu(bn(x) + residual): in one pass over memory, or step by step where a hook watches."""
    if not (bn.is_watched or relu.is_watched):
        return bn(x, residual, relu=True)
    y = bn(x)
    return relu(y if residual is None else y + residual)
