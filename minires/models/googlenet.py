"""GoogLeNet (Szegedy et al. 2014, "Going deeper with convolutions", table 1).

| layers | output map | channels |
|---|---|---|
| conv1, maxpool1 | 112, 56 | 64 |
| conv2, conv3, maxpool2 | 56, 28 | 64, 192 |
| inception3a, 3b, maxpool3 | 28, 14 | 256, 480 |
| inception4a to 4e, maxpool4 | 14, 7 | 512, 512, 512, 528, 832 |
| inception5a, 5b | 7 | 832, 1024 |
| average pool, dropout, fc | 1 | 1000 |

An inception module looks at its input in four ways at once and puts the results side by side. As in
torchvision there is batch norm behind every convolution, where the paper has none, and no local
response normalisation.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..autograd import Tensor, concatenate
from ..common.expecting import COUNT, expects
from ..nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
)
from ..nn.init import Seed, dropout_seed, generators
from ..nn.layers import DType
from ..nn.sequential import in_turn

Version = Literal["paper", "torchvision"]

# input channels, 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; pool projection
INCEPTION = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}
# what torchvision's published weights were trained on, (x - 0.5) / 0.5, from images that were
# normalised by ImageNet's means and deviations
SCALE = np.array([0.229, 0.224, 0.225]) / 0.5
SHIFT = (np.array([0.485, 0.456, 0.406]) - 0.5) / 0.5


class ConvNormReLU(Module):
    """A convolution that keeps the map's size at stride 1, batch norm, ReLU."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_size: int = 1,
        *,
        stride: int = 1,
        **options: Any,
    ) -> None:
        super().__init__()
        geometry: dict[str, Any] = {"stride": stride, "padding": kernel_size // 2}
        self.conv = Conv2d(in_channels, channels, kernel_size, **geometry, **options)
        self.bn = BatchNorm2d(channels, eps=1e-3, dtype=options["dtype"])
        self.relu = ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C_in) -> (N, H / stride, W / stride, C)."""
        return in_turn(x, self.conv, self.bn, self.relu)


class Inception(Module):
    """1x1, 3x3 and 5x5 convolutions and a max pooling of one map, side by side: fig. 2b."""

    def __init__(self, widths: tuple[int, ...], *, largest: int, **options: Any) -> None:
        super().__init__()
        before, one, reduce3, three, reduce5, five, pool = widths
        self.branch1 = ConvNormReLU(before, one, **options)
        self.branch2 = Sequential(
            ConvNormReLU(before, reduce3, **options),
            ConvNormReLU(reduce3, three, 3, **options),
        )
        self.branch3 = Sequential(
            ConvNormReLU(before, reduce5, **options),
            ConvNormReLU(reduce5, five, largest, **options),
        )
        self.branch4 = Sequential(
            MaxPool2d(3, stride=1, padding=1),
            ConvNormReLU(before, pool, **options),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C_in) -> (N, H, W, C)."""
        branches = self.branch1, self.branch2, self.branch3, self.branch4
        return concatenate([branch(x) for branch in branches], axis=-1)


