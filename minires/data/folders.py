"""Folders of images to evaluate networks on: one sub-folder a class, or ILSVRC's validation set.

| layout | where the class of an image stands |
|---|---|
| sub-folders | the name of the image's folder: `n01440764/x.JPEG` |
| ILSVRC, Kaggle | `LOC_val_solution.csv`: `ILSVRC2012_val_00000001,n01751748 111 108 441 193` |
| ILSVRC, Caffe | `val.txt`: `ILSVRC2012_val_00000001.JPEG 65`, by place or by identifier |
| ILSVRC, kit | `ILSVRC2012_validation_ground_truth.txt`: the number of image 1, 2, ... |

Where no file of classes is given, the identifiers in alphabetical order are the outputs 0, 1, ...
of a network, as in torchvision.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..common.files import read_text
from .classes import Classes, Key, read_classes
from .dataset import Dataset
from .images import open_image
from .synsets import synsets_by_number

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp", ".gif")
LABEL_FILES = ("LOC_val_solution.csv", "val.txt", "ILSVRC2012_validation_ground_truth.txt")
MAPPING_FILES = ("LOC_synset_mapping.txt", "synset_words.txt")


class LabelledImages(Protocol):
    """Images that can be opened by number, each with its class."""

    @property
    def name(self) -> str:
        """What tables call them."""

    @property
    def labels(self) -> Sequence[int]:
        """The class of each, as a place in `classes`."""

    @property
    def classes(self) -> Classes:
        """The outputs of a network that they are for."""

    def __len__(self) -> int: ...

    def title(self, number: int) -> str:
        """What a message calls image `number`."""

    def open(self, number: int) -> Image:
        """Image `number` as RGB. Raises: BrokenImageError."""


@dataclass(frozen=True)
class ImageFiles:
    """Image files with their classes; none is opened before it is asked for."""

    name: str
    paths: list[Path]
    labels: list[int]
    classes: Classes

    def __len__(self) -> int:
        return len(self.paths)

    def title(self, number: int) -> str:
        """The path of a file."""
        return str(self.paths[number])

    def open(self, number: int) -> Image:
        return open_image(self.paths[number])

    def first(self, count: int) -> ImageFiles:
        """Every n-th file, `count` in all, so that no class is left out where there are enough."""
        chosen = [place * len(self) // count for place in range(min(count, len(self)))]
        paths, labels = [self.paths[i] for i in chosen], [self.labels[i] for i in chosen]
        return ImageFiles(self.name, paths, labels, self.classes)


class DatasetImages:
    """A split of a data set in memory, seen as images that can be opened."""

    def __init__(self, dataset: Dataset, split: str = "test", limit: int | None = None) -> None:
        images, labels = dataset.split(split)
        self.name, self.classes = dataset.name, Classes.called(dataset.classes)
        self.images, self.labels = images[:limit], [int(label) for label in labels[:limit]]

    def __len__(self) -> int:
        return len(self.labels)

    def title(self, number: int) -> str:
        """The data set's name and the place in it."""
        return f"{self.name}, image {number}"

    def open(self, number: int) -> Image:
        from PIL import Image

        return Image.fromarray(self.images[number]).convert("RGB")


