"""The built-in set for detection: scenes with one to four of the built-in drawings, from a seed.

A box is the extent of what an object's parts paint (pixels covered by more than half), so it is
exact. An object of which later ones hide more than half is "difficult"; its area is that of its own
pixels. Mirroring a scene left to right gives a scene.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..common.expecting import COUNT, SEED, expects
from ..data.builtin import CLASSES, OBJECTS, _bar, _blob, _surroundings
from ..data.drawing import Array, Canvas, Colour
from .annotations import AnnotatedImage, Annotations, Object
from .sets import DetectionData, DetectionSet

NAME, SIZE = "built-in scenes", 128
MOST, TRIES = 4, 5  # objects of a scene; places tried for each
SCALES = (0.12, 0.5)  # of an object's side in the scene's
LARGEST_OVERLAP = 0.3  # of the smaller one of two boxes
HIDDEN = 0.5

Mask = npt.NDArray[np.bool_]  # (size, size)
Box = tuple[int, int, int, int]


class Thing(NamedTuple):
    """An object as it was painted."""

    label: int
    mask: Mask
    box: Box


class MaskedCanvas(Canvas):
    """A canvas of one image that knows which pixels have been painted since `begin`."""

    def begin(self) -> None:
        """Forget what has been painted."""
        self.covered = np.zeros((1, self.size, self.size), np.float32)

    def lay(self, cover: Array, colour: Colour) -> None:
        """Lay a colour, and note where."""
        np.maximum(self.covered, cover, out=self.covered)
        super().lay(cover, colour)


@expects(train=SEED, test=SEED, seed=SEED, size=COUNT)
def scenes(*, train: int = 2000, test: int = 500, seed: int = 0, size: int = SIZE) -> DetectionData:
    """Draw `train` and `test` scenes of size x size pixels.

    The same seed and size give the same scenes, and a scene does not depend on how many there are.
    Raises: ValueError for fewer than 32 pixels.
    """
    if size < 32:
        raise ValueError(f"scenes need at least 32 pixels, but size is {size}")
    parts = {"training": (train, 0), "test": (test, 1)}
    sets = [split(f"{NAME}, {n}", count, (seed, k), size) for n, (count, k) in parts.items()]
    return DetectionData(NAME if size == SIZE else f"{NAME}, {size} x {size}", *sets)


def split(name: str, count: int, seed: tuple[int, int], size: int) -> DetectionSet:
    """Scenes of one split, on all cores, each from a seed of its own."""

    def draw(number: int) -> tuple[npt.NDArray[np.uint8], list[Object]]:
        return scene(np.random.default_rng((*seed, number)), size, number)

    with ThreadPoolExecutor() as pool:
        drawn = list(pool.map(draw, range(count)))
    shape = (size, size)
    images = [AnnotatedImage(number, f"scene {number}", None, shape) for number in range(count)]
    objects = [thing for _, things in drawn for thing in things]
    pixels = np.array([image for image, _ in drawn], np.uint8).reshape(count, *shape, 3)
    return DetectionSet(Annotations.of(name, CLASSES, images, objects), pixels)


def scene(
    rng: np.random.Generator, size: int, number: int
) -> tuple[npt.NDArray[np.uint8], list[Object]]:
    """One scene: surroundings, clutter, objects; and what is in it."""
    canvas = MaskedCanvas(1, rng, size)
    canvas.begin()
    _surroundings(canvas, int(rng.integers(len(OBJECTS))))
    _blob(canvas)
    _blob(canvas)
    _bar(canvas)
    things: list[Thing] = []
    for _ in range(int(rng.integers(1, MOST + 1))):
        things += place(canvas, things)
    return canvas.developed()[0], list(annotated(things, number))


def place(canvas: MaskedCanvas, others: list[Thing]) -> list[Thing]:
    """Paint an object where it hides little of others; nothing if no such place is found."""
    label, before = int(canvas.rng.integers(len(CLASSES))), canvas.images.copy()
    for _ in range(TRIES):
        scale = float(np.exp(canvas.rng.uniform(*np.log(SCALES))))
        canvas.place(scale=(scale, scale), tilt=0.3, reach=1 - scale, stretch=(0.75, 1.3))
        canvas.begin()
        OBJECTS[CLASSES[label]][0](canvas)
        mask = canvas.covered[0] > 0.5
        if mask.any() and not any(crowds(extent(mask), other.box) for other in others):
            return [Thing(label + 1, mask, extent(mask))]
        canvas.images[...] = before
    return []


def extent(mask: Mask) -> Box:
    """The box around the pixels of a mask: pixel i covers [i, i + 1)."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def crowds(a: Box, b: Box) -> bool:
    """Whether two boxes share too much of the smaller one."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (a, b))
    return max(width, 0) * max(height, 0) > LARGEST_OVERLAP * smaller


def annotated(things: list[Thing], number: int) -> Iterator[Object]:
    """The objects of scene `number`; later ones lie before earlier ones."""
    for place, (label, mask, box) in enumerate(things):
        before = [other.mask for other in things[place + 1 :]]
        hidden = (mask & np.any(before, axis=0)).sum() / mask.sum() if before else 0.0
        x1, y1, x2, y2 = box
        corners = (float(x1), float(y1), float(x2), float(y2))
        own = float((x2 - x1) * (y2 - y1))
        yield Object(number, label, corners, own, float(mask.sum()), bool(hidden > HIDDEN))
