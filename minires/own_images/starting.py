"""The network before training: pretrained with a new head, or with random weights; what is frozen.

Batch norm: that of frozen layers keeps its statistics, scale and shift. So does all of it where a
pretrained network sees fewer than 16 images a batch, whose own statistics say little.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..common.expecting import COUNT, SEED, expects
from ..models import CifarResNet, GoogLeNet, ResNet, by_name, made_as, make_again
from ..nn import Linear, Module
from ..nn.init import Seed, generators
from ..training.freezing import freeze, hold, norms
from ..weights import load_torchvision

USUAL = "resnet18"
SMALL_BATCH = 16  # images from which a batch's own statistics are used


@expects(network=(str, type(None)), weights=(Path, type(None)), classes=COUNT, seed=SEED)
def begin(network: str | None, weights: Path | None, classes: int, seed: int = 0) -> Module:
    """A network with so many outputs; with `weights`, all of it but the last layer is pretrained.

    Raises: FileNotFoundError, or ValueError for weights of another network.
    """
    if weights is None:
        return named(network or USUAL, classes=classes, seed=seed)
    model = without_auxiliaries(load_torchvision(weights))
    expected = named(network).name if network else model.name
    if model.name != expected:
        raise ValueError(
            f"{weights} holds the weights of a {model.name}, but --network {network} is a "
            f"{expected}: leave out --network, or name other weights"
        )
    put_head(model, classes, seed)
    return model.train()


def named(network: str, *, classes: int = 1000, seed: Seed = "zeros") -> Any:
    """A network by its name; a bottleneck has torchvision's strides."""
    model = by_name(network, classes=classes, seed=seed)
    if not isinstance(model, ResNet):
        return model
    return by_name(network, classes=classes, seed=seed, version="v1.5")


def without_auxiliaries(model: Module) -> Any:
    """GoogLeNet without its auxiliary classifiers, which are for other classes; others as is."""
    if not (isinstance(model, GoogLeNet) and model.aux):
        return model
    classes = model.fc.weight.shape[1]
    bare = make_again(made_as(model) | {"aux": False}, classes=classes, seed="zeros")
    bare.load_state_dict({n: a for n, a in model.state_dict().items() if not n.startswith("aux")})
    return bare


def head_of(model: Module) -> tuple[str, Linear]:
    """The last linear layer, whose outputs are the classes, and its name."""
    return [(n, m) for n, m in model.named_modules() if isinstance(m, Linear)][-1]


def put_head(model: Module, classes: int, seed: int) -> None:
    """Exchange the last layer for one with so many outputs and random weights."""
    name, old = head_of(model)
    parent, _, last = name.rpartition(".")
    features, dtype = old.weight.shape[0], old.weight.dtype
    head = Linear(features, classes, rng=generators(seed)[0], dtype=dtype)
    setattr(dict(model.named_modules())[parent], last, head)


@expects(model=Module, names=Sequence, batch_size=COUNT, pretrained=bool)
def freeze_layers(model: Module, names: Sequence[str], batch_size: int, pretrained: bool) -> str:
    """Let layers stay as they are; returns what becomes of batch norm, in words.

    Raises: ValueError for a name that is no layer, or where the head would stay, too.
    """
    layers = dict(model.named_modules())
    for name in names:
        if not isinstance(name, str) or not name or name not in layers:
            known = ", ".join(name for name, _ in model.named_children())
            raise ValueError(
                f"--freeze {name}: there is no such layer; there are {known}, and those within, "
                "such as layer1.0.conv1"
            )
    chosen = [layers[name] for name in names]
    freeze(chosen)
    if not head_of(model)[1].weight.requires_grad:
        raise ValueError(f"--freeze {','.join(names)}: the new head would stay as it was drawn")
    if pretrained and batch_size < SMALL_BATCH:
        freeze(norms(model))
        hold(norms(model))
        return f"all of it is frozen, for a batch has fewer than {SMALL_BATCH} images"
    hold(norm for layer in chosen for norm in norms(layer))
    return "trained" if not chosen else "trained but in frozen layers"


def usual_size(model: Module) -> int:
    """Pixels of the images that a network was made for."""
    return 32 if isinstance(model, CifarResNet) else 224


def must_fit(model: Module, classes: Sequence[str]) -> None:
    """Raises: ValueError where the last linear layer has other than one output a class."""
    heads = [module for module in model.modules() if isinstance(module, Linear)]
    outputs = heads[-1].weight.shape[1] if heads else len(classes)
    if outputs != len(classes):
        raise ValueError(
            f"the network has {outputs} outputs, but the images are of {len(classes)} classes: "
            "begin(network, weights, classes) makes one that fits"
        )
