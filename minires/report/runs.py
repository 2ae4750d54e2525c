"""Runs as their folders hold them, and runs of one network with several seeds as a group."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..common.expecting import Each, expects
from ..common.json_files import read_json
from ..training.records import read_records

Curve = tuple[np.ndarray, np.ndarray]
REQUIRED = {"network": str, "seed": int, "data": str}
REQUIRED_OF_RECIPE = {"name": str, "iterations": int, "batch_size": int}
NUMBERS = ("seconds", "epoch", "lr", "gradient_norm")
LOSSES_AND_ERRORS = ("loss", "test_loss", "training_error", "test_error")


@expects(config=dict, records=list, folder=Path)
@dataclass(frozen=True)
class Run:
    """One training: its configuration and its records; see `Trainer` for what they hold."""

    config: dict[str, Any]
    records: list[dict[str, Any]]
    folder: Path | None = None

    def curve(self, kind: str, value: str) -> Curve:
        """Steps and values of one field in all records of a kind."""
        chosen = [r for r in self.records if r["kind"] == kind and value in r]
        return np.array([r["step"] for r in chosen]), np.array([r[value] for r in chosen])

    def last_eighth(self, value: str) -> float:
        """Mean of a training figure over the last eighth of the iterations; NaN without records."""
        steps, values = self.curve("interval", value)
        late = values[steps > self.config["recipe"]["iterations"] * 7 / 8]
        return float(late.mean()) if late.size else math.nan

    @cached_property
    def results(self) -> dict[str, float]:
        """The figures of the results table: training means over the last eighth, the last test."""
        return {
            "training_loss": self.last_eighth("loss"),
            "training_error": self.last_eighth("training_error"),
            "test_error": float(self.curve("evaluation", "test_error")[1][-1]),
            "seconds": float(self.records[-1].get("seconds", math.nan)),
        }

    @property
    def is_finished(self) -> bool:
        """Whether the run has been trained to its end."""
        steps, _ = self.curve("evaluation", "test_error")
        return len(steps) > 0 and steps[-1] == self.config["recipe"]["iterations"]

    @property
    def label(self) -> str:
        """The network and the seed."""
        return f"{self.config['network']}, seed {self.config['seed']}"

    @property
    def state(self) -> str:
        """How far the training has come, and why it ended early if it diverged."""
        if self.is_finished:
            return "finished"
        done = max((r["step"] for r in self.records), default=0)
        state = f"{done:,} of {self.config['recipe']['iterations']:,} iterations"
        faults = [r["reason"] for r in self.records if r["kind"] == "diverged"]
        return f"{state}; {faults[-1]}" if faults else state


@expects(name=str, runs=Each(Run))
@dataclass(frozen=True)
class Group:
    """Finished runs of one network that differ only in the seed."""

    name: str
    runs: list[Run]

    def mean(self, value: str) -> float:
        """Mean of a result over the seeds."""
        return float(np.mean([run.results[value] for run in self.runs]))

    def std(self, value: str) -> float:
        """Standard deviation of a result over the seeds (n - 1); NaN for one seed."""
        values = [run.results[value] for run in self.runs]
        return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")

    @property
    def config(self) -> dict[str, Any]:
        """The configuration that the runs share, except for the seed."""
        return self.runs[0].config

    @property
    def depth(self) -> int:
        """Number of layers with weights, from the name; 0 where the name has none."""
        number = re.search(r"-(\d+)", self.name)
        return int(number[1]) if number else 0

    @property
    def is_plain(self) -> bool:
        """Whether this is the network without shortcuts."""
        return self.name.startswith("plain")

    @property
    def is_variant(self) -> bool:
        """Whether this is any other network than the paper's plain-N and ResNet-N."""
        return not re.fullmatch(r"(plain|ResNet)-\d+", self.name)

    @property
    def is_residual(self) -> bool:
        """Whether this network has shortcuts."""
        return "resnet" in self.name.lower()


@expects(folder=Path)
def load_runs(folder: Path) -> list[Run]:
    """All finished runs in the folders below `folder`.

    Raises: FileNotFoundError if there is none.
    """
    found = [read_run(config.parent) for config in sorted(folder.glob("*/config.json"))]
    finished = [run for run in found if run.is_finished]
    if not finished:
        raise FileNotFoundError(f"there are no finished runs in {folder}")
    return finished


