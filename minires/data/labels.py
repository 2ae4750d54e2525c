"""Files that name the class of each image: ILSVRC's lists, tables of comma-separated values."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from functools import cached_property
from pathlib import Path

from ..common.files import read_text
from .classes import Key
from .synsets import synsets_by_number

SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".jfif",
    ".png",
    ".ppm",
    ".pgm",
    ".bmp",
    ".tif",
    ".tiff",
    ".webp",
    ".gif",
)
SYNSET_WITH_BOXES = re.compile(r"(n\d{8})(\s+(n\d{8}|-?\d+))*")
SYNSET_OR_PLACE = re.compile(r"n\d{8}\b|\d+$")


class LabelFile:
    """A file that names the class of each image, in one of three forms; `keys` is what it says.

    It calls images by their paths, as far as it gives them, with or without suffix: `a/0.png` is no
    other folder's `0.png`. The development kit calls them by their number.
    """

    def __init__(self, path: Path, images: list[Path]) -> None:
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path} with the classes of the images")
        self.path, self.images = path, images
        self.lines = [line for line in read_text(path).splitlines() if line.strip()]
        if not self.lines:
            raise ValueError(f"{path} is empty: expected the class of an image in each line")

    def pairs(self) -> list[tuple[Path, Key]]:
        """Each image with its class.

        Raises: ValueError for images that the file leaves out, or calls by the same name.
        """
        names = {path: self.name_of(path) for path in self.images}
        unknown = [path.name for path, name in names.items() if name is None]
        if unknown:
            raise ValueError(
                f"{self.path} says no class for {len(unknown)} of {len(names)} images: "
                f"{', '.join(unknown[:3])}{', ...' if len(unknown) > 3 else ''}"
            )
        called: dict[str | None, list[str]] = defaultdict(list)
        for path, name in names.items():
            called[name].append(str(path))
        if shared := next((name for name, paths in called.items() if len(paths) > 1), None):
            raise ValueError(
                f"{self.path}: {shared!r} could be any of {', '.join(called[shared][:3])}: write "
                "the images' folders in front of their names, as a/0.png"
            )
        return [(path, self.keys[name]) for path, name in names.items() if name is not None]

    def name_of(self, image: Path) -> str | None:
        """What this file calls an image, by the longest part of its path; None if nothing."""
        if self.is_ground_truth:
            number = re.search(r"(\d+)$", image.stem)
            return str(int(number[1])) if number and str(int(number[1])) in self.keys else None
        whole = image.absolute()
        inner = ("/".join(whole.parts[place:]) for place in range(1, len(whole.parts)))
        tails = [whole.as_posix(), *inner]
        exact = next((tail for tail in tails if tail in self.keys), None)
        loose = next((self.stems[s] for s in map(without_suffix, tails) if s in self.stems), [])
        if exact is None and len(loose) > 1:
            raise ValueError(f"{self.path}: {image} could be any of {', '.join(loose)}")
        return exact or (loose[0] if loose else None)

    @cached_property
    def stems(self) -> dict[str, list[str]]:
        """What the file calls images, by the same without suffix."""
        found = defaultdict(list)
        for name in self.keys:
            found[without_suffix(name)].append(name)
        return found

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
        """Lines of an image and its class; those of Kaggle and tiny-imagenet go on with boxes.

        Raises: ValueError where an image has two classes.
        """
        keys: dict[str, Key] = {}
        for name, key in map(self.entry, self.rows()):
            if keys.setdefault(name, key) != key:
                raise ValueError(
                    f"{self.path} names {name} twice, as {keys[name]!r} and as {key!r}: leave one"
                )
        return keys

    def rows(self) -> list[list[str]]:
        """The cells of each line, without a table's head."""
        if self.path.suffix.lower() != ".csv":
            return [line.split("\t") if "\t" in line else line.split() for line in self.lines]
        try:
            rows = list(csv.reader(self.lines))
        except csv.Error as error:
            raise ValueError(
                f"{self.path} is not a table of comma-separated values: {error}"
            ) from None
        return rows[1:] if self.is_head(rows[0]) else rows

    def is_head(self, row: list[str]) -> bool:
        """Whether the first row names columns: neither an image nor a class is recognised."""
        name = without_suffix(row[0])
        is_image = name != row[0] or name in {image.stem for image in self.images}
        return not is_image and not SYNSET_OR_PLACE.match(row[-1].strip())

    def entry(self, row: list[str]) -> tuple[str, Key]:
        """An image and its class; an identifier may be followed by boxes."""
        name, key, *box = [*map(str.strip, row), "", ""][: max(2, len(row))]
        if not name or not key or len(box) not in (0, 4) or not all(map(str.isdecimal, box)):
            raise ValueError(
                f"{self.path}: expected the name of an image and its class in each line, but got "
                f"{' '.join(row)!r}"
            )
        synset = SYNSET_WITH_BOXES.fullmatch(key)
        key = synset[1] if synset else key
        return name.replace("\\", "/").removeprefix("./"), int(key) if key.isdecimal() else key


def without_suffix(name: str) -> str:
    """A path without the suffix of its file, if that is an image's."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in SUFFIXES else name
