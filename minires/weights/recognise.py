"""Which network a state dict belongs to: by its names and shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ..models import googlenet, resnet, vgg
from ..models.imagenet import BLOCKS
from ..nn import Module

Shapes = Mapping[str, tuple[int, ...]]


def recognise(shapes: Shapes, path: Path) -> Module:
    """The torchvision network with these tensors, its weights still zeros.

    Raises: ValueError if it is none of the networks that we have.
    """
    for attempt in (as_resnet, as_vgg, as_googlenet):
        if (model := attempt(shapes, path)) is not None:
            return model
    names = ", ".join(list(shapes)[:3])
    raise ValueError(
        f"{path} is none of the networks that can be recognised (ResNet-18 to 152, VGG-16 and 19, "
        f"GoogLeNet): its tensors are {names}, ... Make the network and pass it as `model`"
    )


def as_resnet(shapes: Shapes, path: Path) -> Module | None:
    """ResNet-18 to 152, told apart by the blocks of their stages and the layers of a block."""
    blocks = tuple(count(shapes, rf"layer{stage}\.(\d+)\.conv1\.weight") for stage in range(1, 5))
    bottleneck = "layer1.0.conv3.weight" in shapes
    for depth, expected in BLOCKS.items():
        if blocks == expected and bottleneck == (depth >= 50) and "fc.bias" in shapes:
            classes = number_of_classes(shapes, path, "fc", features=2048 if bottleneck else 512)
            return resnet(depth, version="v1.5", classes=classes, seed="zeros")
    return None


def as_vgg(shapes: Shapes, path: Path) -> Module | None:
    """VGG-16 and 19, with batch norm or without."""
    convolutions = [n for n, s in shapes.items() if n.startswith("features.") and len(s) == 4]
    if len(convolutions) not in (13, 16) or "classifier.6.bias" not in shapes:
        return None
    batch_norm = len(shapes.get("features.1.weight", ())) == 1
    classes = number_of_classes(shapes, path, "classifier.6", features=4096)
    return vgg(len(convolutions) + 3, batch_norm=batch_norm, classes=classes, seed="zeros")


def as_googlenet(shapes: Shapes, path: Path) -> Module | None:
    """GoogLeNet as published for torchvision, with the auxiliary classifiers where they are."""
    if "inception5b.branch4.1.conv.weight" not in shapes or "fc.bias" not in shapes:
        return None
    aux, classes = "aux1.fc1.weight" in shapes, number_of_classes(shapes, path, "fc", features=1024)
    return googlenet(
        version="torchvision", transform_input=True, aux=aux, classes=classes, seed="zeros"
    )


def number_of_classes(shapes: Shapes, path: Path, layer: str, features: int) -> int:
    """The outputs of the last layer: no more than the file holds weights for.

    Raises: ValueError if the layer does not take that many features.
    """
    weight, bias = shapes.get(f"{layer}.weight", ()), shapes[f"{layer}.bias"]
    if len(bias) != 1 or bias[0] < 1 or weight != (*bias, features):
        raise ValueError(
            f"{path}: expected {layer}.weight (classes, {features}) and {layer}.bias (classes,), "
            f"but got {weight} and {bias}"
        )
    return bias[0]


def count(shapes: Shapes, pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in shapes)
