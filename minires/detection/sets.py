"""What a detector is trained on: annotated images with their pixels, in two splits, and batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..common.expecting import expects
from ..data.batches import epoch_order
from ..data.images import open_image
from ..data.prefetch import Prefetch
from ..kernels.devices import move
from .annotations import Annotations
from .boxes import Array, Boxes, clip, resized
from .detecting import Pixels, enlarge, normalised, padded
from .matching import Places
from .network import Size
from .settings import Settings

FLIPS, DRAWS, SCALES = 2, 3, 4  # streams of random numbers beside those of `data/batches.py`
AHEAD = 4  # batches that threads make while a GPU computes
ENDLESS = 1 << 62  # steps: more than any training has


@expects(annotations=Annotations, images=np.ndarray)
@dataclass(frozen=True, eq=False)
class DetectionSet:
    """Annotated images, and their pixels (N, H, W, 3) where they are in memory."""

    annotations: Annotations
    images: npt.NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        count, pixels = len(self.annotations.images), self.images
        if pixels is not None and (
            pixels.dtype != np.uint8 or pixels.shape[::3] != (count, 3) or pixels.ndim != 4
        ):
            raise ValueError(
                f"the pixels of {self.annotations.name} must be bytes, uint8 ({count}, H, W, 3), "
                f"but are {pixels.dtype} {pixels.shape}"
            )

    def __len__(self) -> int:
        return len(self.annotations.images)

    def pixels(self, place: int) -> Pixels:
        """An image, RGB. Raises: BrokenImageError, or ValueError where it has no file."""
        if self.images is not None:
            return np.asarray(self.images[place])
        image = self.annotations.images[place]
        if image.path is None:
            raise ValueError(f"the file of {image.name} is missing: put it where it belongs")
        return np.asarray(open_image(image.path))

    def objects(self, place: int) -> tuple[Boxes, Places]:
        """Boxes and labels of an image's objects, without crowds and boxes without area."""
        part = self.annotations.of_image(place)
        boxes, labels = self.annotations.box[part], self.annotations.label[part]
        chosen = ~self.annotations.crowd[part] & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        return boxes[chosen], labels[chosen]


