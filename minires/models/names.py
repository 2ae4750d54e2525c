"""Networks by the names that one types."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..common.expecting import expects
from ..nn import Module
from .cifar import CifarResNet, cifar_resnet
from .googlenet import GoogLeNet, googlenet
from .imagenet import (
    BLOCKS,
    ResNet,
    resnet,
    resnext50_32x4d,
    resnext101_32x8d,
    wide_resnet50_2,
    wide_resnet101_2,
)
from .vgg import VGG, vgg

FAMILIES: dict[str, tuple[type[Module], Any, tuple[str, ...]]] = {  # class, maker, its options
    "resnet": (
        *(ResNet, resnet),
        ("depth", "shortcut", "version", "groups", "width_per_group", "channels"),
    ),
    "cifar_resnet": (
        *(CifarResNet, cifar_resnet),
        ("depth", "shortcut", "version", "block", "padding", "channels"),
    ),
    "vgg": (VGG, vgg, ("depth", "batch_norm", "channels")),
    "googlenet": (GoogLeNet, googlenet, ("version", "aux", "transform_input", "channels")),
}
OF_THEIR_OWN: dict[str, Callable[..., Module]] = {
    make.__name__: make
    for make in (
        googlenet,
        resnext50_32x4d,
        resnext101_32x8d,
        wide_resnet50_2,
        wide_resnet101_2,
    )
}
EXAMPLES = "resnet50, plain34, vgg19, vgg16_bn, googlenet, or for 32 x 32 images resnet20, plain56"


@expects(name=str)
def by_name(name: str, **options: Any) -> Module:
    """The network of a name such as resnet50, plain34, vgg16_bn, googlenet, resnet56.

    ResNets and plain networks of 18, 34, 50, 101 and 152 layers are those for ImageNet, of other
    depths those for CIFAR. The options are those of the network's own function.

    Raises: ValueError for a name that is none.
    """
    if name in OF_THEIR_OWN:
        return OF_THEIR_OWN[name](**options)
    if match := re.fullmatch(r"vgg(\d+)(_bn)?", name):
        return vgg(int(match[1]), batch_norm=bool(match[2]), **options)
    if match := re.fullmatch(r"(resnet|plain)(\d+)", name):
        make: Any = resnet if int(match[2]) in BLOCKS else cifar_resnet
        options = options if match[1] == "resnet" else {"shortcut": None, **options}
        return make(int(match[2]), **options)
    raise ValueError(f"there is no network {name!r}: try {EXAMPLES}")


def made_as(model: Module) -> dict[str, Any]:
    """How `make_again` makes such a network; {} for one that is not of this package."""
    for family, (kind, _, options) in FAMILIES.items():
        if isinstance(model, kind):
            return {"family": family} | {name: getattr(model, name) for name in options}
    return {}


def make_again(made: dict[str, Any], **options: Any) -> Module:
    """The network that `made_as` describes; `options` are its classes, seed and dtype.

    Raises: ValueError for something else.
    """
    _, make, known = FAMILIES.get(made.get("family", ""), (None, None, ()))
    if make is None or set(made) != {"family", *known}:
        raise ValueError(f"this describes none of the networks: {made!r:.200}")
    model: Module = make(**{name: made[name] for name in known}, **options)
    return model
