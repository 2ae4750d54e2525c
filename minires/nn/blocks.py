"""The residual blocks, their shortcuts, and their plain twins. He et al. 2015, sec. 3 and 4.1."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np

from ..autograd import Tensor
from ..autograd.recompute import recompute
from . import functional as F
from .init import Rng
from .layers import BatchNorm2d, Conv2d, DType, ReLU, Sequential
from .module import Module

Shortcut = Literal["A", "B", "C"] | None
SHORTCUTS: tuple[Shortcut, ...] = ("A", "B", "C", None)
StrideIn = Literal["1x1", "3x3"]


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

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C_in) -> (N, ceil(H / stride), ceil(W / stride), C)."""
        conv, bn = self
        return convolve(conv, bn, None, x)


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


class BasicBlock(Module):
    """Two 3x3 convolutions, and a shortcut past them: y = relu(F(x) + shortcut(x)), eq. 1 and 2.

    With `shortcut=None` the very same layers without the addition: relu(F(x)). Weights of the
    shortcut are drawn from a generator of their own, so that blocks with the same `rng` have the
    same F whatever their shortcut. With `recompute` the block keeps nothing between its input and
    its result for the backward pass, and runs again there: the same results, for less memory and
    more time.
    """

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

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C_in) -> (N, ceil(H / stride), ceil(W / stride), C)."""
        compute = self.fused if self.is_one_operation else self.step_by_step
        return recompute(compute, x) if self.recompute else compute(x)

    def step_by_step(self, x: Tensor) -> Tensor:
        """One layer after the other."""
        y = convolve(self.conv1, self.bn1, self.relu, x)
        shortcut = None if self.downsample is None else self.downsample(x)
        return convolve(self.conv2, self.bn2, self.relu, y, shortcut)

    @property
    def is_one_operation(self) -> bool:
        """Whether the block is training, has shortcut A or none, and its parts may run as one."""
        conv1, bn1, conv2, bn2 = self.conv1, self.bn1, self.conv2, self.bn2
        if not may_run_as_one(conv1, bn1, conv2, bn2, self.relu):
            return False
        shapes = is_3x3(conv1) and is_3x3(conv2) and conv2.stride == 1
        norms_alike = bn1.eps == bn2.eps and bn1.training and bn2.training
        return shapes and norms_alike and (self.downsample is None or self.has_shortcut_a)

    @property
    def has_shortcut_a(self) -> bool:
        """Whether the shortcut is option A's for these convolutions, and nobody watches it."""
        shortcut, stride, shape = self.downsample, self.conv1.stride, self.conv1.weight.shape
        if stride == 1 and shape[2] == shape[3]:
            return is_identity(shortcut)
        if type(shortcut) is not SubsampleAndPad or shortcut.is_watched:
            return False
        return (shortcut.stride, shortcut.channels) == (stride, shape[3])

    def fused(self, x: Tensor) -> Tensor:
        """The block as one operation: the map between the convolutions is never in memory."""
        conv1, bn1, bn2 = self.conv1, self.bn1, self.bn2
        first = conv1.weight, bn1.weight, bn1.bias
        second = self.conv2.weight, bn2.weight, bn2.bias
        settings: dict[str, Any] = {"stride": conv1.stride, "skip": self.downsample is not None}
        settings["running"] = bn1.running, bn2.running
        y, *_ = F.basic_block(x, *first, *second, eps=bn1.eps, **settings)
        return y


class Bottleneck(Module):
    """1x1 convolution to a quarter of the channels, 3x3, 1x1 back; and a shortcut: fig. 5, right.

    `stride_in` says which convolution strides where the map shrinks: the first, "1x1", as in the
    paper, or the "3x3", as in torchvision ("ResNet v1.5"), which costs more and reads all pixels.
    Everything else is as in BasicBlock.
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
        stride_in: StrideIn = "1x1",
        recompute: bool = False,
        dtype: DType = np.float32,
    ) -> None:
        super().__init__()
        self.recompute = recompute
        width = channels // 4
        options: dict[str, Any] = {"rng": rng, "dtype": dtype}
        strides = (stride, 1) if stride_in == "1x1" else (1, stride)
        self.conv1 = Conv2d(in_channels, width, 1, stride=strides[0], **options)
        self.bn1 = BatchNorm2d(width, dtype=dtype)
        self.conv2 = Conv2d(width, width, 3, stride=strides[1], padding=1, **options)
        self.bn2 = BatchNorm2d(width, dtype=dtype)
        self.conv3 = Conv2d(width, channels, 1, **options)
        self.bn3 = BatchNorm2d(channels, dtype=dtype)
        self.relu = ReLU()
        self.downsample = make_shortcut(
            shortcut, in_channels, channels, stride=stride, rng=shortcut_rng, dtype=dtype
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C_in) -> (N, ceil(H / stride), ceil(W / stride), C)."""
        return recompute(self.compute, x) if self.recompute else self.compute(x)

    def compute(self, x: Tensor) -> Tensor:
        """Each convolution with what follows it as one operation."""
        y = convolve(self.conv1, self.bn1, self.relu, x)
        y = convolve(self.conv2, self.bn2, self.relu, y)
        shortcut = None if self.downsample is None else self.downsample(x)
        return convolve(self.conv3, self.bn3, self.relu, y, shortcut)


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


NORMS = (BatchNorm2d, Identity)  # the latter where it has been folded into the convolution


class Convolutions(Sequential):
    """Layers one after the other; a convolution is one operation with what follows it.

    That is batch norm and ReLU, or ReLU alone.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Each layer's output is the next one's input."""
        layers = list(self)
        while layers:
            layer, *layers = layers
            norm = layers.pop(0) if layers and isinstance(layers[0], NORMS) else None
            relu = layers.pop(0) if layers and isinstance(layers[0], ReLU) else None
            x = convolve(layer, norm, relu, x)
        return x


def convolve(
    conv: Module,
    norm: Module | None,
    relu: Module | None,
    x: Tensor,
    residual: Tensor | None = None,
) -> Tensor:
    """relu(norm(conv(x)) + residual): as one operation, or step by step, see `may_run_as_one`."""
    parts = [part for part in (conv, norm, relu) if part is not None and not is_identity(part)]
    if may_run_as_one(*parts):
        after: Any = norm.after if isinstance(norm, BatchNorm2d) else Conv2d.then
        return after(conv, x, residual=residual, relu=relu is not None)
    y = conv(x) if norm is None else norm(conv(x))
    y = y if residual is None else y + residual
    return y if relu is None else relu(y)


def may_run_as_one(*parts: Module) -> bool:
    """Whether nobody watches these layers, and each is just what its name says.

    Behind a convolution with a bias, batch norm does not.
    """
    own = all(type(part) in (Conv2d, BatchNorm2d, ReLU) and not part.is_watched for part in parts)
    biased = any(isinstance(part, Conv2d) and part.bias is not None for part in parts)
    return own and not (biased and any(isinstance(part, BatchNorm2d) for part in parts))


def is_3x3(conv: Conv2d) -> bool:
    """Whether a convolution is 3 x 3 and keeps the size, but for its stride."""
    return conv.weight.shape[:2] == (3, 3) and conv.padding == 1


def is_identity(module: Module | None) -> bool:
    """Whether it is an Identity that nobody watches."""
    return type(module) is Identity and not module.is_watched
