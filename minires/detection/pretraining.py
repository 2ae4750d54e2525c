"""A small detector's trunk and head, trained first to tell the built-in drawings apart.

As the paper's backbones were on ImageNet (He et al. 2015, app. A): what recognises a drawing is the
trunk, a map as large as that of one region, and the head, with a layer of its own behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from ..autograd import Tensor
from ..data import Dataset, generate
from ..nn import Linear, Module
from ..nn.init import generators
from ..training.recipes import Recipe
from ..training.schedules import LinearDecay, LinearWarmUp
from ..training.trainer import Trainer
from .network import FasterRCNN

STRIDE, BATCH = 8, 64
DRAWINGS = {"toy": (64, 32), "quick": (12_000, 1_000)}  # training and test, by preset


@cache
def drawn(train: int, test: int, side: int) -> Dataset:
    """The built-in drawings; several detectors learn from the same ones."""
    return generate(train=train, test=test, size=side)


class Classifier(Module):
    """Trunk and head of a detector, its own layers, and a linear layer for classes."""

    def __init__(self, detector: FasterRCNN, classes: int, seed: int) -> None:
        super().__init__()
        self.trunk, self.head = detector.trunk, detector.head
        features, dtype = detector.predictor.cls_score.weight.shape[0], detector.rpn.conv.weight
        self.fc = Linear(features, classes, rng=generators(seed)[0], dtype=dtype.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, H, W, 3) -> logits (N, classes)."""
        (map_,) = self.trunk(x)
        return self.fc(self.head(map_))


def pretraining(
    detector: FasterRCNN,
    iterations: int,
    *,
    folder: Path,
    seed: int,
    device: str | None = None,
    watch: Callable[[Trainer], None] | None = None,
    drawings: tuple[int, int] = DRAWINGS["quick"],
) -> Trainer:
    """What trains a small detector's trunk and head on drawings of 8 x 8 its regions' pixels.

    `drawings` are numbers of training and test images. The rate falls from 0.05 to 0.
    """
    data = drawn(*drawings, STRIDE * detector.pool.size)
    warm_up = max(1, iterations // 20)
    decay = LinearDecay(peak=0.05, start=warm_up, stop=iterations)
    recipe = Recipe(
        name="pretraining",
        iterations=iterations,
        batch_size=min(BATCH, drawings[0]),
        schedule=LinearWarmUp(warm_up, decay),
        record_every=max(1, iterations // 20),
        evaluate_every=iterations,
        checkpoint_every=max(1, iterations // 4),
    )
    options: dict[str, Any] = {"folder": folder, "seed": seed, "device": device, "watch": watch}
    model = Classifier(detector, len(data.classes), seed)
    return Trainer(model, data, recipe, name=f"{detector.name}, drawings", **options)
