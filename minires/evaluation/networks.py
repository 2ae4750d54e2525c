"""Networks from files of weights, what their outputs mean, and how they see images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..data import Classes, Preprocessing, read_classes
from ..data.classes import json_classes
from ..data.photographs import preprocessing_of
from ..nn import Module
from ..weights import load_torchvision
from ..weights.reading import CLASSES, IMAGE_SIZE, Checkpoint, header_of, read_checkpoint


class About(NamedTuple):
    """What a file of weights says of its network; None where it says nothing."""

    classes: Classes | None = None
    preprocessing: Preprocessing | None = None


def load_networks(weights: Sequence[Path], device: str = "auto") -> dict[str, Module]:
    """Networks by name, each recognised by its weights; see `load_torchvision` for the files."""
    networks = {}
    for path in weights:
        model = load_torchvision(path).to(device)
        kind = getattr(model, "name", type(model).__name__)
        networks[f"{kind} ({path.name if path.name not in taken(weights) else path})"] = model
    return networks


def taken(weights: Sequence[Path]) -> list[str]:
    """File names that more than one path ends in."""
    names = [path.name for path in weights]
    return [name for name in names if names.count(name) > 1]


def find_classes(weights: Sequence[Path], file: Path | None) -> Classes | None:
    """What the outputs mean: a file's word, else that of the weights that know; or None.

    Raises: ValueError where the weights say different things.
    """
    if file:
        return read_classes(file)
    known = [(path, found) for path in weights if (found := about(path).classes)]
    for path, found in known:
        if found != known[0][1]:
            raise ValueError(
                f"{known[0][0]} and {path} name other classes, or in another order: use them one "
                "by one, or name a file with --classes if they mean the same"
            )
    return known[0][1] if known else None


def find_preprocessing(
    weights: Sequence[Path], resize: int | None = None, crop: int | None = None
) -> Preprocessing:
    """How networks see images: as their files say, else as torchvision's; or in other sizes.

    Raises: ValueError where the files say different things.
    """
    ways = [seen_by(path) for path in weights]
    ways = [replace(way, resize=resize or way.resize, crop=crop or way.crop) for way in ways]
    for path, way in zip(weights, ways, strict=True):
        if not alike(way, ways[0]):
            raise ValueError(
                f"{weights[0]} and {path} see images in different ways ({ways[0].crop} of "
                f"{ways[0].resize} pixels and {way.crop} of {way.resize}, or other moments): use "
                "them one by one"
            )
    return ways[0]


def seen_by(path: Path) -> Preprocessing:
    """How a file's network sees images."""
    return about(path).preprocessing or Preprocessing()


def alike(one: Preprocessing, other: Preprocessing) -> bool:
    """Whether two ways of preparing an image are the same."""
    moments = zip((one.mean, one.std), (other.mean, other.std), strict=True)
    sizes = (one.resize, one.crop) == (other.resize, other.crop)
    return sizes and all(np.array_equal(a, b) for a, b in moments)


def was_trained_here(weights: Sequence[Path]) -> bool:
    """Whether all files say how their networks see images, as `minires train` writes them."""
    return all(about(path).preprocessing for path in weights)


def about(path: Path) -> About:
    """What a file says. Raises: ValueError for a size of images that is none."""
    if (own := read_checkpoint(path)) is not None:
        return about_checkpoint(path, own)
    header = header_of(path)
    classes = json_classes(path, header[CLASSES]) if CLASSES in header else None
    if IMAGE_SIZE not in header:
        return About(classes)
    if not header[IMAGE_SIZE].isdecimal() or not 0 < int(header[IMAGE_SIZE]) < 10_000:
        raise ValueError(f"{path}: its image size, {header[IMAGE_SIZE]!r:.40}, is no size")
    return About(classes, preprocessing_of(int(header[IMAGE_SIZE])))


def about_checkpoint(path: Path, own: Checkpoint) -> About:
    """The same of a checkpoint; older ones do not say how their images were normalised."""
    if not own.images:
        raise ValueError(
            f"{path} is the checkpoint of a run on {own.state['identity'].get('data')}, whose "
            "images are normalised by the moments of that data set. In Python: "
            "load_torchvision(path), and preprocessing=Preprocessing.of(dataset) for classify or "
            "evaluate"
        )
    return About(
        Classes.called(own.state["classes"]),
        Preprocessing(**own.state["sizes"], mean=own.images["mean"], std=own.images["std"]),
    )
