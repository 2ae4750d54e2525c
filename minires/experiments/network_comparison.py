"""An experiment of the commonest kind: several networks, trained alike, beside the paper's rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..common.json_files import read_json
from ..data import Dataset, Photographs
from ..data.augmentation import Sides
from ..distributed import world
from ..nn import Module, summary
from ..report import Group, Run
from ..report.paper import counted
from ..report.tables import final_figures, over_seeds
from ..report.verdict import WITHOUT_SPREAD, compare, nothing_learned
from ..training import Trainer, run_all
from ..training.display import Display
from ..training.records import read_records
from .origin import made
from .result import Result
from .setting import Setting

COLUMNS = ["multiply-adds", "parameters", "training loss", "training error", "test error"]


@dataclass(frozen=True)
class Member:
    """One network: `build(seed=..., classes=...)` makes it, `paper` is the paper's figure.

    `seed_offset` is added to the seed, for a second network that differs in nothing else.
    """

    build: Callable[..., Any]
    paper: str = "-"
    seed_offset: int = 0


@dataclass(frozen=True)
class NetworkComparison:
    """Networks to compare, and what the paper did with them."""

    key: str
    title: str
    paper: str  # what the authors measured, as a sentence
    heading: str  # of the column with the paper's figures
    members: tuple[Member, ...]
    large_images: bool = False
    sides: Sides | None = None  # of training images, if networks see parts of them
    seeds: int = 1

    def dataset(self, setting: Setting) -> Dataset | Photographs:
        """What the networks are trained on."""
        if self.sides:
            return setting.at_scales(self.sides)
        return setting.large_images() if self.large_images else setting.small_images()

    def folder(self, setting: Setting) -> Path:
        """Where the runs lie: experiments share those of the same networks on the same images."""
        return setting.folder / ("large-images" if self.large_images else "small-images")

    def train(self, setting: Setting) -> list[Trainer]:
        """All networks with all seeds, trained to the end, from their checkpoints if need be."""
        dataset = world().in_turn(lambda: self.dataset(setting))
        with Display(setting.console) as display:
            trainers = [
                self.trainer(member, seed, dataset, setting, display)
                for seed in range(setting.seeds or self.seeds)
                for member in self.members
            ]
            display.add(trainers)
            run_all(trainers)
        return trainers

    def trainer(
        self,
        member: Member,
        seed: int,
        dataset: Dataset | Photographs,
        setting: Setting,
        display: Display,
    ) -> Trainer:
        """The training of one network with one seed."""
        seed += member.seed_offset
        model = member.build(seed=seed, classes=len(dataset.classes))
        name = model.name + in_words(self.sides)
        return Trainer(
            model,
            dataset,
            setting.recipe(large_images=self.large_images, parts=self.sides is not None),
            folder=self.folder(setting) / folder_name(name, seed),
            seed=seed,
            name=name,
            device=setting.device,
            watch=display.watch,
        )

    def run(self, setting: Setting) -> Result:
        """Train, and put the results beside the paper's."""
        trainers = self.train(setting)
        groups = groups_of(trainers)
        shape = trainers[0].dataset.train_images.shape[1:]
        rows = [
            [group.name, member.paper, *cells(group, trainer.model, shape)]
            for group, member, trainer in zip(groups, self.members, trainers, strict=False)
        ]
        return Result(
            key=self.key,
            title=self.title,
            paper=self.paper,
            here=what_we_did(groups),
            columns=["network", self.heading, *COLUMNS],
            rows=rows,
            findings=[ranking(groups)],
            made=made(groups),
        )


def in_words(sides: Sides | None) -> str:
    """How a network was trained that sees parts of images, to be added to its name."""
    if sides is None:
        return ""
    return ", one scale" if sides[0] == sides[1] else ", many scales"


def groups_of(trainers: list[Trainer]) -> list[Group]:
    """The finished runs by network, in the order of the trainers."""
    runs = [
        Run(read_json(t.folder / "config.json"), read_records(t.records.path)) for t in trainers
    ]
    names = dict.fromkeys(trainer.name for trainer in trainers)
    return [Group(name, [r for r in runs if r.config["network"] == name]) for name in names]


def folder_name(network: str, seed: int) -> str:
    """Where one run lies."""
    return re.sub(r"[^A-Za-z0-9]+", "-", network).strip("-") + f"-seed{seed}"


def cells(group: Group, model: Module, shape: tuple[int, int, int]) -> list[str]:
    """One network's columns."""
    cost = summary(model, shape)
    return [
        f"{cost.multiply_adds / 1e6:.1f} M",
        f"{cost.parameters / 1e6:.2f} M",
        *final_figures(group),
    ]


def budget(group: Group) -> str:
    """Data and length of a training, from the records."""
    recipe = group.config["recipe"]
    return (
        f"{group.config['data']}, {counted(recipe['iterations'])} iterations of "
        f"{recipe['batch_size']} images"
    )


def what_we_did(groups: list[Group]) -> str:
    """Data, scale and budget, and what the columns are."""
    return (
        f"{budget(groups[0])}; "
        "training figures are means over the last eighth of the iterations, on augmented batches; "
        f"test error of {groups[0].config['test_images']:,} images after the last iteration; "
        f"{over_seeds(groups[0])}. "
        "Compare the rows with each other, not with the paper's figures."
    )


def ranking(groups: list[Group]) -> str:
    """The networks by training loss, and which of the differences are more than chance."""
    order = sorted(groups, key=lambda group: group.mean("training_loss"))
    if nothing := nothing_learned(groups):
        return nothing
    text = order[0].name
    for better, worse in pairwise(order):
        text += f" {'<' if compare(worse, better) else '≈'} {worse.name}"
    rule = (
        "`<` where the difference is more than twice its standard error"
        if len(groups[0].runs) > 1
        else f"`<` where the difference is more than {WITHOUT_SPREAD:.0%}: one seed has no spread"
    )
    return f"By training loss: {text} ({rule})."
