"""What a probe works with: a folder, images, and trained networks, each made at its first use."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..common.expecting import SEED, expects
from ..data import Dataset, evaluation_batches, load
from ..models import CifarResNet, cifar_resnet
from ..nn import Module, Shortcut
from ..training import PRESETS, Recipe, Trainer, run_all
from ..training.main_job import Entry, Options, make_trainer

Batch = tuple[np.ndarray, np.ndarray]


@expects(folder=Path, data=str, data_dir=Path, preset=str, seed=SEED, watch=Callable)
@dataclasses.dataclass
class Lab:
    """One folder with one data set, one preset and one seed.

    Networks lie where the main job puts them, so its results folder is a lab whose networks are
    trained already; an interrupted training of such a network goes on where it was. What a probe
    alone trains lies in `probes/networks/`; what is looked at while it learns begins anew each
    time.

    Args:
        folder: holds the trained networks; the probes' pictures go to its `probes/`.
        data, data_dir: see `minires.data.load`.
        preset: how networks are trained.
        seed: of initial weights, batches and crops.
        watch: called with the trainer after every training step.

    Raises: ValueError for another preset.
    """

    folder: Path
    data: str = "builtin"
    data_dir: Path | None = None
    preset: str = "quick"
    seed: int = 0
    watch: Callable[[Trainer], None] | None = None

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, not {self.preset!r}")

    @classmethod
    def like(cls, folder: Path, **given: Any) -> Lab:
        """A lab with these settings; where they are None, those of an earlier job in the folder.

        Raises: ValueError if that job's options are damaged.
        """
        saved: dict[str, Any] = {}
        if Options.path(folder).exists():
            options = Options.load(folder)
            saved = {"data": options.data, "preset": options.preset, "seed": options.seeds[0]}
            saved |= {"data_dir": Path(options.data_dir) if options.data_dir else None}
        return cls(folder, **saved | {key: v for key, v in given.items() if v is not None})

    @cached_property
    def dataset(self) -> Dataset:
        return load(self.data, data_dir=self.data_dir)

    def images(self, count: int, split: str = "train") -> Batch:
        """The first `count` images of a split, normalised and not augmented, with their labels."""
        return next(evaluation_batches(self.dataset, split, count, limit=count))

    def recipe(self, depth: int) -> Recipe:
        """How the lab trains a network of this depth."""
        return PRESETS[self.preset](depth, len(self.dataset.train_images))

    def fresh(self, depth: int, shortcut: Shortcut) -> CifarResNet:
        """A network with its initial weights."""
        classes = len(self.dataset.classes)
        return cifar_resnet(depth, shortcut=shortcut, seed=self.seed, classes=classes)

    def trained(self, depth: int, shortcut: Shortcut) -> CifarResNet:
        """The network that the main job trains; trained now unless the folder holds it."""
        trainer = make_trainer(
            Entry(depth, shortcut, self.seed),
            self.dataset,
            preset=self.preset,
            folder=self.place(depth, shortcut).parent,
            watch=self.watch,
        )
        run_all([trainer])
        assert isinstance(trainer.model, CifarResNet)
        return trainer.model

    def place(self, depth: int, shortcut: Shortcut) -> Path:
        """The folder of a trained network: the main job's, where it trains such ones."""
        root = self.folder if shortcut in (None, "A") else self.networks
        return root / Entry(depth, shortcut, self.seed).folder

    @property
    def networks(self) -> Path:
        """The folder of the networks that only probes want."""
        return self.folder / "probes" / "networks"

    def trainer(self, model: Module, name: str, recipe: Recipe) -> Trainer:
        """A trainer for a network that only a probe wants."""
        return Trainer(
            model,
            self.dataset,
            recipe,
            folder=self.networks / name,
            seed=self.seed,
            name=name,
            watch=self.watch,
            overwrite=True,
        )

    def described(self, *, trained: bool = True) -> str:
        """The data, and how networks were trained, for titles."""
        if not trained:
            return self.dataset.name
        recipe = self.recipe(20)
        return (
            f"{self.dataset.name}; preset {recipe.name} "
            f"({recipe.iterations:,} iterations of {recipe.batch_size} images), seed {self.seed}"
        )
