"""What a detector found: one record, read from COCO's results or from VOC's files of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from ..common.expecting import Each, expects
from ..common.files import read_text
from .annotations import Annotations
from .boxes import Boxes
from .coco import read_checked_json, shortened
from .numbers import columns, finite, finite_array


class Detection(NamedTuple):
    """A detection: the place of its image, its label 1 .. K, its box and score."""

    image: int
    label: int
    box: tuple[float, float, float, float]
    box_area: float
    score: float


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections in columns, as they stand in the file: `image`, `label` as in `Annotations`.

    `left_out` says how many were of classes that the annotations don't have.
    """

    image: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    box: Boxes
    box_area: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]
    left_out: int = 0

    @classmethod
    @expects(rows=Each(Detection), left_out=int)
    def of(cls, rows: Sequence[Detection], left_out: int = 0) -> Detections:
        """From rows to columns."""
        return cls(left_out=left_out, **columns(rows, Detection))

    def __len__(self) -> int:
        return len(self.image)

    def where(self, chosen: npt.NDArray[np.bool_]) -> Detections:
        """Some of them."""
        return replace(self, **{name: getattr(self, name)[chosen] for name in Detection._fields})


@expects(path=Path, annotations=Annotations)
def read_detections(path: Path, annotations: Annotations) -> Detections:
    """Detections on the annotated images, from one of these files:

    - COCO's results: a JSON list of {"image_id", "category_id", "bbox": [x, y, w, h], "score"};
    - the same as `annotations` of an object; where it lists `images` and `categories` as well,
      their names count instead of their ids;
    - VOC's: a folder of files such as `comp4_det_test_dog.txt`, or one of them, with lines
      `image score xmin ymin xmax ymax`, pixels counted from 1.

    Detections of classes that the annotations don't have are left out and counted. Raises:
    FileNotFoundError, or ValueError for images that the annotations don't have, and for entries
    that are none.
    """
    if path.is_dir() or path.suffix == ".txt":
        return read_texts(path, annotations)
    content = read_checked_json(path)
    images: dict[Any, int] = by_key(annotations)
    classes: dict[Any, int] = {c: label for label, c in enumerate(annotations.categories, 1)}
    if isinstance(content, dict):
        if listed := listed_names(path, content, "images", "file_name"):
            images = places_of_listed(path, listed, ImageNames(annotations))
        if listed := listed_names(path, content, "categories", "name"):
            classes = labels_of_listed(path, listed, annotations.classes)
        content = content.get("annotations")
    if not isinstance(content, list):
        raise ValueError(
            f"{path}: expected a list of detections, each with image_id, category_id, bbox, score"
        )
    return from_entries(path, content, images, classes)


def by_key(annotations: Annotations) -> dict[Any, int]:
    """Places of images by their ids; images that are called by numbers, also by these.

    A number that two names have, as 7 and 007, is none of an image.
    """
    keys = [image.key for image in annotations.images]
    numbers = [(int(k), p) for p, k in enumerate(keys) if isinstance(k, str) and k.isdecimal()]
    times = Counter(number for number, _ in numbers)
    once = {number: place for number, place in numbers if times[number] == 1}
    return once | {key: place for place, key in enumerate(keys)}


class ImageNames:
    """Finds images by their whole names, else by those without folder and suffix."""

    def __init__(self, annotations: Annotations) -> None:
        self.names = [image.name for image in annotations.images]
        self.whole: dict[str, list[int]] = {}
        self.stems: dict[str, list[int]] = {}
        for place, name in enumerate(self.names):
            self.whole.setdefault(name, []).append(place)
            self.stems.setdefault(Path(name).stem, []).append(place)

    def find(self, path: Path, name: str, stem: str) -> int:
        """The place of an image that `path` names, or -1. Raises: ValueError for one of several."""
        first, *others = self.whole.get(name) or self.stems.get(stem) or [-1]
        if others:
            raise ValueError(
                f"{path}: image {shortened(name)} may be {shortened(self.names[first])} or "
                f"{shortened(self.names[others[0]])}: give whole names, with folder and suffix"
            )
        return first


def listed_names(path: Path, content: dict[str, Any], table: str, field: str) -> dict[Any, str]:
    """The names that a list gives its ids; entries without a name don't count.

    Raises: ValueError for what is no list, or an id with two names.
    """
    entries = content.get(table) or []
    if not isinstance(entries, list):
        raise ValueError(f"{path}: expected a list of {table}, but got {shortened(entries)}")
    names: dict[Any, str] = {}
    for entry in entries:
        key, name = (entry.get(f) if isinstance(entry, dict) else None for f in ("id", field))
        if not (isinstance(key, str | int) and isinstance(name, str)):
            continue
        if names.setdefault(key, name) != name:
            raise ValueError(
                f"{path}: the id {key!r} of {table} stands for {shortened(names[key])} and "
                f"{shortened(name)}: give each one of its own"
            )
    return names


def labels_of_listed(path: Path, names: dict[Any, str], classes: Sequence[str]) -> dict[Any, int]:
    """Labels by the ids of the file's own classes. Raises: ValueError where none is known."""
    labels = {name: label for label, name in enumerate(classes, 1)}
    known = {key: labels[name] for key, name in names.items() if name in labels}
    if not known:
        raise ValueError(
            f"{path} lists the categories {shortened(', '.join(names.values()))}, but annotated "
            f"are {shortened(', '.join(classes))}: call them alike"
        )
    return known


