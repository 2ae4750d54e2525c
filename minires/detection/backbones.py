"""Detectors made of the paper's networks, cut in two: a shared trunk, and a head for each region.

| | trunk, stride 16 | regions | head |
|---|---|---|---|
| ResNet | conv1 to conv4_x (`layer3`) | 14 x 14 | conv5_x (`layer4`), the mean of its 7 x 7 map |
| VGG-16 | 13 convolutions, without the last pooling | 7 x 7 | fc6, fc7 |

He et al. 2015, app. A, and Ren et al. 2015, sec. 3.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..common.expecting import SOME, Each, expects
from ..models import VGG, ResNet, names, resnet, vgg
from ..nn import Flatten, Module, Sequential
from ..nn.init import Seed, generators
from ..nn.layers import DType
from ..nn.sequential import in_turn
from .network import FasterRCNN
from .pooling import RegionPooling
from .settings import Settings

RESNETS = {"resnet18": 18, "resnet34": 34, "resnet50": 50, "resnet101": 101, "resnet152": 152}
NAMES = (*RESNETS, "vgg16")
WIDTH = 512  # of the proposal network
REGION = {"resnet": 14, "vgg": 7}


class ResNetTrunk(Module):
    """conv1 to conv4_x of a classification network, its own layers."""

    def __init__(self, network: ResNet) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = network.conv1, network.bn1, network.relu
        self.maxpool = network.maxpool
        self.layer1, self.layer2, self.layer3 = network.layer1, network.layer2, network.layer3

    def forward(self, x: Tensor) -> list[Tensor]:
        """Images (N, H, W, 3) -> one map, of H / 16 x W / 16 rounded up."""
        x = in_turn(x, self.conv1, self.bn1, self.relu, self.maxpool)
        return [self.layer3(self.layer2(self.layer1(x)))]


class ResNetHead(Module):
    """conv5_x and the mean over its map, in the place of VGG's fully connected layers."""

    def __init__(self, network: ResNet) -> None:
        super().__init__()
        self.layer4, self.avgpool = network.layer4, network.avgpool

    def forward(self, x: Tensor) -> Tensor:
        """(R, 14, 14, C) -> (R, features)."""
        return self.avgpool(self.layer4(x))


class VGGTrunk(Module):
    """The convolutions of VGG-16, without the pooling after the last one."""

    def __init__(self, network: VGG) -> None:
        super().__init__()
        self.features = Sequential(*list(network.features)[:-1])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Images (N, H, W, 3) -> one map, of H / 16 x W / 16 rounded down."""
        return [self.features(x)]


@expects(
    backbone=str,
    classes=Each(str, SOME),
    network=Module,
    settings=Settings,
    pooling=str,
    softmax=bool,
    context=bool,
    frozen=bool,
    version=str,
)
def faster_rcnn(
    backbone: str,
    classes: Sequence[str],
    *,
    network: Module | None = None,
    settings: Settings | None = None,
    pooling: str = "align",
    softmax: bool = True,
    context: bool = False,
    frozen: bool = True,
    version: Any = "v1",
    seed: Seed = 0,
    dtype: DType = np.float32,
) -> FasterRCNN:
    """Faster R-CNN in the form of the paper ("C4"), with these classes.

    `backbone` is "resnet18", "resnet34", "resnet50", "resnet101", "resnet152" or "vgg16". `network`
    is a classification network to start from, of `load_torchvision` or trained here, whose layers
    become the detector's; without one all weights are random. `pooling` of regions is "align" or
    the paper's "max". With `context` each region also sees the features of the whole image
    (app. B). With `frozen`, as in the paper, batch norm keeps its statistics, scale and
    shift, and conv1 and conv2_x, or VGG's first four convolutions, are not trained: right for a
    pretrained network alone. `version` is where bottlenecks stride, see `resnet`.

    Raises: ValueError for another backbone, or a network of another kind.
    """
    if backbone not in NAMES:
        raise ValueError(f"backbone must be one of {', '.join(NAMES)}, but is {backbone!r}")
    if frozen and network is None and str(seed) != "zeros":
        advice = "give `network`, a pretrained one, or frozen=False"
        warnings.warn(f"faster_rcnn: random weights are frozen: {advice}", stacklevel=2)
    options: dict[str, Any] = {
        "settings": settings or Settings(),
        "softmax": softmax,
        "context": context,
    }
    options |= {"frozen": frozen, "classes": classes, "dtype": dtype}
    made_as = {"backbone": backbone, "pooling": pooling, "softmax": softmax, "frozen": frozen}
    made_as |= {"context": True} if context else {}
    made_as |= {"network": names.made_as(network)} if network is not None else {}
    options["made_as"] = made_as | {"version": getattr(network, "version", version)}
    depth = RESNETS.get(backbone)
    if depth is None:
        own = network or vgg(16, classes=1, seed=seed, dtype=dtype)
        return of_vgg(must_be(own, VGG, backbone), options, pooling, seed)
    own = network or resnet(depth, version=version, classes=1, seed=seed, dtype=dtype)
    return of_resnet(must_be(own, ResNet, backbone), options, pooling, seed)


def must_be(network: Any, kind: type[Module], backbone: str) -> Any:
    """The network itself. Raises: ValueError where it is another than the backbone's."""
    depth = int(backbone.lstrip("resntvg"))
    if not isinstance(network, kind) or getattr(network, "depth", None) != depth:
        name = getattr(network, "name", type(network).__name__)
        raise ValueError(f"a detector with {backbone} can't start from {name}: give a {backbone}")
    if (channels := network.channels) != 3:
        raise ValueError(f"detectors see 3 channels (RGB), but {network.name} has {channels}")
    return network


def of_resnet(network: ResNet, options: Any, pooling: str, seed: Seed) -> FasterRCNN:
    """conv5_x and its mean for each region."""
    trunk, head = ResNetTrunk(network), ResNetHead(network)
    features = len(network.fc.weight)
    fixed = [trunk.conv1, trunk.bn1, trunk.layer1] if options["frozen"] else []
    return FasterRCNN(
        f"{network.name}-C4",
        trunk,
        RegionPooling(REGION["resnet"], 1 / 16, pooling),
        head,
        channels=features // 2,
        width=WIDTH,
        features=features,
        fixed=fixed,
        rng=generators(seed)[1],
        **options,
    )


def of_vgg(network: VGG, options: Any, pooling: str, seed: Seed) -> FasterRCNN:
    """fc6 and fc7 for each region, with ReLU and dropout."""
    trunk = VGGTrunk(network)
    head = Sequential(Flatten(), *list(network.classifier)[:-1])
    convolutions = [layer for layer in trunk.features if list(layer.named_parameters())]
    return FasterRCNN(
        network.name,
        trunk,
        RegionPooling(REGION["vgg"], 1 / 16, pooling),
        head,
        channels=512,
        width=WIDTH,
        features=len(list(network.classifier)[-1].weight),
        fixed=convolutions[: 8 if network.batch_norm else 4] if options["frozen"] else [],
        rng=generators(seed)[1],
        **options,
    )
