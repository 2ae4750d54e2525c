"""Folders of images to evaluate networks on: one sub-folder a class, or ILSVRC's validation set.

| layout | where the class of an image stands |
|---|---|
| sub-folders | the name of the image's folder: `n01440764/x.JPEG`, or its output: `0/x.JPEG` |
| ILSVRC, Kaggle | `LOC_val_solution.csv`: `ILSVRC2012_val_00000001,n01751748 111 108 441 193` |
| ILSVRC, Caffe | `val.txt`: `ILSVRC2012_val_00000001.JPEG 65`, by place or by identifier |
| ILSVRC, kit | `ILSVRC2012_validation_ground_truth.txt`: the number of image 1, 2, ... |
| tiny-imagenet | `val_annotations.txt`: `val_0.JPEG n03444034 0 32 44 62` |

Where no file of classes is given, the identifiers in alphabetical order are the outputs 0, 1, ...
of a network, as in torchvision. Numbers are no identifiers: folders `0`, `1`, ... are the outputs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..common.expecting import expects, must_be
from .classes import Classes, Key, read_classes
from .dataset import Dataset
from .images import open_image
from .labels import SUFFIXES, LabelFile

if TYPE_CHECKING:
    from PIL.Image import Image

TINY_IMAGENET = "val_annotations.txt"
LABEL_FILES = ("LOC_val_solution.csv", "val.txt", "ILSVRC2012_validation_ground_truth.txt")
MAPPING_FILES = ("LOC_synset_mapping.txt", "synset_words.txt")


@runtime_checkable
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
    """Image files with their classes; none is opened before it is asked for.

    Photographs that are to be `upright` are turned as their camera noted; see `open_image`, the
    `opener` that decodes a file unless another is given.
    """

    name: str
    paths: list[Path]
    labels: list[int]
    classes: Classes
    upright: bool = False
    opener: Callable[..., Image] = field(default=open_image, compare=False)

    def __len__(self) -> int:
        return len(self.paths)

    def title(self, number: int) -> str:
        """The path of a file."""
        return str(self.paths[number])

    def open(self, number: int) -> Image:
        return self.opener(self.paths[number], upright=self.upright)

    def first(self, count: int) -> ImageFiles:
        """Every n-th file, `count` in all, so that no class is left out where there are enough."""
        return self.chosen(evenly(len(self), count))

    def chosen(self, numbers: Iterable[int]) -> ImageFiles:
        """These files, in this order."""
        pairs = [(self.paths[number], self.labels[number]) for number in numbers]
        paths, labels = map(list, zip(*pairs, strict=True))
        return replace(self, paths=paths, labels=labels)


def evenly(length: int, count: int) -> list[int]:
    """`count` of the numbers below `length`, evenly chosen; all of them if there are fewer."""
    count = min(count, length)
    return [number * length // count for number in range(count)]


class DatasetImages:
    """A split of a data set in memory, seen as images that can be opened."""

    @expects(split=str)
    def __init__(self, dataset: Dataset, split: str = "test", limit: int | None = None) -> None:
        must_be(Dataset, dataset, "DatasetImages: the data set")
        images, labels = dataset.split(split)
        self.name, self.classes = dataset.name, Classes.called(dataset.classes)
        self.images, self.labels = images[:limit], [int(label) for label in labels[:limit]]

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> DatasetImages:
        """Every n-th image, `count` in all, or all of them if there are fewer."""
        some, numbers = copy(self), evenly(len(self), count)
        some.images, some.labels = self.images[numbers], [self.labels[n] for n in numbers]
        return some

    def title(self, number: int) -> str:
        """The data set's name and the place in it."""
        return f"{self.name}, image {number}"

    def open(self, number: int) -> Image:
        from PIL import Image

        image = self.images[number]
        return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).convert("RGB")


SomeImages = ImageFiles | DatasetImages  # files, or in memory


@expects(folder=Path, labels=Path, classes=Classes)
def find_images(
    folder: Path, *, labels: Path | None = None, classes: Classes | None = None
) -> ImageFiles:
    """The images below a folder with their classes, in either layout (see the module's text).

    Args:
        folder: what holds the sub-folders or images.
        labels: the file that names each image's class; looked for in `folder` and beside it where
            the folder holds images and no sub-folders of them.
        classes: the outputs of the network; by default the identifiers found, in order.

    A folder that can't be read stands in the list as an image that can't be opened.

    Raises: FileNotFoundError where something named is not there, ValueError for everything that
        does not fit, with the first few files at fault.
    """
    folder, labels = Path(folder), labels and Path(labels)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    labels = labels or first_existing((TINY_IMAGENET,), folder)
    if labels is None and (by_name := images_by_folder(folder)):
        return assembled(folder, *pairs_by_folder(folder, by_name, classes))
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
    file = LabelFile(labels, paths)
    return assembled(folder, file.pairs(), classes or classes_of(set(file.keys.values())))


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


def images_by_folder(folder: Path) -> dict[str, list[Path]]:
    """The images in each sub-folder, by its name; {} where none has any."""
    inner = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    by_name = {sub.name: sorted(walk(sub)) for sub in inner}
    return by_name if any(by_name.values()) else {}


def pairs_by_folder(
    folder: Path, by_name: dict[str, list[Path]], classes: Classes | None
) -> tuple[list[tuple[Path, Key]], Classes]:
    """Every image with the class that its sub-folder stands for, and all classes."""
    empty = [name for name, paths in by_name.items() if not paths]
    if empty and classes is None:
        raise ValueError(
            f"{folder}: the sub-folder {empty[0]} holds no images ({', '.join(SUFFIXES)}), so it "
            "is not known which output each of the others is: remove it, or name a file with the "
            "classes of the network"
        )
    places = places_of(folder, by_name, classes)
    pairs = [(path, places[name]) for name, paths in by_name.items() for path in paths]
    return pairs, classes or classes_of(set(places.values()))


def places_of(folder: Path, names: Iterable[str], classes: Classes | None) -> dict[str, Key]:
    """What each sub-folder is called, or the output that it is where all names are 0 .. n - 1.

    Raises: ValueError for other numbers, whose order as text is not theirs.
    """
    itself: dict[str, Key] = {name: name for name in names}
    known = classes is not None and set(itself) <= {*classes.ids, *classes.names}
    if known or not all(name.isdecimal() for name in itself):
        return itself
    numbers: dict[str, Key] = {name: int(name) for name in itself}
    if set(numbers.values()) == set(range(len(numbers))):
        return numbers
    if classes is not None:
        return itself
    raise ValueError(
        f"{folder}: the sub-folders are called {', '.join(itself)[:60]}, which are numbers but not "
        f"0 .. {len(itself) - 1}, the outputs of a network: rename them, or name a file with the "
        "classes of the network, in the order of its outputs"
    )


def walk(folder: Path) -> Iterator[Path]:
    """All image files below a folder, once each, even if several links lead to one.

    Hidden files, such as `._x.jpg` from a Mac, and hidden folders are left out. A folder that can't
    be listed comes itself.
    """
    seen, unreadable = set[Path](), list[Path]()

    def note(error: OSError) -> None:
        unreadable.append(Path(error.filename))

    for root, folders, names in os.walk(folder, followlinks=True, onerror=note):
        place = Path(root).resolve()
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield Path(root, name)
    yield from unreadable


def first_existing(names: Sequence[str], *folders: Path) -> Path | None:
    """The first of these files that lies in one of the folders."""
    return next((f / name for f in folders for name in names if (f / name).is_file()), None)