def find_images(
    folder: Path, *, labels: Path | None = None, classes: Classes | None = None
) -> ImageFiles:
    """The images below a folder with their classes, in either layout (see the module's text).

    Args:
        folder: what holds the sub-folders or images.
        labels: the file that names each image's class; looked for in `folder` and beside it where
            the folder holds images and no sub-folders of them.
        classes: the outputs of the network; by default the identifiers found, in order.

    Raises: FileNotFoundError where something named is not there, ValueError for everything that
        does not fit, with the first few files at fault.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    if labels is None and (pairs := pairs_by_folder(folder)):
        return assembled(folder, pairs, classes or classes_of({key for _, key in pairs}))
    paths = sorted(walk(folder))
    if not paths:
        raise ValueError(f"{folder} holds no images ({', '.join(SUFFIXES)})")
    labels = labels or first_existing(LABEL_FILES, folder, folder.parent)
    if labels is None:
        raise ValueError(
            f"{folder} holds images but no sub-folders of them, one a class, and there is no "
            f"{' or '.join(LABEL_FILES)} in it or beside it: name the file that says their classes"
        )
    if classes is None and (mapping := first_existing(MAPPING_FILES, folder, labels.parent)):
        classes = read_classes(mapping)
    file = LabelFile(labels)
    return assembled(folder, file.pairs(paths), classes or classes_of(set(file.keys.values())))


def assembled(folder: Path, pairs: list[tuple[Path, Key]], classes: Classes) -> ImageFiles:
    """Files with their classes as numbers."""
    places = {key: classes.index(key) for key in {key for _, key in pairs}}
    paths = [path for path, _ in pairs]
    return ImageFiles(folder.name, paths, [places[key] for _, key in pairs], classes)


def classes_of(keys: set[Key]) -> Classes:
    """Where nothing says what the outputs mean: the identifiers in order, or bare numbers."""
    numbers = [key for key in keys if isinstance(key, int)]
    if not numbers:
        return Classes.called(sorted(str(key) for key in keys))
    return Classes.called(f"class {number}" for number in range(max(numbers) + 1))


def pairs_by_folder(folder: Path) -> list[tuple[Path, Key]]:
    """Every image in a sub-folder, with the name of that sub-folder."""
    inner = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return [(path, sub.name) for sub in inner for path in sorted(walk(sub))]


def walk(folder: Path) -> Iterator[Path]:
    """All image files below a folder, once each, even if several links lead to one.

    Hidden files, such as `._x.jpg` from a Mac, and hidden folders are left out.
    """
    seen: set[Path] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        place = Path(root).resolve()
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield Path(root, name)


def first_existing(names: Sequence[str], *folders: Path) -> Path | None:
    """The first of these files that lies in one of the folders."""
    return next((f / name for f in folders for name in names if (f / name).is_file()), None)


class LabelFile:
    """A file that names the class of each image, in one of three forms; `keys` is what it says.

    Images are called by their names without suffix, or, in the development kit, by their number.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path} with the classes of the images")
        self.path = path
        self.lines = [line for line in read_text(path).splitlines() if line.strip()]
        if not self.lines:
            raise ValueError(f"{path} is empty: expected the class of an image in each line")

    def pairs(self, paths: list[Path]) -> list[tuple[Path, Key]]:
        """Each image with its class. Raises ValueError for images that the file leaves out."""
        names = {path: self.image_name(path) for path in paths}
        unknown = [path.name for path, name in names.items() if name not in self.keys]
        if unknown:
            raise ValueError(
                f"{self.path} says no class for {len(unknown)} of {len(paths)} images: "
                f"{', '.join(unknown[:3])}{', ...' if len(unknown) > 3 else ''}"
            )
        return [(path, self.keys[name]) for path, name in names.items()]

    def image_name(self, path: Path) -> str:
        """What this file calls an image."""
        number = re.search(r"(\d+)$", path.stem)
        return str(int(number[1])) if number and self.is_ground_truth else path.stem

    @property
    def is_ground_truth(self) -> bool:
        """Whether a line is just the number of a class, as in the development kit."""
        return self.lines[0].strip().isdecimal()

    @cached_property
    def keys(self) -> dict[str, Key]:
        """The class of every image."""
        return self.by_number() if self.is_ground_truth else self.by_name()

    def by_number(self) -> dict[str, Key]:
        """Image 1, 2, ... with its synset."""
        synsets = synsets_by_number(self.path.parent)
        strange = [line for line in self.lines if line.strip() not in synsets]
        if strange:
            raise ValueError(f"{self.path}: no synset has the number {strange[0]!r}")
        return {str(i): synsets[line.strip()] for i, line in enumerate(self.lines, 1)}

    def by_name(self) -> dict[str, Key]:
        """Lines of an image and its class; those of Kaggle go on with boxes."""
        if self.path.suffix == ".csv":
            return dict(self.entry(row) for row in self.rows()[1:])
        return dict(self.entry(line.split()) for line in self.lines)

    def rows(self) -> list[list[str]]:
        """The cells of a table, with its head."""
        try:
            return list(csv.reader(self.lines))
        except csv.Error as error:
            raise ValueError(
                f"{self.path} is not a table of comma-separated values: {error}"
            ) from None

    def entry(self, row: list[str]) -> tuple[str, Key]:
        if len(row) != 2 or not row[1].strip():
            raise ValueError(
                f"{self.path}: expected the name of an image and its class in each line, but got "
                f"{' '.join(row)!r}"
            )
        key = row[1].split()[0]
        return Path(row[0]).stem, int(key) if key.isdecimal() else key
