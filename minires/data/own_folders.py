"""A user's own folder of images as a data set: its folders for training and testing, or a split.

| layout | training | test |
|---|---|---|
| `F/train/CLASS/*`, `F/val/CLASS/*` | `F/train` | `F/val`, or `valid`, `validation`, `test` |
| `F/train/CLASS/*` alone, or `F/CLASS/*` | 80 % of each class, by a seed | the others |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..common.expecting import SEED, expects
from .folders import ImageFiles, LabelledImages, SomeImages, find_images
from .images import BrokenImageError, KeptImages
from .photographs import Photographs
from .prefetch import Prefetch

TRAINING = "train"
TESTS = ("val", "valid", "validation", "test")
SHOWN = 20  # files that an error names


@expects(folder=Path, share=float, seed=SEED)
def find_photographs(
    folder: Path, *, share: float = 0.2, seed: int = 0, **settings: Any
) -> Photographs:
    """The images of a user's folder in one of the layouts above; what is decoded is kept.

    Args:
        folder: what holds the classes' sub-folders, or `train` and `val` with such.
        share: of each class, for the test, where there are no folders for it.
        seed: of the split.
        settings: see `Photographs`.

    Raises: FileNotFoundError for a folder that is not there; ValueError for fewer than two classes,
        a class without images, classes of training and test that differ.
    """
    if not 0 < share < 1:
        raise ValueError(f"the share of the test images must lie between 0 and 1, but is {share}")
    folder = Path(folder)
    inner, opener = folder / TRAINING, KeptImages().open
    found = find_images(inner if inner.is_dir() else folder)
    train = replace(found, upright=True, opener=opener)
    refuse_one_class(folder, train)
    place = next((folder / name for name in TESTS if (folder / name).is_dir()), None)
    if inner.is_dir() and place:
        found = find_images(place, classes=train.classes)
        test = replace(found, upright=True, opener=opener)
        refuse_missing(train, test, place)
    else:
        train, test = split(train, share, seed)
    return Photographs(folder.resolve().name, train, test, **settings)


def refuse_one_class(folder: Path, files: ImageFiles) -> None:
    """There is nothing to learn where all images are of one class."""
    found = sorted({files.classes.names[label] for label in files.labels})
    if len(found) < 2:
        raise ValueError(
            f"{folder} holds images of one class only ({found[0]}): expected a sub-folder for each "
            "of at least two classes, or train/ and val/ with such sub-folders"
        )
    refuse_missing(files, files, folder)


def refuse_missing(train: ImageFiles, test: ImageFiles, place: Path) -> None:
    """Every class needs images."""
    known = set(test.labels)
    missing = [name for label, name in enumerate(train.classes.names) if label not in known]
    if missing:
        raise ValueError(
            f"{place} holds no image of {', '.join(missing[:5])}{', ...' if missing[5:] else ''}: "
            "the classes of training and test must be the same"
        )


def split(files: ImageFiles, share: float, seed: int) -> tuple[ImageFiles, ImageFiles]:
    """Some images of each class for the test, at least one, and the others; by a seed.

    Raises: ValueError for a class with a single image.
    """
    labels, train, test = np.array(files.labels), list[int](), list[int]()
    for label, count in sorted(Counter(files.labels).items()):
        if count < 2:
            raise ValueError(
                f"{files.name}: the class {files.classes.names[label]} has a single image: at "
                "least two are needed, one to train on and one to test"
            )
        held_out = min(max(1, round(share * count)), count - 1)
        order = np.random.default_rng([seed, label]).permutation(np.flatnonzero(labels == label))
        test += order[:held_out].tolist()
        train += order[held_out:].tolist()
    return files.chosen(sorted(train)), files.chosen(sorted(test))


def class_weights(files: LabelledImages) -> list[float]:
    """A weight for each class, such that all count alike: N / (K * images of the class)."""
    counts = Counter(files.labels)
    return [len(files) / (len(counts) * counts[label]) for label in range(len(counts))]


def refuse_broken(
    photographs: Photographs, watch: Callable[[int], None] = lambda done: None
) -> None:
    """Decode every image once, before hours are spent on the others.

    Raises: BrokenImageError with all files that can't be read.
    """
    parts = (photographs.train, photographs.test)
    places = [(part, number) for part in parts for number in range(len(part))]
    faults = Prefetch(
        lambda n: fault(photographs, *places[n]), len(places), workers=photographs.workers
    )
    found = list(filter(None, watched(faults, watch)))
    if found:
        more = f"\n  and {len(found) - SHOWN} more" if found[SHOWN:] else ""
        raise BrokenImageError(
            f"{len(found)} of {len(places)} images can't be read; remove or repair them:\n  "
            + "\n  ".join(found[:SHOWN])
            + more
        )


def watched(results: Prefetch[str], watch: Callable[[int], None]) -> Iterator[str]:
    """The results, with a call after each."""
    for done, result in enumerate(results, 1):
        watch(done)
        yield result


def fault(photographs: Photographs, files: SomeImages, number: int) -> str:
    """What is wrong with an image; "" if nothing is."""
    try:
        photographs.middle(files, number)
    except BrokenImageError as error:
        return str(error)
    return ""
