"""The loop on a user's images: `Trainer`, with class weights, and the best network kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..data import Photographs
from ..kernels.devices import move
from ..nn import Module
from ..nn import functional as F
from ..training import Meter, Recipe, Trainer
from ..training.records import read_records
from .results import save_network

BEST = "best.safetensors"


class PhotographTrainer(Trainer):
    """Trains a classifier of photographs; arguments and files are those of `Trainer`.

    The network of the best evaluation so far, the earliest of several, is `best.safetensors`.
    `weights` (K,) are those of the classes in the training loss, `about` what else a run must share
    with its checkpoint.
    """

    dataset: Photographs

    def __init__(
        self,
        model: Module,
        data: Photographs,
        recipe: Recipe,
        *,
        weights: Sequence[float] | None = None,
        about: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, data, recipe, **options)
        dtype = model.parameters()[0].dtype
        self.weights = None if weights is None else move(np.array(weights, dtype), model.device)
        self.identity |= {"class_names": list(data.classes), "image_size": data.size}
        self.identity |= {"balanced": weights is not None, **(about or {})}

    def loss_of(self, logits: Tensor, labels: Any) -> Tensor:
        """Cross-entropy, in which the classes may have weights."""
        return F.cross_entropy(logits, labels, weight=self.weights)

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
