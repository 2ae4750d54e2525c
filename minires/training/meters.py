"""Loss and error, counted over many images; and both over a split, with `evaluate_split`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Tensor, no_grad
from ..common.expecting import expects
from ..data import Dataset, Photographs, evaluation_batches
from ..data.batches import Batch
from ..distributed import ALONE, Alone
from ..kernels.devices import move, to_host
from ..nn import Module, evaluating
from ..nn import functional as F


@dataclass
class Meter:
    """Running sums over images; records hold their means."""

    loss_sum: float = 0.0
    wrong: float = 0
    images: int = 0

    def add(self, other: Meter) -> None:
        """Add another meter's counts."""
        self.loss_sum += other.loss_sum
        self.wrong += other.wrong
        self.images += other.images

    @property
    def loss(self) -> float:
        """Mean loss, in nats."""
        return self.loss_sum / self.images

    @property
    def error(self) -> float:
        """Share of images whose most likely class is not the true one, 0 to 1."""
        return self.wrong / self.images


class Tally:
    """Counts batches where the network computes; only `read` waits for a GPU."""

    def __init__(self, device: str) -> None:
        self.totals, self.images = move(np.zeros(2), device), 0

    def add(self, loss: Tensor, logits: Tensor, labels: np.ndarray) -> None:
        """Count one batch with its mean loss."""
        self.sum(loss, logits, labels)
        self.images += len(labels)

    def sum(self, loss: Tensor, logits: Tensor, labels: np.ndarray) -> None:
        """The part of `add` that runs on the network's device, and so can be replayed on a GPU."""
        kernels.tally(self.totals, loss.data, logits.data, labels)

    def read(self) -> Meter:
        """What has been counted since the last time."""
        loss_sum, wrong = to_host(self.totals).tolist()
        meter = Meter(loss_sum, int(wrong), self.images)
        self.totals[...], self.images = 0, 0
        return meter


@expects(model=Module)
def evaluate_split(
    model: Module,
    dataset: Dataset | Photographs,
    split: str = "test",
    *,
    limit: int | None = None,
    batch_size: int = 250,
    world: Alone = ALONE,
) -> Meter:
    """Loss and error over a split, or its first `limit` images, with the running statistics.

    Every part of the network is put back into its mode. Several ranks share the batches, and the
    figures have the bits of a single one's: each batch is counted apart, then added in order.
    """
    settings: dict[str, Any] = {"dtype": model.parameters()[0].dtype, "device": model.device}
    settings |= {"limit": limit, "first": world.rank, "every": world.size}
    batches = (
        dataset.evaluation_batches(split, batch_size, **settings)
        if isinstance(dataset, Photographs)
        else evaluation_batches(dataset, split, batch_size, **settings)
    )
    if world.size == 1:
        return count(model, batches)
    counted = [astuple(count(model, [batch])) for batch in batches]
    total = Meter()
    # the ranks' lists, read in turns, are the batches in order; some lack the last one
    for row in zip_longest(*world.exchange(counted)):
        for part in filter(None, row):
            total.add(Meter(*part))
    return total


def count(model: Module, batches: Iterable[Batch]) -> Meter:
    """Loss and error of these batches together."""
    tally = Tally(model.device)
    with no_grad(), evaluating(model):
        for images, labels in batches:
            logits = model(Tensor(images))
            tally.add(F.cross_entropy(logits, labels), logits, labels)
    return tally.read()
