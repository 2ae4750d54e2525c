"""Which network a state dict belongs to: by its names and shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..models import CifarResNet, cifar_resnet, googlenet, make_again, resnet, vgg
from ..models.imagenet import BLOCKS
from ..nn import Module

Shapes = Mapping[str, tuple[int, ...]]
T = TypeVar("T")
HEADS = ("fc.bias", "classifier.6.bias")  # of the last layers

WIDTHS = ((1, 64), (1, 128), (32, 4), (32, 8))  # groups, and their channels, that networks have
MOST_CHANNELS = 64  # of images


def recognise(shapes: Shapes, path: Path) -> Module:
    """The torchvision network with these tensors, its weights still zeros.

    Raises: ValueError if it is none of the networks that we have.
    """
    for attempt in (as_resnet, as_vgg, as_googlenet, as_cifar):
        if (model := attempt(shapes, path)) is not None:
            return model
    names = ", ".join(list(shapes)[:3])
    raise ValueError(
        f"{path} is none of the networks that can be recognised (ResNet-18 to 152, VGG-16 and 19, "
        f"GoogLeNet): its tensors are {names}, ... Make the network and pass it as `model`; one "
        "with shortcuts A takes them in either padding, of which one is right: cifar_resnet(20, "
        "padding='both') for half of the new channels in front"
    )


def described(made: Any, shapes: Shapes, path: Path) -> Module:
    """The network of a file that says how it was made, its weights still zeros."""
    heads = (shapes[name] for name in HEADS if name in shapes)
    try:
        [classes] = next(heads, ())
        if made.get("depth", 0) > len(shapes):
            raise ValueError(f"{made['depth']} layers are more than it has tensors")
        return make_again(made, classes=classes, seed="zeros")
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not say how its network was made: {error}") from None


def by_title(title: str, classes: int, path: Path) -> Module:
    """The network for CIFAR that tables call so: ResNet-20, plain-56, ResNet-110 v2 (B)."""
    found = re.fullmatch(r"(ResNet|plain)-(\d+)( v2)?( bottleneck)?( \(([BC])\))?", title)
    if not found or not classes:
        raise ValueError(
            f"{path} is the checkpoint of a network called {title!r}, which can't be made from its "
            "name: make it and pass it as `model`"
        )
    options: Any = {"version": "v2" if found[3] else "v1", "classes": classes, "seed": "zeros"}
    options["block"] = "bottleneck" if found[4] else "basic"
    options["shortcut"] = None if found[1] == "plain" else found[6] or "A"
    return cifar_resnet(int(found[2]), **options)


def renamed(entries: Mapping[str, T]) -> dict[str, T]:
    """Entries by our names, where they come from the networks for CIFAR that end in `linear`."""
    if not comes_from_elsewhere(entries):
        return dict(entries)
    ours = ((re.sub(r"^linear\.", "fc.", name), entry) for name, entry in entries.items())
    return {name.replace(".shortcut.", ".downsample."): entry for name, entry in ours}


def comes_from_elsewhere(entries: Mapping[str, object]) -> bool:
    """Whether it is a network for CIFAR, of three stages, whose last layer is called `linear`."""
    three = "layer3.0.conv1.weight" in entries and "layer4.0.conv1.weight" not in entries
    return three and "linear.weight" in entries


def refuse_other_padding(model: Module, entries: Mapping[str, object], path: Path) -> None:
    """Weights of those networks would fit ours, and be wrong for it."""
    pads_at_end = isinstance(model, CifarResNet) and (model.shortcut, model.padding) == ("A", "end")
    if pads_at_end and comes_from_elsewhere(entries):
        raise ValueError(
            f"{path} is of a network whose shortcuts pad channels on both sides, but this one "
            "pads at the end: its weights would fit, and be wrong. Make it with padding='both'"
        )


def as_resnet(shapes: Shapes, path: Path) -> Module | None:
    """ResNets and ResNeXts, told apart by the blocks of their stages and the layers of a block."""
    blocks = tuple(count(shapes, rf"layer{stage}\.(\d+)\.conv1\.weight") for stage in range(1, 5))
    bottleneck = "layer1.0.conv3.weight" in shapes
    for depth, expected in BLOCKS.items():
        if blocks == expected and bottleneck == (depth >= 50) and "fc.bias" in shapes:
            classes = number_of_classes(shapes, path, "fc", features=2048 if bottleneck else 512)
            options: Any = {"channels": image_channels(shapes, "conv1"), "classes": classes}
            if bottleneck:
                options |= widths_of(shapes)
            return resnet(depth, version="v1.5", seed="zeros", **options)
    return None


def widths_of(shapes: Shapes) -> dict[str, int]:
    """Groups of the first 3x3 convolution, and the channels of each; those of ResNet if unknown."""
    *_, width = (0, *shapes.get("layer1.0.bn2.weight", ()))
    for groups, per_group in WIDTHS:
        if shapes.get("layer1.0.conv2.weight") == (width, per_group, 3, 3) and (
            width == groups * per_group
        ):
            return {"groups": groups, "width_per_group": per_group}
    return {}


def image_channels(shapes: Shapes, layer: str) -> int:
    """The channels of the images that a first layer takes; 3 if it does not say."""
    weight = shapes.get(f"{layer}.weight", ())
    return weight[1] if len(weight) == 4 and 1 <= weight[1] <= MOST_CHANNELS else 3


def as_vgg(shapes: Shapes, path: Path) -> Module | None:
    """VGG-16 and 19, with batch norm or without."""
    convolutions = [n for n, s in shapes.items() if n.startswith("features.") and len(s) == 4]
    if len(convolutions) not in (13, 16) or "classifier.6.bias" not in shapes:
        return None
    batch_norm = len(shapes.get("features.1.weight", ())) == 1
    classes = number_of_classes(shapes, path, "classifier.6", features=4096)
    options: Any = {"channels": image_channels(shapes, "features.0"), "classes": classes}
    return vgg(len(convolutions) + 3, batch_norm=batch_norm, seed="zeros", **options)


def as_googlenet(shapes: Shapes, path: Path) -> Module | None:
    """GoogLeNet as published for torchvision, with the auxiliary classifiers where they are."""
    if "inception5b.branch4.1.conv.weight" not in shapes or "fc.bias" not in shapes:
        return None
    aux, classes = "aux1.fc1.weight" in shapes, number_of_classes(shapes, path, "fc", features=1024)
    return googlenet(
        version="torchvision", transform_input=True, aux=aux, classes=classes, seed="zeros"
    )


def as_cifar(shapes: Shapes, path: Path) -> Module | None:
    """A network for CIFAR of those whose last layer is called `linear`."""
    blocks = [count(shapes, rf"layer{stage}\.(\d+)\.conv2\.weight") for stage in (1, 2, 3)]
    if not comes_from_elsewhere(shapes) or len(set(blocks)) > 1 or "linear.bias" not in shapes:
        return None
    classes = number_of_classes(shapes, path, "linear", features=64)
    projected = any(".shortcut." in name for name in shapes)
    options: Any = {"shortcut": "B"} if projected else {"shortcut": "A", "padding": "both"}
    options["channels"] = image_channels(shapes, "conv1")
    return cifar_resnet(6 * blocks[0] + 2, classes=classes, seed="zeros", **options)


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