def places_of_listed(path: Path, names: dict[Any, str], images: ImageNames) -> dict[Any, int]:
    """Places by the ids of the file's own images; ValueError where two have the same place."""
    places = {key: images.find(path, name, Path(name).stem) for key, name in names.items()}
    found = {key: place for key, place in places.items() if place >= 0}
    last = {place: key for key, place in found.items()}
    for key, place in found.items():
        if last[place] != key:
            raise ValueError(
                f"{path} lists {shortened(names[last[place]])} and {shortened(names[key])}, but of "
                f"the annotated images only {shortened(images.names[place])} fits: name the images "
                "as the annotations do"
            )
    return found


def from_entries(
    path: Path, entries: list[Any], images: dict[Any, int], labels: dict[Any, int]
) -> Detections:
    """The entries of known classes; ValueError where there are some, but none is known."""
    if not entries:
        return Detections.of([])
    made = in_columns(entries, images, labels)
    if made is None:
        refuse_entry(path, entries)
    if (made.image < 0).any():
        first = int(np.argmax(made.image < 0))
        refuse_image(path, first + 1, entries[first]["image_id"])
    known = made.label > 0
    if not known.any():
        raise ValueError(
            f"{path}: no detection is of a class that the annotations have; category_id is "
            f"{shortened(entries[0]['category_id'])}, say, but expected one of "
            f"{shortened(list(labels))}"
        )
    return replace(made.where(known), left_out=int((~known).sum()))


def in_columns(
    entries: list[Any], images: dict[Any, int], labels: dict[Any, int]
) -> Detections | None:
    """All entries, with image -1 and label 0 for unknown ones; None where one is no detection."""
    try:
        boxes, scores = ([entry[field] for entry in entries] for field in ("bbox", "score"))
        ids = (entry[field] for field in ("image_id", "category_id") for entry in entries)
        if bool in set(map(type, ids)) or not set(map(type, chain(scores, *boxes))) <= {int, float}:
            return None
        box, score = np.array(boxes, np.float64), np.array(scores, np.float64)
        image = np.array([images.get(entry["image_id"], -1) for entry in entries])
        label = np.array([labels.get(entry["category_id"], 0) for entry in entries])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    if box.shape != (len(entries), 4) or score.ndim != 1:
        return None
    if not all(finite_array(array) for array in (box, score)):
        return None
    area = box[:, 2] * box[:, 3]
    box[:, 2:] += box[:, :2]
    return Detections(image, label, box, area, score)


def refuse_entry(path: Path, entries: list[Any]) -> NoReturn:
    """Raises: ValueError that names the first entry that is no detection."""
    number, entry = next((n, e) for n, e in enumerate(entries, 1) if not is_detection(e))
    raise ValueError(
        f"{path}: entry {number} is no detection: expected image_id, category_id, a bbox of four "
        f"finite numbers and a score, but got {shortened(entry)}"
    )


def is_detection(entry: Any) -> bool:
    """Whether an entry has what a detection has."""
    if not isinstance(entry, dict) or not isinstance(entry.get("bbox"), list):
        return False
    ids = (entry.get("image_id", []), entry.get("category_id", []))
    numbers = [*entry["bbox"], entry.get("score")]
    return (
        len(numbers) == 5
        and finite(numbers)
        and not any(isinstance(i, list | dict | bool) for i in ids)
    )


def refuse_image(path: Path, number: int, key: Any) -> NoReturn:
    """Raises: ValueError for entry or line `number`, of an image that is not annotated."""
    raise ValueError(
        f"{path}: entry {number} is of image {shortened(key)}, which is not annotated: do both"
        " files belong to the same images?"
    )


def read_texts(path: Path, annotations: Annotations) -> Detections:
    """VOC's files of text."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}")
    paths = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    files = {p: class_of(p, annotations.classes) for p in paths}
    if not any(files.values()):
        raise ValueError(
            f"{path}: expected a text file a class, such as "
            f"comp4_det_test_{annotations.classes[0] if annotations.classes else 'dog'}.txt"
        )
    for label, times in Counter(filter(None, files.values())).items():
        if times > 1:
            names = ", ".join(p.name for p in paths if files[p] == label)
            raise ValueError(
                f"{path} holds several files of {annotations.classes[label - 1]} ({names}): leave "
                "those of one detector there"
            )
    images = ImageNames(annotations)
    rows = [row for p, label in files.items() if label for row in text_rows(p, label, images)]
    left_out = sum(len(read_text(p).splitlines()) for p, label in files.items() if not label)
    return Detections.of(rows, left_out)


def class_of(path: Path, classes: Iterable[str]) -> int:
    """The label of the class that a file's name ends with, the longest; or 0."""
    fitting = {
        len(name): label
        for label, name in enumerate(classes, 1)
        if path.stem == name or path.stem.endswith(f"_{name}")
    }
    return fitting[max(fitting)] if fitting else 0


def text_rows(path: Path, label: int, images: ImageNames) -> list[Detection]:
    """The detections of one class."""
    lines = enumerate(read_text(path).splitlines(), 1)
    return [text_row(path, number, line, label, images) for number, line in lines if line.strip()]


def text_row(path: Path, number: int, line: str, label: int, images: ImageNames) -> Detection:
    """A line: the name of an image may hold blanks."""
    name, *rest = line.strip().rsplit(maxsplit=5)
    try:
        values = [float(part) for part in rest]
    except ValueError:
        values = []
    if len(values) != 5 or not finite(values):
        raise ValueError(
            f"{path}: expected `image score xmin ymin xmax ymax` in line {number}, but got "
            f"{shortened(line)!r}"
        )
    score, x1, y1, x2, y2 = values
    place = images.find(path, name, name)
    if place < 0:
        refuse_image(path, number, name)
    size = (x2 - x1 + 1) * (y2 - y1 + 1)
    return Detection(place, label, (x1 - 1, y1 - 1, x2, y2), size, score)
