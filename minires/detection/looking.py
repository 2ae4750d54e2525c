"""Detectors from files, with the paper's improvements, before a set of annotated images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from ..evaluation.commands import progress
from .annotations import Annotations
from .detecting import Pixels, detect
from .detections import Detections
from .improving import Improvements, detect_improved
from .network import FasterRCNN
from .regions import Found
from .sets import DetectionSet
from .training import found_by
from .weights import load_detector

SUFFIXES = (".safetensors", ".pth", ".pt")


def look(models: Sequence[FasterRCNN], options: Improvements, pixels: Pixels) -> Found:
    """What is found in an image; one detector without improvements is `detect`."""
    if len(models) == 1 and not options.any:
        return detect(models[0], pixels)
    return detect_improved(models, pixels, options)


def found_in_set(
    console: Console, files: Sequence[Path], annotations: Annotations, options: Improvements
) -> Detections:
    """What one detector, or an ensemble of several, finds in all images of a set.

    Classes are matched by name. Raises: ValueError where none is known to the detector.
    """
    models = [load_detector(path) for path in files]
    with progress(console) as bar:

        def watch(places: range) -> Iterator[int]:
            yield from bar.track(places, description="images")

        found = found_by(partial(look, models, options), DetectionSet(annotations), watch)
    return with_labels_of(annotations, models[0].classes, found)


def with_labels_of(
    annotations: Annotations, classes: Sequence[str], found: Detections
) -> Detections:
    """The detections whose classes the annotations have, with their labels; others are counted."""
    own = {name: label for label, name in enumerate(annotations.classes, 1)}
    labels = np.array([0, *(own.get(name, 0) for name in classes)])
    if not labels.any():
        raise ValueError(
            f"the detector knows none of the classes of {annotations.name}: it has "
            f"{', '.join(classes[:3])}, ..., they have {', '.join(annotations.classes[:3])}, ..."
        )
    known = labels[found.label] > 0
    kept = replace(found, label=labels[found.label]).where(known)
    return replace(kept, left_out=int((~known).sum()))
