"""The detector of torchvision's published weights: ResNet-50 with a feature pyramid.

Lin et al. 2017: the four stages' maps are brought to 256 channels, and each gets the coarser one,
enlarged, added; a fifth map is every second pixel of the fourth. Regions of 7 x 7 pass through two
fully connected layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..common.expecting import SOME, Each, expects
from ..models import ResNet, resnet
from ..nn import BatchNorm2d, Conv2d, Flatten, Linear, Module, ModuleList, ReLU, Sequential
from ..nn.init import Rng, Seed, generators
from ..nn.layers import DType
from ..nn.sequential import in_turn
from .network import FasterRCNN
from .pooling import PyramidPooling
from .settings import Settings

CHANNELS, HIDDEN = 256, 1024
STAGES = (256, 512, 1024, 2048)  # channels of a ResNet-50's maps
SETTINGS = Settings(
    shorter=800,
    longer=1333,
    multiple=32,
    sizes=((32,), (64,), (128,), (256,), (512,)),
    border=True,
    before_nms=(2000, 1000),
    after_nms=(2000, 1000),
    region_sample=512,
    beta=1 / 9,
    nms=0.5,
)


class Pyramid(Module):
    """Maps of equal channels from maps of different ones, each with what the coarser ones know."""

    def __init__(self, channels: Sequence[int], *, rng: Rng, dtype: DType = np.float32) -> None:
        super().__init__()
        options: dict[str, Any] = {"bias": True, "rng": rng, "dtype": dtype}
        inner = (Conv2d(count, CHANNELS, 1, **options) for count in channels)
        self.inner_blocks = ModuleList(inner)
        outer = (Conv2d(CHANNELS, CHANNELS, 3, padding=1, **options) for _ in channels)
        self.layer_blocks = ModuleList(outer)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps, finest first -> as many, and one of half the size."""
        results: list[Tensor] = []
        coarser: Tensor | None = None
        for x, inner, outer in reversed(
            list(zip(maps, self.inner_blocks, self.layer_blocks, strict=True))
        ):
            own = inner(x)
            coarser = own if coarser is None else own + enlarged(coarser, own.shape[1:3])
            results.insert(0, outer(coarser))
        return [*results, results[-1][:, ::2, ::2]]


def enlarged(x: Tensor, size: Sequence[int]) -> Tensor:
    """Maps (N, H, W, C) at another size: each pixel is that of its place, rounded down."""
    rows, columns = (
        np.arange(new) * old // new for new, old in zip(size, x.shape[1:3], strict=True)
    )
    return x[:, rows[:, None], columns]


class PyramidTrunk(Module):
    """All four stages of a ResNet, and the pyramid on them."""

    def __init__(self, network: ResNet, *, rng: Rng, dtype: DType = np.float32) -> None:
        super().__init__()
        self.body = Module()
        for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
            setattr(self.body, name, getattr(network, name))
        self.fpn = Pyramid(STAGES, rng=rng, dtype=dtype)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Images (N, H, W, 3) -> five maps of 256 channels, strides 4 to 64."""
        body, maps = self.body, []
        x = in_turn(x, body.conv1, body.bn1, body.relu, body.maxpool)
        for stage in (body.layer1, body.layer2, body.layer3, body.layer4):
            x = stage(x)
            maps.append(x)
        return self.fpn(maps)


class PyramidHead(Sequential):
    """Two fully connected layers, each with ReLU: torchvision's `box_head`."""

    def __init__(self, *, rng: Rng, dtype: DType = np.float32) -> None:
        super().__init__()
        self.flatten = Flatten()
        options: dict[str, Any] = {"rng": rng, "dtype": dtype}
        self.fc6 = Linear(49 * CHANNELS, HIDDEN, of_map=(7, 7, CHANNELS), **options)
        self.relu6 = ReLU()
        self.fc7 = Linear(HIDDEN, HIDDEN, **options)
        self.relu7 = ReLU()


@expects(classes=Each(str, SOME), settings=Settings, eps=float)
def faster_rcnn_fpn(
    classes: Sequence[str],
    *,
    settings: Settings = SETTINGS,
    eps: float = 1e-5,
    seed: Seed = 0,
    dtype: DType = np.float32,
) -> FasterRCNN:
    """torchvision's `fasterrcnn_resnet50_fpn`: ResNet-50 with a feature pyramid, frozen batch norm.

    `eps` is that of batch norm: torchvision's published weights were trained with 0.
    """
    network = resnet(50, version="v1.5", classes=1, seed=seed, dtype=dtype)
    for module in network.modules():
        if isinstance(module, BatchNorm2d):
            module.eps = eps
    rng = generators(seed)[1]
    trunk = PyramidTrunk(network, rng=rng, dtype=dtype)
    return FasterRCNN(
        "ResNet-50-FPN",
        trunk,
        PyramidPooling(7, (1 / 4, 1 / 8, 1 / 16, 1 / 32)),
        PyramidHead(rng=rng, dtype=dtype),
        channels=CHANNELS,
        width=CHANNELS,
        features=HIDDEN,
        classes=classes,
        settings=settings,
        softmax=False,
        fixed=[trunk.body.conv1, trunk.body.layer1],
        rng=rng,
        dtype=dtype,
    )
