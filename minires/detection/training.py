"""Training of a detector, through the loop that trains all networks: `training/trainer.py`.

In its records `loss` is the sum of the four losses, `training_error` the share of sampled regions
whose class is wrong, and the test's error is 1 - mAP at an overlap of .5, by VOC's rules since
2010; lines of the kind "losses" hold the four, and lines of the kind "detection" mAP@.5 and
mAP@[.5,.95], the latter also of small, medium and large objects.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import Tensor, no_grad
from ..common.expecting import COUNT, SOME, Each, expects
from ..distributed import world
from ..kernels.devices import to_host
from ..nn import Module, Sequential, evaluating
from ..training.meters import Meter, Tally
from ..training.recipes import Recipe
from ..training.replay import NoReplay
from ..training.schedules import LinearDecay, LinearWarmUp, StepDecay
from ..training.trainer import Trainer, run_all
from .coco_metric import AREAS, evaluate_coco
from .detecting import Pixels, detect
from .detections import Detection, Detections
from .network import FasterRCNN, Losses
from .regions import Found
from .saved import save_detector
from .sets import DetectionBatches, DetectionData, DetectionSet, first
from .voc_metric import evaluate_voc

PRECISIONS = ("float32", "tf32")  # regions of maps in bfloat16 can't be pooled
TERMS = ("objectness", "proposal_boxes", "classes", "boxes")


class DetectionTally(Tally):
    """Sums of the loss and of wrong shares over images, and of the four losses over batches.

    Batches are added up where the sums are asked for: so no step waits for a GPU.
    """

    def __init__(self) -> None:
        super().__init__("cpu")
        self.terms, self.batches = np.zeros(len(TERMS)), 0
        self.waiting: list[tuple[Any, ...]] = []

    def count(self, losses: Losses, images: int) -> None:
        """Note a batch; the trainer counts its images."""
        terms = [getattr(losses, name).data for name in TERMS]
        self.waiting.append((terms, losses.logits, losses.labels, images))

    def add_up(self) -> None:
        """Add all that was noted."""
        for arrays, logits, labels, images in self.waiting:
            terms = np.array([to_host(array).item() for array in arrays])
            wrong = float((to_host(logits).argmax(axis=1) != labels).mean())
            self.totals += np.array([terms.sum() * images, wrong * images])
            self.terms, self.batches = self.terms + terms, self.batches + 1
        self.waiting = []

    def read(self) -> Meter:
        """What has been counted since the last time; wrong is a sum of shares."""
        self.add_up()
        loss, wrong = self.totals.tolist()
        meter = Meter(loss, wrong, self.images)  # a share of wrong regions, where others count
        self.totals[...], self.images = 0, 0
        return meter

    def means(self) -> dict[str, float]:
        """The four losses since the last time."""
        self.add_up()
        means = dict(zip(TERMS, (self.terms / max(self.batches, 1)).tolist(), strict=True))
        self.terms, self.batches = np.zeros(len(TERMS)), 0
        return means


class DetectorTrainer(Trainer):
    """Trains a detector; arguments and files are those of `Trainer`.

    `scales` are shorter sides of training images in pixels, one of which is drawn for each; left
    out, all are as the detector will see them. `conditions` are what else makes a run another one,
    by name: texts, numbers, None for what is usual.

    On a GPU the maps and all gradients are made there. The host draws the samples and picks the
    proposals, for which it waits once in each step. Steps are not replayed: regions come in other
    numbers each time.
    """

    model: FasterRCNN
    dataset: DetectionData
    tally: DetectionTally

    @expects(model=FasterRCNN, data=DetectionData, scales=Each(COUNT))
    def __init__(
        self,
        model: FasterRCNN,
        data: DetectionData,
        recipe: Recipe,
        *,
        scales: Sequence[int] = (),
        conditions: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        must_share_classes(model, data.train)
        self.scales = tuple(scales)
        super().__init__(model, data, recipe, **options)  # type: ignore[arg-type]
        self.tally = DetectionTally()
        self.identity |= {"scales": list(scales) or None, **(conditions or {})}
        about = {"labels": model.classes, "numbers": asdict(model.numbers)}
        self.identity |= json.loads(json.dumps(about))  # lists for tuples, as files have them
        self.replay = NoReplay(model, self.optimizer, self.batches, self.name)

    def make_batches(self, seed: int, **place: Any) -> Any:
        """Batches of annotated images."""
        settings, size = self.model.numbers, self.recipe.batch_size
        place["scales"] = self.scales
        return DetectionBatches(self.dataset.train, size, seed, settings, **place)

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


def must_share_classes(model: FasterRCNN, data: DetectionSet) -> None:
    """Raises: ValueError where labels mean something else to a detector than in a set."""
    if model.classes != (names := data.annotations.classes):
        raise ValueError(
            f"{model.name} has the classes {', '.join(model.classes)}, but "
            f"{data.annotations.name} {', '.join(names)}: both need the same, in the same order"
        )


def mean_precisions(model: FasterRCNN, data: DetectionSet) -> dict[str, float]:
    """mAP@.5 by VOC's rules (area) and COCO's mAP@[.5,.95] of a detector on a set, as shares.

    The latter also of small, medium and large objects, where there are some. Raises: ValueError
    where their classes are not the same.
    """
    must_share_classes(model, data)
    return precisions(data, detect_all(model, data))


def precisions(data: DetectionSet, found: Detections) -> dict[str, float]:
    """The same of what was found."""
    coco = evaluate_coco(data.annotations, found)
    sizes = {f"mAP {area}": coco.average_precision(area=area) for area in AREAS[1:]}
    known = {name: value for name, value in sizes.items() if value >= 0}
    voc = evaluate_voc(data.annotations, found).mean
    return {"mAP50": voc, "mAP": coco.average_precision(), **known}


def detect_all(
    model: FasterRCNN, data: DetectionSet, watch: Callable[[range], Iterator[int]] | None = None
) -> Detections:
    """What a detector finds in all images of a set."""
    with no_grad(), evaluating(model):
        return found_by(lambda pixels: detect(model, pixels), data, watch)


def found_by(
    look: Callable[[Pixels], Found],
    data: DetectionSet,
    watch: Callable[[range], Iterator[int]] | None = None,
) -> Detections:
    """What somebody who looks at them finds in all images of a set."""
    places = (watch or iter)(range(len(data)))
    return Detections.of([row for p in places for row in rows_of(p, look(data.pixels(p)))])


def rows_of(place: int, found: Found) -> Iterator[Detection]:
    """The detections of one image."""
    for box, label, score in zip(found.boxes.tolist(), found.labels, found.scores, strict=True):
        x1, y1, x2, y2 = box
        yield Detection(place, int(label), (x1, y1, x2, y2), (x2 - x1) * (y2 - y1), float(score))


def toy(iterations: int | None = None) -> Recipe:
    """Seconds: it shows that everything works, and teaches nothing."""
    iterations = 4 if iterations is None else iterations
    return Recipe(
        name="toy",
        iterations=iterations,
        batch_size=2,
        schedule=LinearDecay(peak=0.01, start=min(2, iterations - 1), stop=iterations),
        record_every=2,
        evaluate_every=4,
        checkpoint_every=2,
        test_images=4,
    )


def quick(iterations: int | None = None) -> Recipe:
    """1,200 iterations of 8 images: rate 0.02, a tenth of it for the last quarter."""
    iterations = 1200 if iterations is None else iterations
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


@expects(trainers=Each(DetectorTrainer, SOME))
def train_detectors(trainers: Sequence[DetectorTrainer]) -> list[Path]:
    """Train to the end, from the folders' checkpoints if they have some; the files of weights.

    Where a launcher has started several ranks, the runs are dealt to them.
    """
    run_all(trainers)
    paths = [trainer.folder / "detector.safetensors" for trainer in trainers]
    if world().rank == 0:
        for trainer, path in zip(trainers, paths, strict=True):
            save_detector(trainer.model, path)
    return paths


@expects(trainer=DetectorTrainer)
def train_detector(trainer: DetectorTrainer) -> Path:
    """The same of one."""
    return train_detectors([trainer])[0]
