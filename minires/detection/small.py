"""Two small detectors for scenes of 128 x 128 pixels: a residual one, and one as VGG has it.

| | trunk, stride 8 | regions | head |
|---|---|---|---|
| small ResNet | 3x3 / 2 of 16; blocks: 2 of 16, 2 of 32, 2 of 64 | 8 x 8 | 2 blocks of 128, mean |
| small VGG | 2 of 16, 2 of 32, 3 of 64, each with pooling, 3 of 64 | 7 x 7 | two layers of 256 |

Both have batch norm behind each convolution, which is trained: they begin with random weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..nn import (
    BasicBlock,
    BatchNorm2d,
    Conv2d,
    Flatten,
    GlobalAvgPool,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
    make_stage,
)
from ..nn.init import Rng, generators
from ..nn.layers import DType
from .network import FasterRCNN
from .pooling import RegionPooling
from .settings import Settings

SETTINGS = Settings(
    shorter=128,
    longer=128,
    sizes=((14, 28, 56),),
    border=True,
    anchor_sample=64,
    before_nms=(1000, 500),
    after_nms=(300, 100),
    region_sample=32,
    beta=1 / 9,
    nms=0.5,
)
GROUPS = ((16, 2, True), (32, 2, True), (64, 3, True), (64, 3, False))  # filters, layers, pooling
HIDDEN, WIDTH = 256, 64


class MapList(Sequential):
    """Layers one after the other, whose result is the only map of a list."""

    def forward(self, x: Tensor) -> Any:
        """Images -> one map."""
        return [super().forward(x)]


def small_resnet(
    classes: Sequence[str],
    *,
    settings: Settings = SETTINGS,
    context: bool = False,
    seed: int = 0,
    dtype: DType = np.float32,
) -> FasterRCNN:
    """Faster R-CNN with a trunk of 13 convolutions and a head of 4, residual."""
    rng, shortcut_rng = generators(seed)
    options: dict[str, Any] = {"rng": rng, "shortcut_rng": shortcut_rng, "shortcut": "B"}
    options |= {"dtype": dtype}
    trunk = MapList(
        Conv2d(3, 16, 3, stride=2, padding=1, rng=rng, dtype=dtype),
        BatchNorm2d(16, dtype=dtype),
        ReLU(),
        make_stage(BasicBlock, 16, 16, 2, stride=1, **options),
        make_stage(BasicBlock, 16, 32, 2, stride=2, **options),
        make_stage(BasicBlock, 32, 64, 2, stride=2, **options),
    )
    head = Sequential(make_stage(BasicBlock, 64, 128, 2, stride=2, **options), GlobalAvgPool())
    return detector("small ResNet", trunk, head, 8, 128, classes, settings, context, rng, dtype)


def small_vgg(
    classes: Sequence[str],
    *,
    settings: Settings = SETTINGS,
    context: bool = False,
    seed: int = 0,
    dtype: DType = np.float32,
) -> FasterRCNN:
    """Faster R-CNN with a trunk of 10 convolutions and a head of two layers, plain."""
    rng, _ = generators(seed)
    trunk = MapList(*vgg_layers(rng, dtype))
    head = Sequential(
        Flatten(),
        Linear(49 * 64, HIDDEN, of_map=(7, 7, 64), rng=rng, dtype=dtype),
        ReLU(),
        Linear(HIDDEN, HIDDEN, rng=rng, dtype=dtype),
        ReLU(),
    )
    return detector("small VGG", trunk, head, 7, HIDDEN, classes, settings, context, rng, dtype)


def vgg_layers(rng: Rng, dtype: DType) -> Iterator[Module]:
    """Groups of 3x3 convolutions, each with batch norm and ReLU."""
    before = 3
    for filters, count, pooled in GROUPS:
        for _ in range(count):
            yield Conv2d(before, filters, 3, padding=1, rng=rng, dtype=dtype)
            yield BatchNorm2d(filters, dtype=dtype)
            yield ReLU()
            before = filters
        if pooled:
            yield MaxPool2d(2)


def detector(
    name: str,
    trunk: Module,
    head: Module,
    region: int,
    features: int,
    classes: Sequence[str],
    settings: Settings,
    context: bool,
    rng: Rng,
    dtype: DType,
) -> FasterRCNN:
    """What both have in common."""
    pool = RegionPooling(region, 1 / 8)
    made_as = {"backbone": name.lower().replace(" ", "-")} | ({"context": True} if context else {})
    return FasterRCNN(
        f"{name} with context" if context else name,
        trunk,
        pool,
        head,
        channels=64,
        width=WIDTH,
        features=features,
        classes=classes,
        settings=settings,
        softmax=False,
        context=context,
        frozen=False,
        made_as=made_as,
        rng=rng,
        dtype=dtype,
    )


SMALL: dict[str, Callable[..., FasterRCNN]] = {"resnet": small_resnet, "vgg": small_vgg}