def read_run(folder: Path) -> Run:
    """The run in one folder, finished or not.

    Raises: ValueError, with the file and what is wrong, for damaged or foreign files.
    """
    config = read_json(folder / "config.json")
    recipe = config.get("recipe") if isinstance(config, dict) else None
    missing = [*lacking(config, REQUIRED), *lacking(recipe, REQUIRED_OF_RECIPE)]
    if missing:
        raise ValueError(
            f"{folder / 'config.json'} is not the configuration of a minires run: it lacks "
            f"{', '.join(missing)}, or has something of another type there"
        )
    records = read_records(folder / "records.jsonl")
    for number, record in enumerate(records, 1):
        if faults := faulty(record):
            raise ValueError(
                f"line {number} of {folder / 'records.jsonl'} is damaged: {', '.join(faults)} "
                "missing or of another type"
            )
    return Run(config, [r for r in records if is_count(r.get("step")) and "kind" in r], folder)


def lacking(found: Any, required: dict[str, type]) -> list[str]:
    """Names whose values are not there, or of another type."""
    values = found if isinstance(found, dict) else {}
    return [
        name
        for name, kind in required.items()
        if not (is_count(values.get(name)) if kind is int else isinstance(values.get(name), kind))
    ]


def faulty(record: dict[str, Any]) -> list[str]:
    """Names of a record's values that nobody can count with, or show."""
    names = [name for name in NUMBERS + LOSSES_AND_ERRORS if not is_number(record.get(name, 0))]
    if record.get("kind") == "diverged" and not isinstance(record.get("reason"), str):
        names.append("reason")
    return names


def is_number(value: Any) -> bool:
    """Whether a value can be counted with."""
    return isinstance(value, float) or is_count(value)


def is_count(value: Any) -> bool:
    """Whether a value is a whole number, none that overflows."""
    return type(value) is int and 0 <= value < 2**63


def find_runs(folders: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """All runs in these folders and up to two levels below, and a sentence for each left out.

    A run is left out if its files are damaged, or if it repeats another: the same network, data,
    recipe and seed give the same numbers, which are not a second draw.

    Raises: FileNotFoundError for a folder without any run.
    """
    runs: list[Run] = []
    notes: list[str] = []
    for folder in folders:
        for place in run_folders(folder):
            try:
                runs.append(read_run(place))
            except (ValueError, OSError) as error:
                notes.append(f"Left out: {error}")
    return without_repeats(runs, notes), notes


def run_folders(folder: Path) -> list[Path]:
    """The folder itself if it is a run, whose pretraining may lie in it; else the runs below it."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: give the folder of a run or of several")
    if (folder / "config.json").exists():
        return [folder]
    patterns = ("*/config.json", "*/*/config.json")
    places = [path.parent for pattern in patterns for path in sorted(folder.glob(pattern))]
    if not places:
        raise FileNotFoundError(
            f"{folder} holds no run: a run is a folder with config.json and records.jsonl, as "
            "examples/cifar_plain_vs_resnet.py and Trainer write it"
        )
    return places


def without_repeats(runs: list[Run], notes: list[str]) -> list[Run]:
    """Runs that differ in network, conditions or seed; of repeats, the one that got furthest."""
    best: dict[tuple[str, str, int], Run] = {}
    for run in runs:
        key = (run.config["network"], str(conditions(run)), run.config["seed"])
        other = best.setdefault(key, run)
        if other is run:
            continue
        best[key] = max(other, run, key=lambda r: len(r.records))
        repeat = run if best[key] is other else other
        if repeat.folder != best[key].folder:
            notes.append(
                f"Left out: {repeat.folder} repeats {best[key].folder} ({run.label}, same data and "
                "recipe), so it is no second draw."
            )
    return list(best.values())


def conditions(run: Run) -> dict[str, Any]:
    """What must agree before two runs are compared: the data, and the recipe but its rhythms.

    The learning rate's schedule is not among them: in one recipe it may depend on the depth, as
    the warm-up of the paper's 110 layers does.
    """
    recipe = {k: v for k, v in sorted(run.config["recipe"].items()) if not k.endswith("_every")}
    recipe.pop("schedule", None)
    data = {k: run.config.get(k) for k in ("data", "training_images", "test_images")}
    return {**data, **{f"recipe {k}": v for k, v in recipe.items() if k != "test_images"}}


@expects(runs=Each(Run))
def group_runs(runs: list[Run]) -> list[Group]:
    """Runs gathered by network: plain ones first, by depth."""
    names = {run.config["network"] for run in runs}
    groups = [Group(name, [r for r in runs if r.config["network"] == name]) for name in names]
    return sorted(groups, key=lambda group: (not group.is_plain, group.depth, group.name))
