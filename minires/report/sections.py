"""Runs under the same conditions, side by side: what one table and one verdict may be about."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..training.pace import duration
from .curves import QUANTITIES, Curve, batches_per_epoch, common_curve, layer_gradients
from .paper import PaperComparison, comparisons, printed_parameters, printed_test_error
from .runs import Group, Run, conditions, group_runs
from .tables import detector_row, final_figures, gradient_rows
from .verdict import about_detector, own_verdict, verdict

DIGITS = 5  # of a number in the page: more than a curve can show


@dataclass(frozen=True)
class Section:
    """All runs under one set of conditions: those that are finished as groups, and the others."""

    groups: list[Group]
    unfinished: list[Run]
    number: int = 0  # counted from 1 where there are several sections, else 0

    @property
    def runs(self) -> list[Run]:
        return [*(run for group in self.groups for run in group.runs), *self.unfinished]

    @property
    def config(self) -> dict[str, Any]:
        """The configuration of the first run: its conditions are those of all."""
        return self.runs[0].config

    @property
    def title(self) -> str:
        """Data and recipe."""
        recipe, number = self.config["recipe"], f"{self.number}: " if self.number else ""
        return (
            f"{number}{self.config['data']}, recipe {recipe['name']}, "
            f"{recipe['iterations']:,} iterations of {recipe['batch_size']} images"
        )

    @property
    def seeds(self) -> int:
        """The largest number of finished seeds of a network."""
        return max((len(group.runs) for group in self.groups), default=0)

    @property
    def is_of_own_images(self) -> bool:
        """Whether the images are a user's, which the paper says nothing about."""
        return "class_names" in self.config

    @property
    def is_of_detection(self) -> bool:
        """Whether detectors were trained, whose records have mean average precisions."""
        return any(r["kind"] == "detection" for run in self.runs for r in run.records)

    @property
    def sentences(self) -> list[tuple[str, str]]:
        """The verdict's sentences, each split after its first words, "Cure:"."""
        if not self.groups:
            return [("", "No run is finished yet, so there is no verdict.")]
        if self.is_of_detection:
            return [("", about_detector(group)) for group in self.groups]
        told = own_verdict if self.is_of_own_images else verdict
        return [split_lead(line) for line in told(self.groups).split("\n")]

    @property
    def comparisons(self) -> list[PaperComparison]:
        return [] if self.is_of_own_images or self.is_of_detection else comparisons(self.runs)

    @property
    def rows(self) -> list[dict[str, str]]:
        if self.is_of_detection:
            return [detector_row(group) for group in self.groups]
        rows = [row(group) for group in self.groups]
        if self.is_of_own_images:
            return [{k: v for k, v in row.items() if "in the paper" not in k} for row in rows]
        return rows

    @property
    def gradient_rows(self) -> list[list[str]]:
        """For each network: how the gradients of its layers compare."""
        return gradient_rows(self.groups)

    def lines(self) -> Iterator[dict[str, Any]]:
        """What the page draws: a line for each network, and one for each unfinished run."""
        number = f" [{self.number}]" if self.number else ""
        for group in self.groups:
            yield {"label": group.name + number, "finished": True, **drawn(group)}
        for run in self.unfinished:
            label = f"{run.label}{number} (not finished)"
            group = Group(run.config["network"], [run])
            yield {"label": label, "finished": False, **drawn(group)}


def make_sections(runs: list[Run]) -> list[Section]:
    """Runs gathered by their conditions, in the order in which they come."""
    by_conditions: dict[str, list[Run]] = {}
    for run in runs:
        by_conditions.setdefault(str(conditions(run)), []).append(run)
    first = 1 if len(by_conditions) > 1 else 0
    return [
        Section(
            group_runs([run for run in members if run.is_finished]),
            [run for run in members if not run.is_finished],
            number,
        )
        for number, members in enumerate(by_conditions.values(), first)
    ]


def differences(sections: list[Section]) -> str:
    """What the conditions of these sections differ in."""
    found = [conditions(section.runs[0]) for section in sections]
    keys = list(dict.fromkeys(key for known in found for key in known))
    differing = [key for key in keys if len({str(known.get(key)) for known in found}) > 1]
    return ", ".join(key.replace("_", " ") for key in differing)


def split_lead(sentence: str) -> tuple[str, str]:
    """ "Cure: with shortcuts ..." as "Cure:" and the rest; other sentences have no lead."""
    lead, colon, rest = sentence.partition(": ")
    return (lead + colon, rest) if colon and len(lead.split()) < 4 else ("", sentence)


def row(group: Group) -> dict[str, str]:
    """A network's figures beside the paper's."""
    parameters = group.config.get("parameters")
    training_loss, training_error, test_error = final_figures(group)
    return {
        "network": group.name,
        "seeds": str(len(group.runs)),
        "parameters": "not recorded" if parameters is None else f"{parameters:,}",
        "in the paper": printed_parameters(group),
        "training loss": training_loss,
        "training error": training_error,
        "test error": test_error,
        "test error in the paper": printed_test_error(group),
        "time": duration(group.mean("seconds")),
    }


def drawn(group: Group) -> dict[str, Any]:
    """The numbers of a network that the page draws, ready for JSON; NaN becomes null."""
    curves = {name: common_curve(group.runs, *where) for name, where in QUANTITIES.items()}
    return {
        "network": group.name,
        "depth": group.depth,
        "kind": "plain" if group.is_plain else "residual" if group.is_residual else "other",
        "seeds": [run.config["seed"] for run in group.runs],
        "per epoch": batches_per_epoch(group.runs[0]),
        "curves": {name: as_json(curve) for name, curve in curves.items() if curve.steps.size},
        "gradients": [
            {
                "step": gradients.step,
                "layers": gradients.layers,
                "mean": plain_numbers(gradients.values.mean(0)),
                "runs": [plain_numbers(values) for values in gradients.values],
            }
            for gradients in layer_gradients(group.runs)
        ],
    }


def as_json(curve: Curve) -> dict[str, Any]:
    """One curve: iterations, mean seconds, mean, standard deviation, and each run's values."""
    return {
        "steps": curve.steps.tolist(),
        "seconds": plain_numbers(curve.seconds.mean(0)),
        "mean": plain_numbers(curve.mean),
        "std": plain_numbers(curve.std) if len(curve.values) > 1 else None,
        "runs": [plain_numbers(values) for values in curve.values],
    }


def plain_numbers(values: Any) -> list[float | None]:
    """Numbers with a few digits; None for NaN and infinity, which JSON does not have."""
    return [float(f"{v:.{DIGITS}g}") if math.isfinite(v) else None for v in values]
