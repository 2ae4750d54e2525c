"""The main job: which networks it trains, each how, and the options that its folder keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..common.json_files import read_json, write_json
from ..data import Dataset
from ..models import cifar_resnet
from ..nn import Shortcut
from .recipes import PRESETS, Recipe
from .trainer import Trainer

DEEPEST_KEPT = 110  # layers; deeper networks recompute their blocks, as memory would not do


@dataclass(frozen=True)
class Options:
    """What the main job was asked to do; its folder keeps it, so that the job can be resumed."""

    preset: str
    data: str
    data_dir: str | None
    depths: list[int]
    seeds: list[int]
    shards: int = 1

    @staticmethod
    def path(folder: Path) -> Path:
        return folder / "options.json"

    def save(self, folder: Path) -> None:
        """Write them into the job's folder."""
        write_json(self.path(folder), asdict(self))

    @classmethod
    def load(cls, folder: Path) -> Options:
        """Read the options of an earlier job.

        Raises: FileNotFoundError, or ValueError if the file is damaged or holds something else.
        """
        path = cls.path(folder)
        advice = "choose another folder; its finished runs can still be shown by `minires report`"
        kept = read_json(path, advice)
        if not are_options(kept):
            raise ValueError(f"{path} does not hold the options of the main job: {advice}")
        return cls(**{key: kept[key] for key in cls.__annotations__ if key in kept})


def are_options(kept: Any) -> bool:
    """Whether a JSON value has all options, of the right types."""
    if not isinstance(kept, dict):
        return False
    texts = [kept.get("preset"), kept.get("data"), kept.get("data_dir") or ""]
    numbers = [kept.get("depths"), kept.get("seeds")]
    return (
        all(isinstance(text, str) for text in texts)
        and "data_dir" in kept
        and kept["preset"] in PRESETS
        and all(isinstance(n, list) and n and all(type(i) is int for i in n) for n in numbers)
        and type(kept.get("shards", 1)) is int
    )


@dataclass(frozen=True)
class Entry:
    """One network with one seed. The seed decides initial weights, batches and crops."""

    depth: int
    shortcut: Shortcut
    seed: int

    @property
    def folder(self) -> str:
        """Name of the run's folder, such as ResNet-20-seed0."""
        kind = {None: "plain", "A": "ResNet"}.get(self.shortcut, f"ResNet{self.shortcut}")
        return f"{kind}-{self.depth}-seed{self.seed}"


def plain_and_residual(depths: Iterable[int], seeds: Iterable[int]) -> list[Entry]:
    """Every depth as plain and as residual network (option A), for every seed."""
    return [
        Entry(depth, shortcut, seed)
        for seed in seeds
        for shortcut in (None, "A")
        for depth in sorted(set(depths))
    ]


def make_trainer(
    entry: Entry,
    dataset: Dataset,
    *,
    preset: str,
    folder: Path,
    shards: int = 1,
    device: str = "cpu",
    watch: Callable[[Trainer], None] | None = None,
) -> Trainer:
    """The trainer of one entry, in its own folder below `folder`."""
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, but is {preset!r}")
    recipe = replace(PRESETS[preset](entry.depth, len(dataset.train_images)), shards=shards)
    return trainer_of(entry, dataset, recipe, folder=folder, device=device, watch=watch)


def trainer_of(
    entry: Entry,
    dataset: Dataset,
    recipe: Recipe,
    *,
    folder: Path,
    device: str = "cpu",
    watch: Callable[[Trainer], None] | None = None,
) -> Trainer:
    """The trainer of one entry by any recipe, in its own folder below `folder`."""
    model = cifar_resnet(
        entry.depth,
        shortcut=entry.shortcut,
        seed=entry.seed,
        classes=len(dataset.classes),
        recompute=entry.depth > DEEPEST_KEPT,
    )
    return Trainer(
        model,
        dataset,
        recipe,
        folder=folder / entry.folder,
        seed=entry.seed,
        name=model.name,
        device=device,
        watch=watch,
    )