@expects(name=str, train=DetectionSet, test=DetectionSet)
@dataclass(frozen=True, eq=False)
class DetectionData:
    """Two sets of the same classes, to train on and to test."""

    name: str
    train: DetectionSet
    test: DetectionSet

    def __post_init__(self) -> None:
        train, test = self.train.annotations, self.test.annotations
        if train.classes != test.classes:
            raise ValueError(
                f"{train.name} has the classes {', '.join(train.classes)}, but {test.name} "
                f"{', '.join(test.classes)}: read both with the same classes=[...]"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels 1 .. K."""
        return self.train.annotations.classes

    @property
    def train_images(self) -> DetectionSet:
        """What a run's configuration counts."""
        return self.train

    @property
    def test_labels(self) -> Any:
        """The same of the test, one an image."""
        return np.zeros(len(self.test))


class DetectionBatch(NamedTuple):
    """Images (N, H, W, 3) of one size, normalised; sizes without padding; objects of each."""

    images: Array
    sizes: list[Size]
    boxes: list[Boxes]
    labels: list[Places]


class DetectionBatches:
    """Training batches: batch `step` is a pure function of the data, `seed` and `step`.

    Half of the images are mirrored. With `scales`, the shorter side of each image is drawn from
    these numbers of pixels; the longer one keeps its limit. Smaller images are padded at their
    right and lower edge. For a GPU, threads make the batches that follow while it computes.
    """

    def __init__(
        self,
        data: DetectionSet,
        batch_size: int,
        seed: int,
        settings: Settings,
        *,
        flips: bool = True,
        scales: Sequence[int] = (),
        dtype: npt.DTypeLike = np.float32,
        device: str = "cpu",
    ) -> None:
        if not 1 <= batch_size <= len(data):
            raise ValueError(f"batch_size must be 1 to {len(data)}, all images, not {batch_size}")
        self.data, self.batch_size, self.seed, self.settings = data, batch_size, seed, settings
        self.flips, self.dtype, self.device, self.due = flips, dtype, device, 0
        self.scales = np.array(scales or [settings.shorter])
        self.stream: Iterator[DetectionBatch] = iter(())
        self.streamed = -1  # the step of the stream's next batch

    def __len__(self) -> int:
        return len(self.data) // self.batch_size

    def seek(self, step: int) -> None:
        """Make `step` the next batch."""
        self.due = step

    def next(self) -> DetectionBatch:
        """The next batch, in the order of steps."""
        step, self.due = self.due, self.due + 1
        if self.device == "cpu":
            return self.made(step)
        if step != self.streamed:
            ahead = Prefetch(lambda n: self.made(step + n), ENDLESS, workers=AHEAD, ahead=AHEAD)
            self.stream = iter(ahead)
        self.streamed = -1  # an image that can't be read ends the stream
        batch = next(self.stream)
        self.streamed = self.due
        return self.moved(batch)

    def batch(self, step: int) -> DetectionBatch:
        """The batch of a step; steps count from 0 and run on through the epochs."""
        return self.moved(self.made(step))

    def moved(self, batch: DetectionBatch) -> DetectionBatch:
        """Its images on the device."""
        return batch._replace(images=move(batch.images, self.device))

    def made(self, step: int) -> DetectionBatch:
        """The batch of a step on the host."""
        epoch, place = divmod(step, len(self))
        order = epoch_order(len(self.data), self.seed, epoch)
        chosen = order[place * self.batch_size : (place + 1) * self.batch_size].tolist()
        mirrored = np.random.default_rng([self.seed, FLIPS, step]).random(len(chosen)) < 0.5
        draw = np.random.default_rng([self.seed, SCALES, step]).integers
        shorter = self.scales[draw(len(self.scales), size=len(chosen))].tolist()
        each = zip(chosen, (mirrored & self.flips).tolist(), shorter, strict=True)
        images, boxes, labels = zip(*(self.example(*one) for one in each), strict=True)
        sizes = [image.shape[:2] for image in images]
        together = padded(images, self.settings.multiple)
        return DetectionBatch(together, sizes, list(boxes), list(labels))

    def example(self, place: int, mirrored: bool, shorter: int) -> tuple[Array, Boxes, Places]:
        """An image as the network sees it, and its objects there."""
        pixels = self.data.pixels(place)
        old = np.array(pixels.shape[:2])
        boxes, labels = cut(*self.data.objects(place), *old)
        new = resized(old, shorter, self.settings.longer)
        image = normalised(pixels, self.dtype)
        image = enlarge(image, tuple(new.tolist())) if (new != old).any() else image
        boxes = boxes * np.tile((new / old)[::-1], 2)
        return (*mirror(image, boxes), labels) if mirrored else (image, boxes, labels)

    def generator(self, step: int) -> np.random.Generator:
        """What draws the samples of anchors and regions of a step."""
        return np.random.default_rng([self.seed, DRAWS, step])


def cut(boxes: Boxes, labels: Places, height: float, width: float) -> tuple[Boxes, Places]:
    """Boxes cut to their image, and their labels; what lies outside is left out.

    Nobody can see how far a box reaches beyond the edge: a slip of a digit would be a target.
    """
    boxes = clip(boxes, height, width)
    there = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return boxes[there], labels[there]


def mirror(image: Array, boxes: Boxes) -> tuple[Array, Boxes]:
    """An image (H, W, 3) and its boxes, left to right; twice is as it was."""
    width = image.shape[1]
    flipped = boxes.copy()
    flipped[:, [0, 2]] = width - boxes[:, [2, 0]]
    return np.ascontiguousarray(image[:, ::-1]), flipped


def first(data: DetectionSet, count: int | None) -> DetectionSet:
    """The first so many images, or all."""
    if count is None or count >= len(data):
        return data
    whole, end = data.annotations, data.annotations.of_image(count).start
    columns = ("image", "label", "box", "box_area", "area", "difficult", "crowd")
    some: Any = {name: getattr(whole, name)[:end] for name in columns}
    pixels = None if data.images is None else data.images[:count]
    return DetectionSet(replace(whole, images=whole.images[:count], **some), pixels)
