"""Runs as they lie in their folders, and runs of one network with several seeds as a group."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..training.files import read_json, read_records

Curve = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Run:
    """One training: its configuration and its records; see `Trainer` for what they hold."""

    config: dict[str, Any]
    records: list[dict[str, Any]]

    def curve(self, kind: str, value: str) -> Curve:
        """Steps and values of one field in all records of a kind."""
        chosen = [r for r in self.records if r["kind"] == kind]
        return np.array([r["step"] for r in chosen]), np.array([r[value] for r in chosen])

    def last_eighth(self, value: str) -> float:
        """Mean of a training figure over the last eighth of the iterations."""
        steps, values = self.curve("interval", value)
        return float(values[steps > self.config["recipe"]["iterations"] * 7 / 8].mean())

    @cached_property
    def results(self) -> dict[str, float]:
        """The figures of the results table: training means over the last eighth, the last test."""
        return {
            "training_loss": self.last_eighth("loss"),
            "training_error": self.last_eighth("training_error"),
            "test_error": float(self.curve("evaluation", "test_error")[1][-1]),
            "seconds": float(self.records[-1]["seconds"]),
        }

    @property
    def is_finished(self) -> bool:
        """Whether the run has been trained to its end."""
        steps, _ = self.curve("evaluation", "test_error")
        return len(steps) > 0 and steps[-1] == self.config["recipe"]["iterations"]


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
    def depth(self) -> int:
        """Number of layers with weights, from the name."""
        return int(self.name.split("-")[1].split()[0])

    @property
    def is_plain(self) -> bool:
        """Whether this is the network without shortcuts."""
        return self.name.startswith("plain")


def load_runs(folder: Path) -> list[Run]:
    """All finished runs in the folders below `folder`.

    Raises: FileNotFoundError if there is none.
    """
    found = [
        Run(read_json(config), read_records(config.with_name("records.jsonl")))
        for config in sorted(folder.glob("*/config.json"))
    ]
    finished = [run for run in found if run.is_finished]
    if not finished:
        raise FileNotFoundError(f"there are no finished runs in {folder}")
    return finished


def group_runs(runs: list[Run]) -> list[Group]:
    """Runs gathered by network: plain ones first, by depth."""
    names = {run.config["network"] for run in runs}
    groups = [Group(name, [r for r in runs if r.config["network"] == name]) for name in names]
    return sorted(groups, key=lambda group: (not group.is_plain, group.depth, group.name))
