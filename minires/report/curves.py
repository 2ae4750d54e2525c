"""Curves over several seeds: what the pictures and the page draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .runs import Run

# What a reader can choose to see: the kind of record that holds it, its field, and a factor.
QUANTITIES: dict[str, tuple[str, str, float]] = {
    "training loss": ("interval", "loss", 1),
    "training error": ("interval", "training_error", 100),
    "test loss": ("evaluation", "test_loss", 1),
    "test error": ("evaluation", "test_error", 100),
    "gradient norm": ("interval", "gradient_norm", 1),
    "learning rate": ("interval", "lr", 1),
}


@dataclass(frozen=True)
class Curve:
    """One quantity of several runs at the steps that all of them recorded.

    `values` and `seconds` have shape (runs, steps); seconds are NaN where none were recorded.
    """

    steps: np.ndarray
    values: np.ndarray
    seconds: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        return self.values.mean(0)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation over the runs (n - 1); zero for one run, which has no spread."""
        return self.values.std(0, ddof=1) if len(self.values) > 1 else 0 * self.values[0]


def common_curve(runs: Sequence[Run], kind: str, value: str, factor: float = 1) -> Curve:
    """A field of the records of one kind, for runs that may have got to different steps."""
    by_step = [
        {r["step"]: r for r in run.records if r["kind"] == kind and value in r} for run in runs
    ]
    steps = sorted(set.intersection(*map(set, by_step)))
    return Curve(
        np.array(steps, int),
        factor * table(by_step, steps, value),
        table(by_step, steps, "seconds"),
    )


def table(by_step: list[dict[int, dict[str, Any]]], steps: list[int], field: str) -> np.ndarray:
    """A field as (runs, steps), NaN where a record lacks it."""
    rows = [[records[step].get(field, np.nan) for step in steps] for records in by_step]
    return np.array(rows, float).reshape(len(by_step), len(steps))


def batches_per_epoch(run: Run) -> float | None:
    """Iterations of an epoch, or None where the run recorded nothing to tell it by."""
    images = run.config.get("training_images")
    if images:
        return images // run.config["recipe"]["batch_size"]
    ratios = [r["step"] / r["epoch"] for r in run.records if r.get("epoch")]
    return ratios[-1] if ratios else None


@dataclass(frozen=True)
class Gradients:
    """Norm of each layer's weight gradient at one iteration: names, and values (runs, layers)."""

    step: int
    layers: list[str]
    values: np.ndarray

    @property
    def first_to_last(self) -> float:
        """The first layer's norm over that of the last convolution; means over the runs."""
        means = self.values.mean(0)
        return float(means[0] / means[-2]) if len(means) > 2 and means[-2] else float("nan")

    @property
    def largest_to_smallest(self) -> float:
        """The largest norm of a layer before the classifier over the smallest; means over runs."""
        means = self.values.mean(0)[:-1]
        return float(means.max() / means.min()) if len(means) and means.min() else float("nan")


def layer_gradients(runs: Sequence[Run]) -> list[Gradients]:
    """What was recorded of the gradients, by iteration; shortcuts' projections are left out."""
    by_step = [
        {r["step"]: r["norms"] for r in run.records if r["kind"] == "gradients"} for run in runs
    ]
    steps = sorted(set.intersection(*map(set, by_step)))
    return [gradients_at(step, [norms[step] for norms in by_step]) for step in steps]


def gradients_at(step: int, norms: list[dict[str, float]]) -> Gradients:
    """The gradients of several runs at one iteration, in layer order."""
    layers = [name for name in norms[0] if "downsample" not in name]
    values = [[run.get(name, np.nan) for name in layers] for run in norms]
    return Gradients(step, [name.removesuffix(".weight") for name in layers], np.array(values))
