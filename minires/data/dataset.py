"""What a data set is: uint8 images with labels, in two splits, and the training set's moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ..common.expecting import expects

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.integer]


@expects(name=str, classes=Sequence)
@dataclass(frozen=True, eq=False)
class Dataset:
    """Images (N, H, W, C) as uint8 and labels (N,) in 0 .. len(classes) - 1, in two splits.

    `name` is short and says which data these are; it is shown in the terminal, in records and in
    every picture. Views of images, such as images[..., ::-1], are copied. Raises ValueError where
    the arrays do not fit each other, TypeError for what is no array.
    """

    name: str
    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        self._check("train", self.train_images, self.train_labels)
        self._check("test", self.test_images, self.test_labels)
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise ValueError(
                f"data set {self.name!r}: training images are {self.train_images.shape[1:]} but "
                f"test images {self.test_images.shape[1:]}: one network takes one size"
            )

        for split in ("train_images", "test_images"):  # kernels read them in one run
            object.__setattr__(self, split, np.ascontiguousarray(getattr(self, split)))

    def split(self, name: str) -> tuple[Images, Labels]:
        """The images and labels of "train" or "test"."""
        if name not in ("train", "test"):
            raise ValueError(f"split must be 'train' or 'test', but is {name!r}")
        return getattr(self, f"{name}_images"), getattr(self, f"{name}_labels")

    @property
    def image_shape(self) -> tuple[int, ...]:
        """What a network sees, (H, W, C)."""
        return self.train_images.shape[1:]

    @cached_property
    def pixel_mean(self) -> npt.NDArray[np.float64]:
        """The mean training image, (H, W, C), in grey levels 0 .. 255."""
        return self.train_images.mean(axis=0, dtype=np.float64)

    @cached_property
    def channel_scale(self) -> npt.NDArray[np.float64]:
        """One factor per channel, (C,): training images minus `pixel_mean` get unit variance.

        It is 1 for a channel in which all training images are alike.
        """
        squares = np.zeros(self.pixel_mean.shape)
        for start in range(0, len(self.train_images), 1000):  # a few MB at a time
            squares += np.square(self.train_images[start : start + 1000], dtype=np.uint32).sum(0)
        variance = (squares / len(self.train_images) - self.pixel_mean**2).mean(axis=(0, 1))
        return np.where(variance > 0, 1 / np.sqrt(np.where(variance > 0, variance, 1)), 1.0)

    def _check(self, split: str, images: Images, labels: Labels) -> None:
        where = f"data set {self.name!r}: {split}_images"
        for what, given in ((where, images), (f"{where[:-6]}labels", labels)):
            if not isinstance(given, np.ndarray):
                raise TypeError(
                    f"{what} must be a NumPy array, but are {type(given).__name__}: "
                    "np.array(...) makes one"
                )
        if images.ndim != 4 or images.dtype != np.uint8:
            raise ValueError(
                f"{where} must be uint8 of shape (N, H, W, C), but are {images.dtype} "
                f"of shape {images.shape}"
            )
        if images.size == 0:
            raise ValueError(
                f"{where} are empty, shape {images.shape}: at least one image is needed"
            )
        self._check_labels(split, labels, len(images))

    def _check_labels(self, split: str, labels: Labels, count: int) -> None:
        where = f"data set {self.name!r}: {split}_labels"
        if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                f"{where} must be {count} whole numbers, one an image, but are {labels.dtype} "
                f"of shape {labels.shape}"
            )
        if labels.min() < 0 or labels.max() >= len(self.classes):
            raise ValueError(
                f"{where} must lie in 0 .. {len(self.classes) - 1} for {len(self.classes)} "
                f"classes, but reach from {labels.min()} to {labels.max()}"
            )
