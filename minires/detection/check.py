"""Is a set of annotations fit for training? What a detector would stumble over, named beforehand.

`wrong` is what training can't use or what makes it learn nonsense; `strange` is what may be meant
so. Most questions about detectors that learn nothing end at one of these, or at anchors far larger
than the objects.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .anchors import SIZES, STRIDE, best_iou, shapes
from .annotations import AnnotatedImage, Annotations, Fault, images_in
from .boxes import Array, area, clip_each, resized
from .coco import shortened

Flags = npt.NDArray[np.bool_]
MISSING, BROKEN = "images whose files are missing", "images that can't be read"


@dataclass(frozen=True)
class Viewing:
    """How a network will see the images: its anchors, and the sizes that images are scaled to.

    `border` says whether anchors that cross the edge of an image are trained.
    """

    sizes: tuple[float, ...] = SIZES
    shorter: int = 600
    longer: int = 1000
    stride: int = STRIDE
    border: bool = True


@dataclass(frozen=True, eq=False)
class Check:
    """What was found; `image_sizes` are heights and widths (images, 2), 0 where nothing says."""

    annotations: Annotations
    viewing: Viewing
    image_sizes: npt.NDArray[np.int64]
    wrong: tuple[Fault, ...]
    strange: tuple[Fault, ...]

    @cached_property
    def cut(self) -> Array:
        """Boxes cut to their image, as in training; of one of unknown size nothing is left."""
        return clip_each(self.annotations.box, self.image_sizes[self.annotations.image])

    @cached_property
    def usable(self) -> Flags:
        """Objects with an area in their image, whose size is known, that are no crowds."""
        return (area(self.cut) > 0) & ~self.annotations.crowd

    @cached_property
    def sides(self) -> Array:
        """Square root of the area of each usable object as the network sees it, in pixels."""
        return np.sqrt(area(self.seen[0]))

    @cached_property
    def seen(self) -> tuple[Array, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The usable boxes as the network sees them, the sizes of their maps and images."""
        a, view = self.annotations, self.viewing
        sizes = self.image_sizes[a.image[self.usable]]
        new = resized(sizes, view.shorter, view.longer)
        scale = (new / sizes)[:, ::-1]
        return self.cut[self.usable] * np.tile(scale, 2), -(-new // view.stride), new

    def overlap(self, sizes: Sequence[float] | None = None) -> Array:
        """The largest overlap of each usable object with an anchor."""
        (boxes, maps, images), view = self.seen, self.viewing
        edge = None if view.border else images
        return best_iou(boxes, maps, shapes(sizes or view.sizes), view.stride, edge)

    def better_sizes(self) -> tuple[tuple[int, ...], float] | None:
        """Three sizes of anchors that fit at least 5 % more of the objects, and the share of them.

        "Fit" is an overlap of one half or more.
        """
        others = [tuple(start << place for place in range(3)) for start in (8, 16, 32, 64, 128)]
        overlaps = [self.overlap(sizes) for sizes in others]
        fits = [(share(o >= 0.5), share(o), s) for o, s in zip(overlaps, others, strict=True)]
        fitting, _, best = max(fits)
        return (best, fitting) if fitting >= share(self.overlap() >= 0.5) + 0.05 else None


def share(values: Array | Flags) -> float:
    """The mean, 0 of nothing."""
    return float(values.mean()) if len(values) else 0.0


def refuse_unseen(name: str, faults: Iterable[Fault]) -> None:
    """Raises: ValueError where image files are missing or broken: training would stop at them."""
    unseen = [fault for fault in faults if fault.kind in (MISSING, BROKEN)]
    if unseen:
        raise ValueError(
            f"{name}: {len(unseen)} {unseen[0].kind}, such as {unseen[0].text}: put them in their "
            "place, or take their annotations out"
        )


def check(
    annotations: Annotations,
    viewing: Viewing | None = None,
    *,
    whole: bool = True,
    watch: Callable[[Iterable[AnnotatedImage]], Iterable[AnnotatedImage]] = iter,
) -> Check:
    """Look through annotations and the heads of their image files.

    Args:
        annotations: what to look through.
        viewing: the network that shall be trained.
        whole: whether files in the images' folders that are not annotated are worth a word.
        watch: wraps the images while their files are opened, for a progress bar.
    """
    sizes, of_files = image_sizes(annotations, watch)
    wrong = [*annotations.faults, *empty(annotations), *of_files]
    wrong += boxes_wrong(annotations, sizes)
    strange = [*boxes_strange(annotations, sizes), *sets_strange(annotations)]
    strange += unused_files(annotations) if whole else []
    return Check(annotations, viewing or Viewing(), sizes, tuple(wrong), tuple(strange))


def empty(annotations: Annotations) -> Iterator[Fault]:
    """Sets that nobody can train with."""
    if not annotations.images:
        yield Fault("sets without images", annotations.name)
    if not len(annotations):
        yield Fault("sets without objects", annotations.name)


def image_sizes(
    annotations: Annotations,
    watch: Callable[[Iterable[AnnotatedImage]], Iterable[AnnotatedImage]],
) -> tuple[npt.NDArray[np.int64], list[Fault]]:
    """Heights and widths, of the files where there are such; and what is wrong with the files."""
    sizes, faults = np.zeros((len(annotations.images), 2), np.int64), []
    for place, image in enumerate(watch(annotations.images)):
        sizes[place], fault = image_size(image)
        faults += [fault] if fault else []
    return sizes, faults


def image_size(image: AnnotatedImage) -> tuple[tuple[int, int], Fault | None]:
    """The height and width of an image, and what is wrong with its file."""
    annotated = image.size or (0, 0)
    if image.path is None:
        return annotated, Fault(MISSING, shortened(image.name))
    try:
        size = size_of_file(image.path)
    except ValueError as error:
        return annotated, Fault(BROKEN, str(error))
    if image.size and size != image.size:
        turned = " (is it turned by its EXIF tag?)" if size == image.size[::-1] else ""
        text = f"{image.name}: {by(size)} pixels, annotated as {by(image.size)}{turned}"
        return size, Fault("images of another size than annotated", text)
    return size, None


def size_of_file(path: Path) -> tuple[int, int]:
    """Height and width from the head of an image file; nothing is decoded.

    Raises: ValueError with the path and the reason.
    """
    from PIL import Image

    from ..data.images import reason

    try:
        with Image.open(path) as file:
            return file.height, file.width
    except Exception as error:
        raise ValueError(f"{path}: {reason(error)}") from None


def by(size: tuple[int, int]) -> str:
    """Width x height, as people say it."""
    return f"{size[1]} x {size[0]}"


def boxes_wrong(annotations: Annotations, sizes: npt.NDArray[np.int64]) -> Iterator[Fault]:
    """Boxes that hold nothing."""
    sides = (annotations.box[:, 2:] - annotations.box[:, :2]).min(axis=1)
    inside = area(clip_each(annotations.box, sizes[annotations.image])) > 0
    known = sizes[annotations.image, 0] > 0
    yield from boxes_at(annotations, "boxes without area", sides <= 0)
    small = (sides > 0) & (sides <= 1)
    yield from boxes_at(annotations, "boxes no more than 1 pixel wide or high", small)
    outside = (sides > 0) & known & ~inside
    yield from boxes_at(annotations, "boxes outside their image", outside)


def boxes_strange(annotations: Annotations, sizes: npt.NDArray[np.int64]) -> Iterator[Fault]:
    """Boxes across the edge of their image, and objects annotated twice."""
    clipped = clip_each(annotations.box, sizes[annotations.image])
    over = abs(annotations.box - clipped).max(axis=1) * (area(clipped) > 0)
    slightly = "boxes up to 1 pixel outside their image (are pixels counted from 0, or from 1?)"
    yield from boxes_at(annotations, slightly, (over > 0) & (over <= 1))
    yield from boxes_at(annotations, "boxes partly outside their image", over > 1)
    rows = np.column_stack([annotations.image, annotations.label, annotations.box])
    _, first = np.unique(rows, axis=0, return_index=True)
    again = np.ones(len(rows), bool)
    again[first] = False
    yield from boxes_at(annotations, "objects annotated twice", again)


def boxes_at(annotations: Annotations, kind: str, where: Flags) -> Iterator[Fault]:
    """A fault for each of some objects, with its box."""
    for number in np.flatnonzero(where):
        x1, y1, x2, y2 = annotations.box[number]
        text = f"{annotations.title(number)}: x {x1:g} to {x2:g}, y {y1:g} to {y2:g}"
        size = annotations.images[annotations.image[number]].size
        yield Fault(kind, f"{text} of {by(size)}" if size else text)


def sets_strange(annotations: Annotations) -> Iterator[Fault]:
    """Images and classes without objects, images listed twice, classes written in two ways."""
    objects = np.bincount(annotations.image, minlength=len(annotations.images))
    for place in np.flatnonzero(objects == 0):
        yield Fault("images without objects", annotations.images[place].name)
    counts = np.bincount(annotations.label, minlength=len(annotations.classes) + 1)
    for name, count in zip(annotations.classes, counts[1:], strict=True):
        if not count:
            yield Fault("classes without objects", name)
    files = Counter(image.path for image in annotations.images if image.path)
    for path, times in files.items():
        if times > 1:
            yield Fault("image files listed twice", path.name)
    alike: dict[str, list[str]] = {}
    for name in annotations.classes:
        alike.setdefault(re.sub(r"[\W_]", "", name).casefold(), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            yield Fault("classes that differ in spelling alone", ", ".join(map(repr, names)))


def unused_files(annotations: Annotations) -> list[Fault]:
    """Image files beside the annotated ones that nothing annotates."""
    used = {image.path for image in annotations.images if image.path}
    files = (Path(entry) for folder in {p.parent for p in used} for entry in images_in(folder))
    return [
        Fault("image files without annotations", f.name) for f in sorted(files) if f not in used
    ]
