"""From uint8 images to what a network sees: a stateless stream of normalised, augmented batches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..common.expecting import expects, must_be
from ..kernels import crop_flip
from ..kernels.devices import move, upload
from .dataset import Dataset

Batch = tuple[npt.NDArray[np.floating], npt.NDArray[np.int64]]

PADDING = 4  # He et al. 2015, sec. 4.2: 4 pixels on each side, a random crop, a random flip


class Batches:
    """Training batches: batch `step` is a pure function of the data, `seed` and `step`.

    So a resumed run needs nothing but its step, and two networks trained with the same seed see
    the same batches and the same crops. Every epoch is a new order of the training images; the
    last ones, too few for a batch, are left out until the next epoch's order.
    """

    is_replayable = False  # a CUDA graph of a step (training/replay.py) would repeat one batch

    @expects(batch_size=int, seed=int)
    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        seed: int,
        *,
        augment: bool = True,
        dtype: npt.DTypeLike = np.float32,
        device: str = "cpu",
    ) -> None:
        must_be(Dataset, dataset, "Batches: the data set")
        images, labels = dataset.split("train")
        _at_least_one("batch_size", batch_size)
        if batch_size > len(images):
            raise ValueError(
                f"batch_size {batch_size} is more than the {len(images)} training images of "
                f"{dataset.name!r}: take a batch_size of at most {len(images)}"
            )
        if seed < 0:
            raise ValueError(f"seed must be 0 or more, but is {seed}")
        self.images, self.labels = images, labels
        self.batch_size, self.seed, self.augment = batch_size, seed, augment
        self.prepare = Preparation(dataset, dtype, device)
        self.due = 0

    def __len__(self) -> int:
        return len(self.images) // self.batch_size

    def batch(self, step: int) -> Batch:
        """Images (batch_size, H, W, C), normalised, and labels (batch_size,) as int64.

        Both on the device.

        `step` counts from 0 and runs on through the epochs.
        """
        if step < 0:
            raise ValueError(f"step must be 0 or more, but is {step}")
        epoch, place = divmod(step, len(self))
        order = epoch_order(len(self.images), self.seed, epoch)
        chosen = order[place * self.batch_size : (place + 1) * self.batch_size]
        return self.prepare(self.images[chosen], self.labels[chosen], *self.crops(step))

    def seek(self, step: int) -> None:
        """Make `step` the next batch."""
        self.due = step

    def next(self) -> Batch:
        """The next batch, in the order of steps."""
        self.due += 1
        return self.batch(self.due - 1)

    def crops(self, step: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Offsets (batch_size, 2) and flips (batch_size,) of a batch's images."""
        if not self.augment:
            return no_crops(self.batch_size)
        rng = np.random.default_rng([self.seed, 1, step])  # 1: not the stream of `epoch_order`, 0
        offsets = rng.integers(0, 2 * PADDING + 1, (self.batch_size, 2))
        return offsets, rng.random(self.batch_size) < 0.5


@expects(split=str, batch_size=int)
def evaluation_batches(
    dataset: Dataset,
    split: str,
    batch_size: int,
    *,
    limit: int | None = None,
    first: int = 0,
    every: int = 1,
    dtype: npt.DTypeLike = np.float32,
    device: str = "cpu",
) -> Iterator[Batch]:
    """All images of "train" or "test", in order, normalised, neither cropped nor mirrored.

    With `limit`, only the first so many images. Batch number `first` comes first, then each
    `every`-th after it: so ranks share them. The last batch may be short: a mean over the split
    must weigh each batch by its length.
    """
    must_be(Dataset, dataset, "evaluation_batches: the data set")
    images, labels = dataset.split(split)
    images, labels = images[:limit], labels[:limit]
    _at_least_one("batch_size", batch_size)
    _at_least_one("limit", 1 if limit is None else limit)
    prepare = Preparation(dataset, dtype, device)

    def batches() -> Iterator[Batch]:
        for start in range(first * batch_size, len(images), every * batch_size):
            some = slice(start, start + batch_size)
            yield prepare(images[some], labels[some], *no_crops(len(images[some])))

    return batches()  # an inner generator, so that wrong arguments fail at the call


class Moments(Protocol):
    """What images are normalised by; see `Dataset`."""

    @property
    def pixel_mean(self) -> npt.NDArray[np.float64]: ...

    @property
    def channel_scale(self) -> npt.NDArray[np.float64]: ...


class Preparation:
    """From bytes to a batch on a device; the bytes go there in one copy."""

    def __init__(self, dataset: Moments, dtype: npt.DTypeLike, device: str) -> None:
        self.device = device
        self.mean = move(dataset.pixel_mean.astype(dtype), device)
        self.scale = move(dataset.channel_scale.astype(dtype), device)

    def __call__(
        self,
        images: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.integer],
        offsets: npt.NDArray[np.int64],
        flips: npt.NDArray[np.bool_],
    ) -> Batch:
        """Normalised images, cut and mirrored, and labels as int64."""
        arrays = (images, offsets, flips, labels.astype(np.int64))
        images, offsets, flips, classes = upload(arrays, self.device)
        batch = crop_flip(images, offsets, flips, self.mean, self.scale, padding=PADDING)
        return batch, classes


@lru_cache(maxsize=2)  # all batches of an epoch need it; two, for trainings that take turns
def epoch_order(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """The epoch's permutation of the training images."""
    return np.random.default_rng([seed, 0, epoch]).permutation(count)


def no_crops(count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Offsets and flips of so many images that stay as they are."""
    return np.full((count, 2), PADDING), np.zeros(count, np.bool_)


def _at_least_one(name: str, number: int) -> None:
    if number < 1:
        raise ValueError(f"{name} must be 1 or more, but is {number}")
