"""Training batches whose images lie on the GPU: within an epoch, nothing goes over."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..kernels import epoch_batch
from ..kernels.devices import free_bytes, move, upload
from ..kernels.records import Epoch
from .batches import PADDING, Batch, Batches, epoch_order
from .dataset import Dataset
from .photographs import PhotographBatches, Photographs

LARGEST_SHARE = 0.25  # of the GPU's free memory: the rest is for what a network computes


def training_batches(
    dataset: Dataset | Photographs, batch_size: int, seed: int, **place: Any
) -> Batches | PhotographBatches:
    """Batches on a device, of images that lie there already if that is a GPU and has room."""
    if isinstance(dataset, Photographs):
        return dataset.training_batches(batch_size, seed, **place)
    if place["device"] == "cuda" and dataset.train_images.nbytes <= LARGEST_SHARE * free_bytes():
        return ResidentBatches(dataset, batch_size, seed, **place)
    return Batches(dataset, batch_size, seed, **place)


class ResidentBatches(Batches):
    """The batches of `Batches`, bit for bit, of images that lie on the GPU as bytes.

    The order and the crops of an epoch go over in one copy. Which batch of the epoch is next stands
    in the GPU's memory, and `next` moves it on: so a recorded step finds its own batch.
    """

    is_replayable = True

    def __init__(self, dataset: Dataset, batch_size: int, seed: int, **settings: Any) -> None:
        super().__init__(dataset, batch_size, seed, **settings)
        self.device = settings["device"]
        self.pixels = move(np.ascontiguousarray(self.images), self.device)
        self.classes = move(self.labels.astype(np.int64), self.device)
        self.position = move(np.zeros((), np.int64), self.device)
        self.epoch: int | None = 0  # whose order and crops lie there
        self.choices = upload(self.choices_of(0), self.device)

    def seek(self, step: int) -> None:
        """Make `step` the next batch; it costs nothing where it is so already."""
        epoch, place = divmod(step, len(self))
        if epoch != self.epoch:
            self.epoch = None  # until all of it is there
            fresh = upload(self.choices_of(epoch), self.device)
            for array, new in zip(self.choices, fresh, strict=True):
                array[...] = new
            self.epoch = epoch
        if place == 0 or step != self.due:
            self.position.fill(place)
        self.due = step + 1

    def next(self) -> Batch:
        """The batch at the position, which moves on; nothing of this happens on the host."""
        epoch = Epoch(self.pixels, self.classes, *self.choices)
        moments = self.prepare.mean, self.prepare.scale
        settings: Any = {"batch_size": self.batch_size, "padding": PADDING}
        batch: Any = epoch_batch(epoch, self.position, *moments, **settings)
        self.position += 1
        return batch

    def choices_of(self, epoch: int) -> tuple[npt.NDArray[Any], ...]:
        """The order of an epoch's images, and the offset and flip of each."""
        steps = range(epoch * len(self), (epoch + 1) * len(self))
        offsets, flips = zip(*map(self.crops, steps), strict=True)
        order = epoch_order(len(self.images), self.seed, epoch)[: len(self) * self.batch_size]
        return order, np.concatenate(offsets), np.concatenate(flips)
