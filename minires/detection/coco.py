"""COCO's JSON of annotations: `instances_val2017.json`, and what tools write in its manner."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common.expecting import SOME, Each, expects
from .annotations import AnnotatedImage, Annotations, Fault, ImageFolder, Key, Object
from .numbers import finite, whole_size
from .voc import NO_BOX, NO_SIZE, UNKNOWN

LARGEST = 1 << 30  # bytes; COCO's own largest file takes 448 MB
TABLES = ("images", "annotations", "categories")
IMAGES = "images without an id of their own"
CATEGORIES = "categories without an id and a name of their own"
NO_IMAGE = "objects of images that are not listed"
NO_AREA = "objects whose area is not a number"
NO_CROWD = "objects whose iscrowd is neither 0 nor 1"
SHARED = "images of several names that lead to one file"


@expects(path=Path, images=Path, classes=Each(str, SOME))
def read_coco(
    path: Path, *, images: Path | None = None, classes: Sequence[str] | None = None
) -> Annotations:
    """The annotations of a COCO file.

    Images come in the order of their ids, as pycocotools has them; so do the classes, whose labels
    are 1 .. K whatever their ids, 0 included. Without an `area` the box's own counts.

    Args:
        path: the JSON file.
        images: where the images are; looked for beside the file and its folder by default.
        classes: names in the order of the labels, where it shall not be that of the ids.

    What can't be read is left out and is one of the result's `faults`. Raises: FileNotFoundError,
    or ValueError for a file that is something else.
    """
    content = read_checked_json(path)
    if not isinstance(content, dict) or not all(isinstance(content.get(t), list) for t in TABLES):
        raise ValueError(
            f"{path} is no COCO file of annotations: expected an object with the lists "
            f"{', '.join(TABLES)}"
        )
    reading = CocoReading(image_folder(path, images))
    reading.read_categories(content["categories"], classes)
    reading.read_images(content["images"])
    for number, entry in enumerate(content["annotations"], 1):
        reading.read_object(entry, number)
    return reading.annotations(path.stem)


def read_checked_json(path: Path) -> Any:
    """The content of a JSON file. Raises: FileNotFoundError, or ValueError with a sentence."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if (size := path.stat().st_size) > LARGEST:
        raise ValueError(f"{path} has {size:,} bytes, more than {LARGEST:,}: cut it into parts")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # the latter for lists in lists in lists
        raise ValueError(f"{path} is not valid JSON: {error}") from None


def image_folder(path: Path, images: Path | None) -> ImageFolder:
    """The folder given, or those where COCO's and other people's images are."""
    if images is not None:
        if not images.is_dir():
            raise FileNotFoundError(f"there is no folder of images {images}")
        return ImageFolder(images)
    beside, split = path.resolve().parent, path.stem.rpartition("_")[2]
    names = ("images", "JPEGImages", split, f"images/{split}", "")
    return ImageFolder(*(folder / name for name in names for folder in (beside, beside.parent)))


def is_key(value: Any) -> bool:
    """Whether JSON's value can be an id."""
    return type(value) in (int, str)


def in_order(key: Key) -> tuple[bool, Key]:
    """Numbers by size, then texts."""
    return isinstance(key, str), key


@dataclass
class CocoReading:
    """What the file said so far."""

    files: ImageFolder
    images: list[AnnotatedImage] = field(default_factory=list)
    objects: list[Object] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    categories: list[int] = field(default_factory=list)
    labels: dict[Any, int] = field(default_factory=dict)  # by category's id
    places: dict[Any, int] = field(default_factory=dict)  # by image's id

    def fault(self, kind: str, text: Any) -> None:
        """Note what is left out, in few words."""
        self.faults.append(Fault(kind, shortened(text)))

    def read_categories(self, entries: list[Any], wanted: Sequence[str] | None) -> None:
        """Labels in the order of the ids, or of the classes wanted."""
        named: dict[int, str] = {}
        for entry in entries:
            ok = isinstance(entry, dict) and type(entry.get("id")) is int and entry.get("name")
            if not ok or entry["id"] in named or str(entry["name"]) in named.values():
                self.fault(CATEGORIES, entry)
            else:
                named[entry["id"]] = str(entry["name"])
        ids = {name: number for number, name in named.items()}
        self.classes = list(wanted or [named[number] for number in sorted(named)])
        spare = -1 - len(self.classes)  # for wanted classes that the file lacks
        self.categories = [ids.get(n, spare + place) for place, n in enumerate(self.classes)]
        self.labels = {number: label for label, number in enumerate(self.categories, 1)}

    def read_images(self, entries: list[Any]) -> None:
        """Images in the order of their ids."""
        found: dict[Key, AnnotatedImage] = {}
        for entry in entries:
            key = entry.get("id") if isinstance(entry, dict) else None
            if key is None or not is_key(key) or key in found:
                self.fault(IMAGES, entry)
            else:
                found[key] = self.image(key, entry)
        self.images = [found[key] for key in sorted(found, key=in_order)]
        self.places = {image.key: place for place, image in enumerate(self.images)}
        names: dict[Path, str] = {}
        for image in self.images:
            if image.path and names.setdefault(image.path, image.name) != image.name:
                self.fault(SHARED, f"{names[image.path]}, {image.name}: {image.path}")

    def image(self, key: Key, entry: dict[str, Any]) -> AnnotatedImage:
        """An image, its file and its size where there are such."""
        name = entry.get("file_name")
        name = name if isinstance(name, str) and name else str(key)
        size = whole_size(entry.get("height"), entry.get("width"))
        if size is None and ("height" in entry or "width" in entry):
            self.fault(NO_SIZE, name)
        return AnnotatedImage(key, name, self.files.find(name), size)

    def read_object(self, entry: Any, number: int) -> None:
        """Take in annotation `number`."""
        if not isinstance(entry, dict):
            return self.fault(NO_BOX, f"annotation {number}: {entry!r}")
        key, category = entry.get("image_id"), entry.get("category_id")
        box, area, crowd = entry.get("bbox"), entry.get("area"), entry.get("iscrowd") or 0
        if not is_key(key) or key not in self.places:
            return self.fault(NO_IMAGE, f"annotation {number}: image_id {key!r}")
        where = f"{self.images[self.places[key]].name}, annotation {number}"
        if type(category) is not int or category not in self.labels:
            return self.fault(UNKNOWN, f"{where}: category_id {category!r}")
        if not isinstance(box, list) or len(box) != 4 or not finite(box):
            return self.fault(NO_BOX, f"{where}: {box!r}")
        if area is not None and not (type(area) in (int, float) and abs(area) <= 1e18):
            return self.fault(NO_AREA, f"{where}: {area!r}")
        if crowd not in (0, 1):
            return self.fault(NO_CROWD, f"{where}: {crowd!r}")
        x, y, width, height = box
        own = width * height
        corners = (x, y, x + width, y + height)
        row = (self.places[key], self.labels[category], corners, own, own if area is None else area)
        self.objects.append(Object(*row, crowd=bool(crowd)))
        return None

    def annotations(self, name: str) -> Annotations:
        """All of it."""
        return Annotations.of(
            name,
            self.classes,
            self.images,
            self.objects,
            categories=self.categories,
            faults=self.faults,
        )


def shortened(value: Any, limit: int = 200) -> str:
    """A value in few words."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else f"{text[:limit]} ..."
