"""Where an experiment runs and how large it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from rich.console import Console

from ..data import Dataset, DatasetImages, Photographs, load
from ..data.augmentation import Sides
from ..data.builtin import generate
from ..training import PRESETS, LinearDecay, LinearWarmUp, Recipe

Size = Literal["toy", "default", "long"]
LARGE = 64  # pixels
SEEN = 32  # of them at random scales, as the paper's networks see 224
STRIDE = 4  # of a last map in pixels: the paper's sides are multiples of its 32


def in_proportion(side: int) -> int:
    """A shorter side of the paper's, 224 pixels of which its networks see, for ours."""
    return STRIDE * round(SEEN * side / 224 / STRIDE)


ONE_SCALE = in_proportion(256), in_proportion(256)  # shorter sides of training images
MANY_SCALES = in_proportion(256), in_proportion(480)

# The main job's quick recipe at half its length, tested at the end alone: many networks, and few
# questions to each
SHORT = Recipe(
    name="short",
    iterations=240,
    batch_size=64,
    schedule=LinearWarmUp(48, LinearDecay(peak=0.05, start=48, stop=240)),
    record_every=10,
    evaluate_every=240,
    checkpoint_every=40,
    test_images=2000,
)
# A third of the main job's `standard`
LONG = Recipe(
    name="long",
    iterations=1560,
    batch_size=128,
    schedule=LinearWarmUp(156, LinearDecay(peak=0.2, start=156, stop=1560)),
    record_every=39,
    evaluate_every=1560,
    checkpoint_every=195,
)
LONG_ON_LARGE = replace(
    LONG,
    iterations=750,
    batch_size=64,
    schedule=LinearWarmUp(150, LinearDecay(peak=0.05, start=150, stop=750)),
    record_every=25,
    evaluate_every=750,
    checkpoint_every=125,
)
TOY = replace(
    SHORT,
    name="toy",
    iterations=4,
    batch_size=8,
    record_every=1,
    evaluate_every=4,
    checkpoint_every=4,
    test_images=20,
)


@dataclass(frozen=True)
class Setting:
    """The folder of the results, the size, the data of experiments on small images, the device.

    `size` "default" takes minutes an experiment, "toy" seconds, which teach the networks nothing
    but show that everything works, and "long" minutes on a GPU, hours without one. `seeds`, where
    given, replaces the experiment's own number; `precision` is what the page says of the products.
    """

    folder: Path
    size: Size = "default"
    seeds: int | None = None
    data: str = "auto"
    data_dir: Path | None = None
    device: str = "auto"
    precision: str = "float32"
    console: Console | None = None

    @property
    def options(self) -> str:
        """Of the command that makes the same, each after a space; defaults and paths left out."""
        size = f" --size {self.size}" if self.size != "default" else ""
        seeds = f" --seeds {self.seeds}" if self.seeds else ""
        data = f" --data {self.data}" if self.data != "auto" else ""
        place = " --data-dir FOLDER" if self.data_dir else ""
        device = f" --device {self.device}" if self.device != "auto" else ""
        precision = f" --precision {self.precision}" if self.precision != "float32" else ""
        return size + seeds + data + place + device + precision

    def recipe(self, *, large_images: bool, parts: bool = False) -> Recipe:
        """How every network is trained; larger images in smaller batches, unless parts are seen."""
        if self.size == "toy":
            return TOY
        if self.size == "long" and parts:
            return PRESETS["depth"](20, 12_000)
        if self.size == "long":
            return LONG_ON_LARGE if large_images else LONG
        large_images = large_images and not parts
        return replace(SHORT, batch_size=32) if large_images else SHORT

    def small_images(self) -> Dataset:
        """Images of 32 x 32: CIFAR-10 where it is, else the built-in drawings."""
        return drawings(32, 100, 40) if self.size == "toy" else small(self.data, self.data_dir)

    def large_images(self) -> Dataset:
        """The built-in drawings at 64 x 64."""
        return drawings(LARGE, *((100, 40) if self.size == "toy" else (12_000, 2_000)))

    def at_scales(self, sides: Sides) -> Photographs:
        """The same, of which networks see 32 x 32 at random scales within `sides`."""
        whole = self.large_images()
        name = f"{whole.name}, parts of {SEEN} x {SEEN}"
        train, test = DatasetImages(whole, "train"), DatasetImages(whole)
        return Photographs(name, train, test, size=SEEN, sides=sides)


@lru_cache(maxsize=1)
def small(data: str, data_dir: Path | None) -> Dataset:
    """A data set of 32 x 32 images, read once."""
    return load(data, data_dir=data_dir)


@lru_cache(maxsize=2)
def drawings(size: int, train: int, test: int) -> Dataset:
    """Built-in drawings, drawn once."""
    return generate(train=train, test=test, size=size)
