"""Random views of images for training: of photographs as torchvision does it, and as He et al. do.

torchvision's `RandomResizedCrop(size)` and `RandomHorizontalFlip()`: a part of 8 % to 100 % of the
area, of ratios 3:4 to 4:3, scaled to size x size, mirrored half of the time (Szegedy et al. 2014,
sec. 6). He et al. 2015, sec. 3.4: the whole at a random scale, and a part of it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image

Box = tuple[int, int, int, int]  # left, top, right, bottom: pixels, the last two behind the box
Sides = tuple[int, int]  # the least and the most, in pixels
SMALLEST = 0.08  # of the area
LOW, HIGH = 3 / 4, 4 / 3  # width by height
TRIES = 10


def random_view(image: Image, size: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A random part of an RGB image, (size, size, 3), perhaps mirrored."""
    from PIL.Image import Resampling

    part = image.crop(random_box(*image.size, rng))
    view = np.asarray(part.resize((size, size), Resampling.BILINEAR))
    return perhaps_mirrored(view, rng)


def perhaps_mirrored(
    view: npt.NDArray[np.uint8], rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """A view (H, W, 3), left to right half of the time."""
    return view[:, ::-1] if rng.random() < 0.5 else view


def random_box(width: int, height: int, rng: np.random.Generator) -> Box:
    """A part of an image; the middle where none of ten tries lies within."""
    for _ in range(TRIES):
        area = width * height * (SMALLEST + (1 - SMALLEST) * rng.random())
        ratio = LOW * (HIGH / LOW) ** rng.random()  # its logarithm is uniform
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = (width - w + 1) * rng.random(), (height - h + 1) * rng.random()
            return box_at(int(left), int(top), w, h)
    return middle_box(width, height)


def middle_box(width: int, height: int) -> Box:
    """As much of the middle as the ratios allow."""
    w, h = min(width, round(height * HIGH)), min(height, round(width / LOW))
    return box_at((width - w) // 2, (height - h) // 2, w, h)


def box_at(left: int, top: int, width: int, height: int) -> Box:
    return left, top, left + width, top + height


def random_part(
    image: Image, size: int, sides: Sides, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """A random part of an RGB image, (size, size, 3), perhaps mirrored.

    Before it is cut, the image is scaled so that its shorter side has a random length, from the
    first of `sides` to the last. Scaling and cutting are one step here.
    """
    from PIL.Image import Resampling

    width, height = image.size
    zoom = rng.integers(sides[0], sides[1], endpoint=True) / min(height, width)
    side = size / zoom  # of the part, in pixels of the image as it was
    left, top = rng.uniform(0, width - side), rng.uniform(0, height - side)
    box = left, top, left + side, top + side
    view = np.asarray(image.resize((size, size), Resampling.BILINEAR, box=box))
    return perhaps_mirrored(view, rng)
