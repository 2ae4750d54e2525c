"""Detectors that were trained here: one safetensors file with what is needed to make them again."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..common.expecting import expects
from ..common.files import atomic
from ..models import make_again
from .backbones import faster_rcnn
from .network import FasterRCNN
from .settings import Settings
from .small import SMALL

KEY = "minires detector"
NAMES = (*(f"small-{name}" for name in SMALL),)  # of detectors that begin with random weights


def make_detector(made_as: dict[str, Any], classes: list[str], settings: Settings) -> FasterRCNN:
    """A detector by how it was made, `model.made_as`, its weights still to be loaded."""
    options = dict(made_as)
    backbone = options.pop("backbone")
    if backbone in NAMES:
        return SMALL[backbone.removeprefix("small-")](classes, settings=settings, **options)
    if "network" in options:
        options["network"] = make_again(options["network"], classes=1, seed="zeros")
    return faster_rcnn(backbone, classes, settings=settings, seed="zeros", **options)


@expects(model=FasterRCNN, path=Path)
def save_detector(model: FasterRCNN, path: Path) -> Path:
    """Write weights, classes and settings, whole or not at all."""
    from safetensors.numpy import save_file

    about = {"made_as": model.made_as, "classes": model.classes, "settings": asdict(model.numbers)}
    with atomic(path) as temporary:
        save_file(model.state_dict(), temporary, metadata={KEY: json.dumps(about)})
    return path


def load_saved(path: Path) -> FasterRCNN | None:
    """The detector of a file that `save_detector` wrote, in evaluation mode; None for other files.

    Raises: ValueError where the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(KEY)
            if text is None:
                return None
            model = from_header(path, text)
            names = list(file.keys())
            arrays = {name: file.get_tensor(name) for name in names}
            model.load_state_dict({name: in_float32(array) for name, array in arrays.items()})
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file ({error})") from error
    return model.eval()


def in_float32(array: np.ndarray) -> np.ndarray:
    """Numbers as detectors have them; counters stay whole."""
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def from_header(path: Path, text: str) -> FasterRCNN:
    """The detector that a file's header describes."""
    try:
        about = json.loads(text)
        numbers = {field.name: about["settings"][field.name] for field in fields(Settings)}
        settings = Settings(**{name: in_tuples(value) for name, value in numbers.items()})
        return make_detector(about["made_as"], [str(name) for name in about["classes"]], settings)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} does not say how its detector was made ({error})") from error


def in_tuples(value: Any) -> Any:
    """JSON's lists as the tuples that they were."""
    return tuple(map(in_tuples, value)) if isinstance(value, list) else value


def take_over(model: FasterRCNN, path: Path) -> FasterRCNN:
    """A small detector that begins with the trunk, proposals and head of one trained here.

    Its last layers, for other classes, stay random; so do those for another number of anchors.
    Raises: ValueError for a file of another detector.
    """
    trained = load_saved(path)
    if trained is None or trained.made_as["backbone"] != model.made_as["backbone"]:
        kind = "no detector that was trained here" if trained is None else f"a {trained.name}"
        raise ValueError(
            f"{path} holds {kind}: a {model.name} begins with the detector.safetensors of another "
            f"{model.name}, or with random weights"
        )
    state, given = model.state_dict(), trained.state_dict()
    fitting = {n: a for n, a in given.items() if a.shape == state[n].shape and "predictor" not in n}
    model.load_state_dict(state | fitting)
    return model
