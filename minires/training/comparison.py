"""Train several networks under the same conditions, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..data import Dataset
from ..models import cifar_resnet
from ..nn import Shortcut
from .recipes import PRESETS
from .trainer import Trainer


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
    device: str = "cpu",
    watch: Callable[[Trainer], None] | None = None,
) -> Trainer:
    """The trainer of one entry, in its own folder below `folder`."""
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, but is {preset!r}")
    model = cifar_resnet(
        entry.depth, shortcut=entry.shortcut, seed=entry.seed, classes=len(dataset.classes)
    )
    return Trainer(
        model,
        dataset,
        PRESETS[preset](entry.depth, len(dataset.train_images)),
        folder=folder / entry.folder,
        seed=entry.seed,
        name=model.name,
        device=device,
        watch=watch,
    )


def run_all(trainers: Iterable[Trainer]) -> None:
    """Run each trainer to its end, from its checkpoint where its folder has one."""
    for trainer in trainers:
        if trainer.checkpoint_path.exists():
            trainer.resume()
        trainer.run()
