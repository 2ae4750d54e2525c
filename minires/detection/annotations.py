"""Annotated images: one record, whatever file they came from.

Objects stand in columns, in the order of their images, so that a whole set is checked or evaluated
without a loop. Labels count from 1: 0 is the background of a detector, and no object's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..common.expecting import Each, expects
from .boxes import Boxes
from .numbers import columns

Key = str | int  # what files call an image: COCO's number, or the name without its suffix


class Fault(NamedTuple):
    """Something wrong in a file: its kind, and where it is."""

    kind: str
    text: str


@dataclass(frozen=True)
class AnnotatedImage:
    """An image: its file, where one was found, and its size, where one is annotated."""

    key: Key
    name: str
    path: Path | None = None
    size: tuple[int, int] | None = None  # height, width


class Object(NamedTuple):
    """An annotated object: the place of its image, its label 1 .. K, and its box."""

    image: int
    label: int
    box: tuple[float, float, float, float]
    box_area: float
    area: float  # of its mask where the file says so, else that of the box
    difficult: bool = False
    crowd: bool = False


@dataclass(frozen=True, eq=False)
class Annotations:
    """Images and the objects in them, and what could not be read.

    Columns have one entry an object, sorted by image: `image` (its place in `images`), `label`
    (1 .. K), `box` (N, 4), `box_area` (width times height as the file has them, in pixels), `area`,
    `difficult`, `crowd`. `categories` are the numbers of the classes in COCO's files.
    """

    name: str
    classes: tuple[str, ...]
    categories: tuple[int, ...]
    images: tuple[AnnotatedImage, ...]
    image: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    box: Boxes
    box_area: npt.NDArray[np.float64]
    area: npt.NDArray[np.float64]
    difficult: npt.NDArray[np.bool_]
    crowd: npt.NDArray[np.bool_]
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        if twice := [name for name in self.classes if self.classes.count(name) > 1]:
            raise ValueError(f"{self.name}: the class {twice[0]!r} is named twice: name each once")
        refuse_others(self.name, self, len(self.images), len(self.classes))

    @classmethod
    @expects(
        name=str,
        classes=Each(str),
        images=Each(AnnotatedImage),
        objects=Each(Object),
        categories=Each(int),
        faults=Each(Fault),
    )
    def of(
        cls,
        name: str,
        classes: Sequence[str],
        images: Sequence[AnnotatedImage],
        objects: Sequence[Object],
        *,
        categories: Sequence[int] | None = None,
        faults: Sequence[Fault] = (),
    ) -> Annotations:
        """From rows to columns; objects of an image keep their order."""
        rows = sorted(objects, key=lambda row: row.image)
        return cls(
            name=name,
            classes=tuple(classes),
            categories=tuple(categories or range(1, len(classes) + 1)),
            images=tuple(images),
            faults=tuple(faults),
            **columns(rows, Object),
        )

    def __len__(self) -> int:
        return len(self.image)

    def of_image(self, place: int) -> slice:
        """Where the objects of an image are in the columns."""
        start, end = np.searchsorted(self.image, [place, place + 1])
        return slice(int(start), int(end))

    def title(self, number: int | np.integer) -> str:
        """What a message calls object `number`: image, place in it, class."""
        place = self.image[number]
        count = number - int(np.searchsorted(self.image, place)) + 1
        class_name = self.classes[self.label[number] - 1]
        return f"{self.images[place].name}, object {count} ({class_name})"

    def refuse_faults(self) -> None:
        """Raises: ValueError with the first faults, where anything could not be read."""
        if self.faults:
            first = "; ".join(f"{kind}: {text}" for kind, text in self.faults[:3])
            raise ValueError(
                f"{self.name} has {len(self.faults)} faults ({first}): `minires check-boxes` names "
                "all of them"
            )


def refuse_others(name: str, record: Any, images: int, classes: int) -> None:
    """Raises: ValueError where a record has images or labels beyond those that there are."""
    for column, first, count in (("image", 0, images), ("label", 1, classes)):
        numbers = getattr(record, column)
        if len(numbers) and not (numbers.min() >= first and numbers.max() < first + count):
            raise ValueError(
                f"{name}: {column}s must lie in {first} .. {first + count - 1}, but reach from "
                f"{numbers.min()} to {numbers.max()}"
            )


class ImageFolder:
    """Finds image files by the names that annotations give them, in one of several folders.

    Only the last part of a name that leads elsewhere counts: people's files name paths of the
    machine where they were annotated.
    """

    def __init__(self, *folders: Path) -> None:
        self.folders = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]

    @cached_property
    def by_stem(self) -> dict[str, list[Path]]:
        """The images directly in the first folder that has some, by names without suffix."""
        found: dict[str, list[Path]] = {}
        for folder in reversed(self.folders):
            here: dict[str, list[Path]] = {}
            for path in map(Path, images_in(folder)):
                here.setdefault(path.stem, []).append(path)
            found |= here
        return found

    def find(self, name: str) -> Path | None:
        """The file of this name, below or in one of the folders."""
        inner = Path(name.replace("\\", "/"))
        inner = Path(inner.name) if inner.is_absolute() or ".." in inner.parts else inner
        parts = dict.fromkeys((inner, Path(inner.name)))
        candidates = (folder / part for part in parts for folder in self.folders)
        return next((path for path in candidates if is_file(path)), None) if name else None


def is_file(path: Path) -> bool:
    """Whether there is such a file; not where the name is too long for one."""
    try:
        return path.is_file()
    except OSError:
        return False


def images_in(folder: Path) -> list[os.DirEntry[str]]:
    """The image files directly in a folder, without hidden ones, by name."""
    from ..data.folders import SUFFIXES

    with os.scandir(folder) as entries:
        found = [e for e in entries if e.name.lower().endswith(SUFFIXES) and e.name[0] != "."]
    return sorted((entry for entry in found if entry.is_file()), key=lambda entry: entry.name)
