"""Checks of regions on maps, and of boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..devices import is_cuda
from .arrays import contiguous, fail_unless, images


def boxes(array: np.ndarray) -> None:
    """Refuse anything but corners (N, 4)."""
    fail_unless(
        array.ndim == 2 and array.shape[1] == 4,
        f"boxes must be (N, 4), corners x1, y1, x2, y2, but have shape {array.shape}: the "
        "number of a region's image is an array of its own",
    )
    contiguous(boxes=array)


def regions(
    x_shape: Sequence[int], corners: np.ndarray, numbers: np.ndarray, size: Sequence[int]
) -> tuple[int, ...]:
    """Refuse regions that do not fit the maps; returns the shape of what is pooled from them."""
    images(x_shape)
    boxes(corners)
    of_images(numbers, len(corners), x_shape[0])
    fail_unless(
        len(size) == 2 and min(size) >= 1 and min(x_shape[1:3]) >= 1,
        f"size must be rows and columns, at least 1, of maps that have pixels, but is {size} for x "
        f"{tuple(x_shape)}",
    )
    return len(corners), *size, x_shape[3]


def of_images(numbers: np.ndarray, count: int, batch: int) -> None:
    """Refuse what is no image number a region."""
    fail_unless(
        numbers.shape == (count,),
        f"for {count} boxes, images must have shape ({count},), but has {numbers.shape}",
    )
    if numbers.dtype.kind not in "iu":
        raise TypeError(f"images must be whole numbers, but are {numbers.dtype}")
    fail_unless(
        is_cuda(numbers) or not count or (numbers.min() >= 0 and numbers.max() < batch),
        f"images must lie in 0 .. {batch - 1}, the batch, but some do not",
    )


def finite(corners: np.ndarray) -> None:
    """Refuse boxes of NaN or infinity: they have no place on a map."""
    fail_unless(
        is_cuda(corners) or np.isfinite(corners).all(),
        "boxes must be finite, but some are NaN or infinite: has the training diverged?",
    )
