"""Crop and flip, with the normalisation, in one pass from uint8; also from a whole epoch."""

from __future__ import annotations

from typing import Any

from ..records import Epoch
from .launch import empty, launch_over, type_name

Array = Any


def crop_flip(
    images: Array, offsets: Array, flips: Array, mean: Array, scale: Array, *, padding: int
) -> Array:
    batch = empty(images.shape, mean)
    offsets, flips = offsets.astype("int64", copy=False), flips.astype("bool", copy=False)
    arrays = (images, offsets, flips, mean, scale, batch)
    sizes = (batch.size, *images.shape[1:], int(padding))
    launch_over(batch.size, "augment", f"crop_flip<{type_name(mean)}>", *arrays, *sizes)
    return batch


def epoch_batch(
    epoch: Epoch, position: Array, mean: Array, scale: Array, *, batch_size: int, padding: int
) -> tuple[Array, Array]:
    """The batch at `position`, in one launch; the kernel reads the choice from GPU memory."""
    batch = empty((batch_size, *epoch.images.shape[1:]), mean)
    classes = empty((batch_size,), epoch.labels)
    arrays = (*epoch, position, mean, scale, batch, classes)
    sizes = (int(batch_size), *epoch.images.shape[1:], int(padding))
    launch_over(batch.size, "augment", f"epoch_batch<{type_name(mean)}>", *arrays, *sizes)
    return batch, classes