class Auxiliary(Module):
    """A classifier halfway, which helped to train the lower layers (sec. 5)."""

    def __init__(
        self, in_channels: int, classes: int, *, seed: tuple[int, int], **options: Any
    ) -> None:
        super().__init__()
        self.pool = AdaptiveAvgPool2d(4)
        self.conv = ConvNormReLU(in_channels, 128, **options)
        self.flatten = Flatten()
        self.fc1 = Linear(4 * 4 * 128, 1024, of_map=(4, 4, 128), **options)
        self.relu = ReLU()
        self.dropout = Dropout(0.7, seed=seed)
        self.fc2 = Linear(1024, classes, **options)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 14, 14, C) -> logits (N, classes)."""
        x = self.flatten(self.conv(self.pool(x)))
        return self.fc2(self.dropout(self.relu(self.fc1(x))))


class GoogLeNet(Module):
    """The 22 layers of the paper's table 1, and the two auxiliary classifiers if asked for."""

    def __init__(
        self,
        *,
        version: Version,
        aux: bool,
        transform_input: bool,
        channels: int,
        classes: int,
        seed: Seed,
        dtype: DType,
    ) -> None:
        super().__init__()
        self.version, self.aux, self.transform_input = version, aux, transform_input
        self.channels = channels
        options: dict[str, Any] = {"rng": generators(seed)[0], "dtype": dtype}
        mask = dropout_seed(seed)
        self.conv1 = ConvNormReLU(channels, 64, 7, stride=2, **options)
        self.maxpool1 = MaxPool2d(3, stride=2, ceil=True)
        self.conv2 = ConvNormReLU(64, 64, **options)
        self.conv3 = ConvNormReLU(64, 192, 3, **options)
        self.maxpool2 = MaxPool2d(3, stride=2, ceil=True)
        self.maxpool3 = MaxPool2d(3, stride=2, ceil=True)
        self.maxpool4 = MaxPool2d(2, ceil=True)
        largest = 5 if version == "paper" else 3
        for name, widths in INCEPTION.items():
            setattr(self, f"inception{name}", Inception(widths, largest=largest, **options))
        if aux:
            self.aux1 = Auxiliary(512, classes, seed=(mask, 1), **options)
            self.aux2 = Auxiliary(528, classes, seed=(mask, 2), **options)
        self.avgpool = GlobalAvgPool()
        self.dropout = Dropout(0.2 if version == "torchvision" else 0.4, seed=(mask, 0))
        self.fc = Linear(1024, classes, **options)

    @property
    def name(self) -> str:
        """The network's name in tables and pictures."""
        return "GoogLeNet" if self.version == "paper" else "GoogLeNet (torchvision)"

    def forward(self, x: Tensor) -> Any:
        """Images (N, H, W, 3), normalised -> logits (N, classes).

        While it trains with `aux`, three: (logits, those of aux1, those of aux2).
        """
        if self.transform_input:
            scale, shift = (Tensor(a.astype(x.dtype)).to(x.device) for a in (SCALE, SHIFT))
            x = x * scale + shift
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        half = x = self.inception4a(x)
        later = x = self.inception4d(self.inception4c(self.inception4b(x)))
        x = self.maxpool4(self.inception4e(x))
        x = self.inception5b(self.inception5a(x))
        logits = self.fc(self.dropout(self.avgpool(x)))
        if not (self.aux and self.training):
            return logits
        return logits, self.aux1(half), self.aux2(later)


@expects(classes=COUNT)
def googlenet(
    *,
    version: Version = "paper",
    aux: bool = False,
    transform_input: bool = False,
    channels: int = 3,
    classes: int = 1000,
    seed: Seed = 0,
    dtype: DType = np.float32,
) -> GoogLeNet:
    """GoogLeNet, with batch norm.

    `version` "torchvision" has 3x3 convolutions where the paper has 5x5, and less dropout. `aux`
    adds the auxiliary classifiers: in training the result is then (logits, aux1's, aux2's), and the
    paper's loss that of the logits plus 0.3 times that of each. `transform_input` brings images
    that are normalised as for the other networks to what torchvision's published weights expect.
    Images have `channels`, 3 of them in colour. The weights are zeros where `seed` is "zeros", for
    those who will load some.

    Raises: ValueError for another version, and `transform_input` of images that have no colours.
    """
    if transform_input and channels != 3:
        raise ValueError(f"transform_input is for 3 channels, red, green and blue, not {channels}")
    if version not in ("paper", "torchvision"):
        raise ValueError(f"version must be 'paper' or 'torchvision', but is {version!r}")
    return GoogLeNet(
        version=version,
        aux=aux,
        transform_input=transform_input,
        channels=channels,
        classes=classes,
        seed=seed,
        dtype=dtype,
    )
