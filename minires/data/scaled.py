"""Training batches of images at random scales: scale augmentation. He et al. 2015, sec. 3.4."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from .augmentation import random_part
from .dataset import Dataset
from .folders import DatasetImages
from .photographs import PhotographBatches, Pixels

if TYPE_CHECKING:
    from PIL.Image import Image

Sides = tuple[int, int]  # the least and the most, in pixels


class ScaledBatches(PhotographBatches):
    """Each image is scaled until its shorter side has a random length out of `sides`.

    A network sees a random part of it, as large as the images are, and mirrored half of the time.
    In the paper sides are 256 to 480 and parts 224 x 224.
    """

    at_once = 1

    def __init__(
        self, dataset: Dataset, batch_size: int, seed: int, *, sides: Sides, **place: Any
    ) -> None:
        height, width, _ = dataset.image_shape
        if not min(height, width) <= sides[0] <= sides[1]:
            raise ValueError(
                f"sides must be two lengths in rising order, from {min(height, width)} on, the "
                f"images' shorter side, but are {sides}"
            )
        super().__init__(AheadOfTime(dataset), batch_size, seed, **place)  # type: ignore[arg-type]
        self.sides = sides

    def cut(self, image: Image, rng: np.random.Generator) -> Pixels:
        """A random part of a training image."""
        return random_part(image, self.sides, rng)


class AheadOfTime:
    """A data set in memory as `PhotographBatches` asks for it: threads cut its images."""

    def __init__(self, dataset: Dataset) -> None:
        self.name, self.image_shape = dataset.name, dataset.image_shape
        self.pixel_mean, self.channel_scale = dataset.pixel_mean, dataset.channel_scale
        self.train, self.workers = DatasetImages(dataset, "train"), os.cpu_count() or 1
