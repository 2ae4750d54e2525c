"""Training of a detector, through the loop that trains all networks: `training/trainer.py`.

In its records `loss` is the sum of the four losses, `training_error` the share of sampled regions
whose class is wrong, and the test's error is 1 - mAP at an overlap of .5, by VOC's rules since
2010; lines of the kind "losses" hold the four, and lines of the kind "detection" mAP@.5 and
mAP@[.5,.95].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import Tensor, no_grad
from ..nn import Module, Sequential, evaluating
from ..training.meters import Meter, Tally
from ..training.recipes import Recipe
from ..training.schedules import LinearDecay, LinearWarmUp, StepDecay
from ..training.trainer import Trainer, run_all
from .coco_metric import evaluate_coco
from .detecting import detect
from .detections import Detection, Detections
from .network import FasterRCNN, Losses
from .saved import save_detector
from .sets import DetectionBatches, DetectionData, DetectionSet, first
from .voc_metric import evaluate_voc

TERMS = ("objectness", "proposal_boxes", "classes", "boxes")


class DetectionTally(Tally):
    """Sums of the loss and of wrong shares over images, and of the four losses over batches."""

    def __init__(self) -> None:
        super().__init__("cpu")
        self.terms, self.batches = np.zeros(len(TERMS)), 0

    def count(self, losses: Losses, images: int) -> None:
        """Add a batch; the trainer counts its images."""
        terms = np.array([getattr(losses, name).item() for name in TERMS])
        wrong = float((losses.logits.argmax(axis=1) != losses.labels).mean())
        self.totals += np.array([terms.sum() * images, wrong * images])
        self.terms, self.batches = self.terms + terms, self.batches + 1

    def read(self) -> Meter:
        """What has been counted since the last time; wrong is a sum of shares."""
        loss, wrong = self.totals.tolist()
        meter = Meter(loss, wrong, self.images)  # a share of wrong regions, where others count
        self.totals[...], self.images = 0, 0
        return meter

    def means(self) -> dict[str, float]:
        """The four losses since the last time."""
        means = dict(zip(TERMS, (self.terms / max(self.batches, 1)).tolist(), strict=True))
        self.terms, self.batches = np.zeros(len(TERMS)), 0
        return means


class DetectorTrainer(Trainer):
    """Trains a detector; arguments and files are those of `Trainer`. It runs on the CPU."""

    model: FasterRCNN
    dataset: DetectionData
    tally: DetectionTally

    def __init__(
        self, model: FasterRCNN, data: DetectionData, recipe: Recipe, **options: Any
    ) -> None:
        super().__init__(model, data, recipe, **options)  # type: ignore[arg-type]
        self.tally = DetectionTally()

    def make_batches(self, seed: int, **place: Any) -> Any:
        """Batches of annotated images."""
        if place["device"] != "cpu":
            raise ValueError('detectors are trained on the CPU so far: device="cpu"')
        settings, size = self.model.numbers, self.recipe.batch_size
        return DetectionBatches(self.dataset.train, size, seed, settings, dtype=place["dtype"])

    def make_gradients(self) -> None:
        """Forward and backward of the four losses."""
        step = self.batches.due
        batch, rng = self.batches.next(), self.batches.generator(step)
        objects = batch.boxes, batch.labels
        losses = self.model.losses(Tensor(batch.images), *objects, rng, batch.sizes)
        self.tally.count(losses, self.recipe.batch_size)
        self.optimizer.zero_grad()
        losses.total.backward()

    def timed_network(self) -> tuple[Module, Any]:
        """The layers of the trunk alone."""
        side = self.model.numbers.shorter
        return Sequential(*self.model.trunk.children()), (side, side, 3)

    def do_what_is_due(self) -> None:
        """As for any network; the four losses are written, too."""
        if "record" in self.recipe.due(self.step):
            self.records.add("losses", self, **self.tally.means())
        super().do_what_is_due()

    def evaluate(self) -> Meter:
        """Both mean average precisions on the test set, which are written down."""
        results = mean_precisions(self.model, first(self.dataset.test, self.recipe.test_images))
        self.records.add("detection", self, **results)
        return Meter(0.0, 1 - results["mAP50"], 1)


def mean_precisions(model: FasterRCNN, data: DetectionSet) -> dict[str, float]:
    """mAP@.5 by VOC's rules (area), and COCO's mAP@[.5,.95], of a detector on a set; shares."""
    found = detect_all(model, data)
    coco = evaluate_coco(data.annotations, found)
    return {"mAP50": evaluate_voc(data.annotations, found).mean, "mAP": coco.average_precision()}


def detect_all(
    model: FasterRCNN, data: DetectionSet, watch: Callable[[range], Iterator[int]] | None = None
) -> Detections:
    """What a detector finds in all images of a set."""
    places = range(len(data))
    with no_grad(), evaluating(model):
        rows = [row for place in (watch or iter)(places) for row in found_in(model, data, place)]
    return Detections.of(rows)


def found_in(model: FasterRCNN, data: DetectionSet, place: int) -> Iterator[Detection]:
    """The detections of one image."""
    found = detect(model, data.pixels(place))
    for box, label, score in zip(found.boxes.tolist(), found.labels, found.scores, strict=True):
        x1, y1, x2, y2 = box
        yield Detection(place, int(label), (x1, y1, x2, y2), (x2 - x1) * (y2 - y1), float(score))


def toy(iterations: int | None = None) -> Recipe:
    """Seconds: it shows that everything works, and teaches nothing."""
    stop = iterations or 4
    return Recipe(
        name="toy",
        iterations=stop,
        batch_size=2,
        schedule=LinearDecay(peak=0.01, start=min(2, stop - 1), stop=stop),
        record_every=2,
        evaluate_every=4,
        checkpoint_every=2,
        test_images=4,
    )


def quick(iterations: int | None = None) -> Recipe:
    """1,200 iterations of 8 images: rate 0.02, a tenth of it for the last quarter."""
    iterations = iterations or 1200
    return Recipe(
        name="quick",
        iterations=iterations,
        batch_size=8,
        schedule=LinearWarmUp(50, StepDecay(peak=0.02, drops=(iterations * 3 // 4,))),
        record_every=20,
        evaluate_every=300,
        checkpoint_every=100,
        test_images=500,
    )


DETECTION_PRESETS: dict[str, Callable[[int | None], Recipe]] = {"toy": toy, "quick": quick}
SCENES = {"toy": (16, 4), "quick": (2000, 500)}  # training and test scenes of the built-in set


def train_detector(trainer: DetectorTrainer) -> Path:
    """Train to the end, from the folder's checkpoint if it has one; the file of weights."""
    run_all([trainer])
    return save_detector(trainer.model, trainer.folder / "detector.safetensors")
