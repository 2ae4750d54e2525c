"""Where an experiment runs and how large it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from rich.console import Console

from ..data import Dataset, load
from ..data.builtin import generate
from ..training import LinearDecay, LinearWarmUp, Recipe

Size = Literal["toy", "default"]
LARGE = 64  # pixels

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
    but show that everything works. `seeds`, where given, replaces the experiment's own number.
    """

    folder: Path
    size: Size = "default"
    seeds: int | None = None
    data: str = "auto"
    data_dir: Path | None = None
    device: str = "auto"
    console: Console | None = None

    @property
    def options(self) -> str:
        """Of the command that makes the same, each after a space; defaults and paths left out."""
        size = f" --size {self.size}" if self.size != "default" else ""
        seeds = f" --seeds {self.seeds}" if self.seeds else ""
        data = f" --data {self.data}" if self.data != "auto" else ""
        place = " --data-dir FOLDER" if self.data_dir else ""
        device = f" --device {self.device}" if self.device != "auto" else ""
        return size + seeds + data + place + device

    def recipe(self, *, large_images: bool) -> Recipe:
        """How every network is trained; larger images in smaller batches."""
        if self.size == "toy":
            return TOY
        return SHORT if not large_images else replace(SHORT, batch_size=32)

    def small_images(self) -> Dataset:
        """Images of 32 x 32: CIFAR-10 where it is, else the built-in drawings."""
        return drawings(32, 100, 40) if self.size == "toy" else small(self.data, self.data_dir)

    def large_images(self) -> Dataset:
        """The built-in drawings at 64 x 64."""
        return drawings(LARGE, *((100, 40) if self.size == "toy" else (12_000, 2_000)))


@lru_cache(maxsize=1)
def small(data: str, data_dir: Path | None) -> Dataset:
    """A data set of 32 x 32 images, read once."""
    return load(data, data_dir=data_dir)


@lru_cache(maxsize=2)
def drawings(size: int, train: int, test: int) -> Dataset:
    """Built-in drawings, drawn once."""
    return generate(train=train, test=test, size=size)
