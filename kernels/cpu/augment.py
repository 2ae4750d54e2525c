"""Crop and flip, with the normalisation, in one pass from uint8 to float32.

The padded images are never made: a pixel outside the image is zero. The kernel runs on the calling
thread alone, since the data loader calls it from its own thread during training.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .compiling import kernel
from .memory import Array, Ints, empty


def crop_flip(
    images: npt.NDArray[np.uint8],
    offsets: Ints,
    flips: npt.NDArray[np.bool_],
    mean: Array,
    scale: Array,
    *,
    padding: int,
) -> Array:
    batch = empty(images.shape)
    crop_flip_kernel(
        images,
        offsets.astype(np.int64),
        flips.astype(np.bool_),
        mean,
        scale,
        int(padding),
        batch,
    )
    return batch


@kernel
def crop_flip_kernel(images, offsets, flips, mean, scale, padding, batch):
    """For every pixel of the result, find its source in the image, or zero."""
    count, height, width, channels = images.shape
    for n in range(count):
        for row in range(height):
            y = row + offsets[n, 0] - padding
            for col in range(width):
                from_left = width - 1 - col if flips[n] else col
                x = from_left + offsets[n, 1] - padding
                exists = 0 <= y < height and 0 <= x < width
                for c in range(channels):
                    value = np.float32(0)
                    if exists:
                        value = (np.float32(images[n, y, x, c]) - mean[y, x, c]) * scale[c]
                    batch[n, row, col, c] = value
