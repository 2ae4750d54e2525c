"""Networks from files of weights, and what their outputs mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..data import Classes, read_classes
from ..data.classes import json_classes
from ..nn import Module
from ..weights import load_torchvision
from ..weights.reading import checkpoint_state, is_safetensors

KEY = "classes"  # in the metadata of a safetensors file: the JSON that `read_classes` reads


def load_networks(weights: Sequence[Path], device: str = "auto") -> dict[str, Module]:
    """Networks by name, each recognised by its weights; see `load_torchvision` for the files."""
    networks = {}
    for path in weights:
        refuse_checkpoint(path)
        model = load_torchvision(path).to(device)
        kind = getattr(model, "name", type(model).__name__)
        networks[f"{kind} ({path.name if path.name not in taken(weights) else path})"] = model
    return networks


def refuse_checkpoint(path: Path) -> None:
    """A checkpoint does not say how its images were normalised, so its answers would be wrong."""
    if (own := checkpoint_state(path)) is not None:
        raise ValueError(
            f"{path} is the checkpoint of a run on {own[1].get('data')}, whose images are "
            "normalised by the moments of that data set. In Python: load_torchvision(path), and "
            "preprocessing=Preprocessing.of(dataset) for classify or evaluate"
        )


def taken(weights: Sequence[Path]) -> list[str]:
    """File names that more than one path ends in."""
    names = [path.name for path in weights]
    return [name for name in names if names.count(name) > 1]


def find_classes(weights: Sequence[Path], file: Path | None) -> Classes | None:
    """What the outputs mean: a file's word, else that of the first weights that know; or None."""
    if file:
        return read_classes(file)
    known = (classes_in(path) for path in weights)
    return next((classes for classes in known if classes), None)


def classes_in(path: Path) -> Classes | None:
    """The classes that a safetensors file names in its metadata."""
    from safetensors import safe_open

    if not is_safetensors(path):
        return None
    with safe_open(path, framework="numpy") as file:
        text = (file.metadata() or {}).get(KEY)
    return json_classes(path, text) if text else None
