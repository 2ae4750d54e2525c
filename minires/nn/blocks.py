"""The residual blocks, their shortcuts, and their plain twins. He et al. 2015, sec. 3 and 4.1."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Literal

import numpy as np

from ..autograd import Tensor
from ..autograd.recompute import recompute
from . import fusing
from .init import Rng
from .layers import BatchNorm2d, Conv2d, DType, Identity, ReLU, SubsampleAndPad
from .module import Module
from .sequential import Sequential

Shortcut = Literal["A", "B", "C"] | None
SHORTCUTS: tuple[Shortcut, ...] = ("A", "B", "C", None)
StrideIn = Literal["1x1", "3x3"]
Forward = Callable[[Any, Tensor], Tensor]


class Projection(Sequential):
    """Shortcuts B and C: a 1x1 convolution with batch norm."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        stride: int,
        rng: Rng,
        dtype: DType,
    ) -> None:
        super().__init__(
            Conv2d(in_channels, channels, 1, stride=stride, rng=rng, dtype=dtype),
            BatchNorm2d(channels, dtype=dtype),
        )


def make_shortcut(
    kind: Shortcut,
    in_channels: int,
    channels: int,
    *,
    stride: int,
    rng: Rng,
    norm: bool = True,
    dtype: DType = np.float32,
) -> Module | None:
    """The connection past a block, by the paper's three options (sec. 4.1, table 3).

    A: identity; where the shape changes, subsampled and padded with zeros, without parameters.
    B: identity; where the shape changes, a 1x1 convolution with batch norm.
    C: a 1x1 convolution with batch norm everywhere.
    None: no connection at all, the plain twin.
    Without `norm`, as before activations (He et al. 2016), B and C have no batch norm.
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
    project = Projection if norm else partial(Conv2d, kernel_size=1)
    return project(in_channels, channels, stride=stride, rng=rng, dtype=dtype)


def recomputed(forward: Forward) -> Forward:
    """A block's `forward` that runs again for the gradient where `block.recompute` is true.

    It runs fused or layer by layer as it did the first time, so the bits are the same even if the
    hooks that watched it have been removed since.
    """

    @wraps(forward)
    def run(block: Any, x: Tensor) -> Tensor:
        if not block.recompute:
            return forward(block, x)
        on = fusing.is_on() and not fusing.is_watched_within(block)

        def both_times(x: Tensor) -> Tensor:
            with fusing.fusing(on):
                return forward(block, x)

        return recompute(both_times, x)

    return run


class BasicBlock(Module):
    """Two 3x3 convolutions, and a shortcut past them: y = relu(F(x) + shortcut(x)), eq. 1 and 2.

    With `shortcut=None` the very same layers without the addition: relu(F(x)). Weights of the
    shortcut are drawn from a generator of their own, so that blocks with the same `rng` have the
    same F whatever their shortcut. With `recompute` the block keeps nothing between its input and
    its result for the backward pass, and runs again there: the same results, for less memory and
    more time.
    """

    convolutions = 2  # of the branch

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

    @recomputed
    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C_in) -> (N, ceil(H / stride), ceil(W / stride), C)."""
        if fusing.is_as_built(self):
            return fusing.residual_block(self, x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.downsample is not None:
            y = y + self.downsample(x)
        return self.relu(y)


class Bottleneck(Module):
    """1x1 convolution to a quarter of the channels, 3x3, 1x1 back; and a shortcut: fig. 5, right.

    `stride_in` says which convolution strides where the map shrinks: the first, "1x1", as in the
    paper, or the "3x3", as in torchvision ("ResNet v1.5"), which costs more and reads all pixels.
    `width` is the channels of the 3x3, if it is not that quarter, and `groups` are those of the
    3x3: wide networks (Zagoruyko & Komodakis 2016) and ResNeXt (Xie et al. 2017). Everything else
    is as in BasicBlock.
    """

    convolutions = 3

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        rng: Rng,
        shortcut_rng: Rng,
        shortcut: Shortcut = "B",
        stride: int = 1,
        stride_in: StrideIn = "1x1",
        width: int | None = None,
        groups: int = 1,
        recompute: bool = False,
        dtype: DType = np.float32,
    ) -> None:
        super().__init__()
        self.recompute = recompute
        width = width or channels // 4
        options: dict[str, Any] = {"rng": rng, "dtype": dtype}
        strides = (stride, 1) if stride_in == "1x1" else (1, stride)
        self.conv1 = Conv2d(in_channels, width, 1, stride=strides[0], **options)
        self.bn1 = BatchNorm2d(width, dtype=dtype)
        options3x3 = {"stride": strides[1], "padding": 1, "groups": groups, **options}
        self.conv2 = Conv2d(width, width, 3, **options3x3)
        self.bn2 = BatchNorm2d(width, dtype=dtype)
        self.conv3 = Conv2d(width, channels, 1, **options)
        self.bn3 = BatchNorm2d(channels, dtype=dtype)
        self.relu = ReLU()
        self.downsample = make_shortcut(
            shortcut, in_channels, channels, stride=stride, rng=shortcut_rng, dtype=dtype
        )

    @recomputed
    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C_in) -> (N, ceil(H / stride), ceil(W / stride), C)."""
        if fusing.is_as_built(self):
            return fusing.residual_block(self, x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        if self.downsample is not None:
            y = y + self.downsample(x)
        return self.relu(y)


def make_stage(
    block: Callable[..., Module],
    in_channels: int,
    channels: int,
    count: int,
    *,
    stride: int,
    **options: Any,
) -> Sequential:
    """`count` blocks for maps of one size; the first strides, and leads to `channels`."""
    first = block(in_channels, channels, stride=stride, **options)
    return Sequential(first, *(block(channels, channels, **options) for _ in range(count - 1)))
