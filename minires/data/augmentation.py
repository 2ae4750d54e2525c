"""Random views of photographs for training, of the same distribution as torchvision's.

`RandomResizedCrop(size)` and `RandomHorizontalFlip()`: a part of 8 % to 100 % of the area, of
ratios 3:4 to 4:3, scaled to size x size, mirrored half of the time. Szegedy et al. 2014, sec. 6.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image

Box = tuple[int, int, int, int]  # left, top, right, bottom: pixels, the last two behind the box
SMALLEST = 0.08  # of the area
LOW, HIGH = 3 / 4, 4 / 3  # width by height
TRIES = 10


def random_view(image: Image, size: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A random part of an RGB image, (size, size, 3), perhaps mirrored."""
    from PIL.Image import Resampling

    part = image.crop(random_box(*image.size, rng))
    view = np.asarray(part.resize((size, size), Resampling.BILINEAR))
    return view[:, ::-1] if rng.random() < 0.5 else view


def random_box(width: int, height: int, rng: np.random.Generator) -> Box:
    """A part of an image; the middle where none of ten tries lies within."""
    for _ in range(TRIES):
        area = width * height * rng.uniform(SMALLEST, 1)
        ratio = math.exp(rng.uniform(math.log(LOW), math.log(HIGH)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return box_at(int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1)), w, h)
    return middle_box(width, height)


def middle_box(width: int, height: int) -> Box:
    """As much of the middle as the ratios allow."""
    w, h = min(width, round(height * HIGH)), min(height, round(width / LOW))
    return box_at((width - w) // 2, (height - h) // 2, w, h)


def box_at(left: int, top: int, width: int, height: int) -> Box:
    return left, top, left + width, top + height
