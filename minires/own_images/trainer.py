"""The loop on a user's images: `Trainer`, and the best network kept."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ..common.expecting import expects
from ..data import Photographs
from ..nn import Module
from ..training import Meter, Recipe, Trainer
from ..training.records import read_records
from .results import save_network
from .starting import must_fit

BEST = "best.safetensors"


class PhotographTrainer(Trainer):
    """Trains a classifier of photographs; arguments and files are those of `Trainer`.

    The network of the best evaluation so far, the earliest of several, is `best.safetensors`.
    `about` is what else a run must share with its checkpoint.
    """

    dataset: Photographs

    @expects(data=Photographs, about=dict)
    def __init__(
        self,
        model: Module,
        data: Photographs,
        recipe: Recipe,
        *,
        about: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, data, recipe, **options)
        must_fit(model, data.classes)
        self.identity |= {"class_names": list(data.classes), "image_size": data.size}
        self.identity |= about or {}

    def evaluate(self) -> Meter:
        """Loss and error on the test images; the network is kept if no earlier one was as good."""
        test = super().evaluate()
        if test.error < best_error(self.folder):
            save_network(self.model, self.dataset, self.folder / BEST)
        return test


def best_error(folder: Path) -> float:
    """The least error of the evaluations that are recorded; infinite without any."""
    return min((error for _, error in evaluations(folder)), default=math.inf)


def evaluations(folder: Path) -> list[tuple[int, float]]:
    """Step and test error of each evaluation."""
    records = read_records(folder / "records.jsonl")
    return [(r["step"], r["test_error"]) for r in records if r["kind"] == "evaluation"]
