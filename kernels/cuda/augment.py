"""Crop and flip, with the normalisation, in one pass from uint8."""

from __future__ import annotations

from typing import Any

from .launch import empty, launch_over, type_name

Array = Any


def crop_flip(
    images: Array, offsets: Array, flips: Array, mean: Array, scale: Array, *, padding: int
) -> Array:
    """Normalised, cut and mirrored images."""
    batch = empty(images.shape, mean)
    offsets, flips = offsets.astype("int64", copy=False), flips.astype("bool", copy=False)
    arrays = (images, offsets, flips, mean, scale, batch)
    sizes = (batch.size, *images.shape[1:], int(padding))
    launch_over(batch.size, "augment", f"crop_flip<{type_name(mean)}>", *arrays, *sizes)
    return batch
