"""Images to be opened as a data set for training, by threads while the network computes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..common.expecting import COUNT, PAIR, Each, expects
from ..kernels import crop_flip
from ..kernels.devices import move, upload
from .augmentation import Sides, random_part, random_view
from .batches import PADDING, Batch, Preparation, epoch_order, no_crops
from .folders import SomeImages
from .images import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, center_crop, resize
from .prefetch import Prefetch

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = npt.NDArray[np.uint8]
AT_ONCE = 16  # views that a thread makes one after the other, with one generator
ENDLESS = 1 << 62  # parts of a stream: more than any training sees
RESIZE = 256 / 224  # shorter side of a test image, by the side of its middle that a network sees
TEST_PIXELS = 32 * 224 * 224  # that a network sees at once in a test, to limit memory


@expects(name=str, size=COUNT, sides=Each(COUNT, PAIR))
@dataclass(frozen=True, eq=False)
class Photographs:
    """Images for training and testing, which networks see as size x size pixels.

    Training sees random parts, a test the middle. With `sides`, two lengths in pixels, those are
    He et al.'s: an image's shorter side gets a random length out of them, and a part is cut out.
    Without, they are torchvision's (`augmentation.py`). All are normalised by the moments of
    ImageNet, as torchvision's weights expect. `Trainer` takes it in place of a `Dataset`.
    """

    name: str
    train: SomeImages
    test: SomeImages
    size: int = 224
    sides: Sides | None = None
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)

    def __post_init__(self) -> None:
        if self.sides and not self.size <= self.sides[0] <= self.sides[1]:
            raise ValueError(
                f"sides must be two lengths in rising order, from {self.size} on, the pixels that "
                f"networks see, but are {self.sides}"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """What the outputs of a network mean."""
        return self.train.classes.names

    @property
    def train_images(self) -> SomeImages:
        """What a run's configuration counts."""
        return self.train

    @property
    def test_labels(self) -> npt.NDArray[np.int64]:
        """The class of each test image."""
        return np.array(self.test.labels, np.int64)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """What a network sees, (H, W, C)."""
        return self.size, self.size, 3

    @property
    def pixel_mean(self) -> npt.NDArray[np.float64]:
        """What is subtracted, (H, W, C), in grey levels 0 .. 255."""
        return np.full(self.image_shape, 255 * np.array(IMAGENET_MEAN))

    @property
    def channel_scale(self) -> npt.NDArray[np.float64]:
        """The factor of each channel, (C,)."""
        return 1 / (255 * np.array(IMAGENET_STD))

    @property
    def preprocessing(self) -> Preprocessing:
        """How a network that is trained on them sees other images."""
        return preprocessing_of(self.size)

    def training_batches(self, batch_size: int, seed: int, **place: Any) -> PhotographBatches:
        """Random views of the training images."""
        return PhotographBatches(self, batch_size, seed, **place)

    def evaluation_batches(
        self,
        split: str,
        batch_size: int,
        *,
        limit: int | None = None,
        first: int = 0,
        every: int = 1,
        **place: Any,
    ) -> Iterator[Batch]:
        """The middle of each image of a split, in order; of `limit`, evenly chosen.

        See `batches.evaluation_batches`; batches are smaller where images are large.
        """
        files: SomeImages = {"train": self.train, "test": self.test}[split]
        files = files if limit is None else files.first(limit)
        batch_size = max(1, min(batch_size, TEST_PIXELS // self.size**2))
        starts = range(first * batch_size, len(files), every * batch_size)
        batches = [range(len(files))[start : start + batch_size] for start in starts]
        numbers = [number for batch in batches for number in batch]
        parts = [numbers[start : start + AT_ONCE] for start in range(0, len(numbers), AT_ONCE)]
        views = ahead(
            lambda part: [self.middle(files, number) for number in parts[part]],
            len(parts),
            self.workers,
            -(-batch_size // AT_ONCE),
        )
        prepare = Preparation(self, **place)
        for batch in batches:
            images = np.stack(list(islice(views, len(batch))))
            labels = np.array([files.labels[number] for number in batch])
            yield prepare(images, labels, *no_crops(len(batch)))

    def cut(self, image: Image, rng: np.random.Generator) -> Pixels:
        """A random view of an image, as training sees it."""
        if self.sides:
            return random_part(image, self.size, self.sides, rng)
        return random_view(image, self.size, rng)

    def middle(self, files: SomeImages, number: int) -> Pixels:
        """The middle of an image, as evaluations see it."""
        whole: Any = np.asarray(resize(files.open(number), self.preprocessing.resize))
        return center_crop(whole, self.size)  # type: ignore[return-value]


def ahead(
    views_of: Callable[[int], list[Pixels]], count: int, workers: int, parts: int
) -> Iterator[Pixels]:
    """The views of parts 0 .. count - 1, each part made by a thread.

    A batch of so many `parts` lies ready while the next one is being made.
    """
    made = Prefetch(views_of, count, workers=workers, ahead=2 * parts + workers)
    return chain.from_iterable(made)


def preprocessing_of(size: int) -> Preprocessing:
    """How networks for size x size pixels see images: the middle of slightly larger ones."""
    return Preprocessing(round(size * RESIZE), size)


class PhotographBatches:
    """Batches of random views: batch `step` is a pure function of the files, `seed` and `step`.

    As of `Batches`, but `seek` puts the batch where the network computes, and `next` only prepares
    what is there: so a recorded step finds its own batch. Threads decode the batches that follow.
    """

    is_replayable = True

    def __init__(
        self,
        data: Photographs,
        batch_size: int,
        seed: int,
        *,
        dtype: npt.DTypeLike = np.float32,
        device: str = "cpu",
    ) -> None:
        if not 1 <= batch_size <= len(data.train):
            raise ValueError(
                f"batch_size must be 1 to {len(data.train)}, the training images of "
                f"{data.name!r}, but is {batch_size}"
            )
        self.data, self.batch_size, self.seed, self.device = data, batch_size, seed, device
        self.parts = -(-batch_size // AT_ONCE)  # of a batch
        self.prepare = Preparation(data, dtype, device)
        self.pixels = move(np.zeros((batch_size, *data.image_shape), np.uint8), device)
        self.labels = move(np.zeros(batch_size, np.int64), device)
        self.uncut = upload(no_crops(batch_size), device)
        self.due, self.there = -1, -1  # the batch that the stream has next, and the one in place
        self.stream: Iterator[Pixels] = iter(())

    def __len__(self) -> int:
        return len(self.data.train) // self.batch_size

    def batch(self, step: int) -> Batch:
        """Images (batch_size, H, W, C), normalised, and labels (batch_size,), on the device."""
        first = step * self.parts
        views = [view for n in range(first, first + self.parts) for view in self.views_of(n)]
        return self.prepare(np.stack(views), self.labels_of(step), *no_crops(self.batch_size))

    def seek(self, step: int) -> None:
        """Put the batch of `step` in place."""
        if step == self.there:
            return
        if step != self.due:
            self.stream = self.stream_from(step)
        self.due = -1  # if an image can't be read, the stream ends
        views = np.stack(list(islice(self.stream, self.batch_size)))
        pixels, labels = upload((views, self.labels_of(step)), self.device)
        self.pixels[...], self.labels[...] = pixels, labels
        self.there, self.due = step, step + 1

    def next(self) -> Batch:
        """The batch that is in place; nothing of this happens on the host."""
        offsets, flips = self.uncut
        mean, scale = self.prepare.mean, self.prepare.scale
        return crop_flip(self.pixels, offsets, flips, mean, scale, padding=PADDING), self.labels

    def stream_from(self, step: int) -> Iterator[Pixels]:
        """The views of the batch of `step` and of those that follow."""
        first = step * self.parts
        return ahead(lambda n: self.views_of(first + n), ENDLESS, self.data.workers, self.parts)

    def views_of(self, number: int) -> list[Pixels]:
        """The views of part `number`, counted through all batches."""
        step, part = divmod(number, self.parts)
        rng = np.random.default_rng([self.seed, 1, step, part])
        some = self.chosen(step)[part * AT_ONCE : (part + 1) * AT_ONCE]
        return [self.data.cut(self.data.train.open(n), rng) for n in some.tolist()]

    def chosen(self, step: int) -> npt.NDArray[np.int64]:
        """The numbers of a batch's images."""
        epoch, place = divmod(step, len(self))
        order = epoch_order(len(self.data.train), self.seed, epoch)
        return order[place * self.batch_size : (place + 1) * self.batch_size]

    def labels_of(self, step: int) -> npt.NDArray[np.int64]:
        """The classes of a batch's images."""
        labels: Sequence[int] = self.data.train.labels
        return np.array([labels[number] for number in self.chosen(step)], np.int64)
