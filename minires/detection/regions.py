"""What becomes of a region: its class and its box; losses in training, detections afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..autograd import Tensor
from ..kernels import nms
from ..nn import Linear, Module
from ..nn import functional as F
from ..nn.init import Rng
from ..nn.layers import DType
from .boxes import HEAD_WEIGHTS, Array, Boxes, clip, decode, encode
from .matching import Places, match_regions, sample
from .proposals import best_first, draw
from .settings import Settings


class Regions(NamedTuple):
    """Regions of a batch: boxes (R, 4), their images (R,); in training what they should become."""

    boxes: Boxes
    images: Places
    labels: Places  # (R,), 0 is background
    targets: Array  # (R, 4), codes of the true boxes; of backgrounds zeros


class Found(NamedTuple):
    """Detections in one image, best first: boxes (D, 4), labels 1 .. K, scores."""

    boxes: Boxes
    labels: Places
    scores: Array


class Judged(NamedTuple):
    """What is said of regions: probabilities (R, K + 1), a box for each class (R, K + 1, 4)."""

    scores: Array
    boxes: Boxes

    def likely(self, size: tuple[int, int], settings: Settings) -> Found:
        """Each likely class of each region, its box cut to the image (height, width)."""
        chosen = likely_classes(self.scores, settings)
        return in_image(self.boxes[chosen], chosen[1], self.scores[chosen], size)


class Predictor(Module):
    """Two layers side by side: K + 1 logits, and a box code for each class."""

    def __init__(self, features: int, classes: int, *, rng: Rng, dtype: DType = np.float32) -> None:
        super().__init__()
        self.cls_score = Linear(features, classes + 1, rng=rng, dtype=dtype)
        self.bbox_pred = Linear(features, 4 * (classes + 1), rng=rng, dtype=dtype)
        draw(self.cls_score.weight, 0.01, rng)
        draw(self.bbox_pred.weight, 0.001, rng)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(R, features) -> logits (R, K + 1), codes (R, K + 1, 4)."""
        codes = self.bbox_pred(x)
        return self.cls_score(x), codes.reshape(len(x), codes.shape[1] // 4, 4)


def sample_regions(
    proposals: Sequence[Boxes],
    objects: Sequence[Boxes],
    labels: Sequence[Places],
    settings: Settings,
    rng: np.random.Generator,
) -> Regions:
    """Some proposals of each image, a quarter of them objects, with what they should become.

    The objects' own boxes are proposals, too.
    """
    parts = []
    for number, (boxes, truth, classes) in enumerate(zip(proposals, objects, labels, strict=True)):
        truth = truth.astype(boxes.dtype)
        boxes = np.concatenate([boxes, truth])
        matches = match_regions(boxes, truth)
        yes, no = sample(matches, settings.region_sample, settings.positive_share, rng)
        boxes, own = boxes[np.concatenate([yes, no])], matches[yes]
        targets = np.zeros_like(boxes)
        targets[: len(yes)] = encode(truth[own], boxes[: len(yes)], HEAD_WEIGHTS)
        known = np.concatenate([classes[own], np.zeros(len(no), np.int64)])
        parts.append(Regions(boxes, np.full(len(boxes), number), known, targets))
    return Regions(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def region_losses(
    logits: Tensor, codes: Tensor, regions: Regions, settings: Settings
) -> tuple[Tensor, Tensor]:
    """The class of each region, and the box of that class (Girshick 2015, eq. 1).

    Without any region, as broken weights propose, both are 0.
    """
    yes = np.flatnonzero(regions.labels > 0)
    own = codes[yes, regions.labels[yes]]
    where = F.smooth_l1(own, regions.targets[yes], beta=settings.beta)
    classes = F.cross_entropy(logits, regions.labels) if len(regions.labels) else logits.sum()
    return classes, where * (1 / max(len(regions.labels), 1))


def probabilities(logits: Array) -> Array:
    """Softmax over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def detections(
    scores: Array, codes: Array, boxes: Boxes, size: tuple[int, int], settings: Settings
) -> Found:
    """What is found in one image (height, width), from its regions (R, 4).

    `scores` (R, K + 1) are probabilities. Each class of each region is a box, cut to the image; the
    likely ones suppress each other within a class; the best over all classes stay.
    """
    chosen = regions, classes = likely_classes(scores, settings)
    made = decode(codes[chosen], boxes[regions], HEAD_WEIGHTS)
    return best_of_each_class(in_image(made, classes, scores[chosen], size), settings)


def likely_classes(scores: Array, settings: Settings) -> tuple[Places, Places]:
    """Regions and labels whose probability is worth a box, from (R, K + 1)."""
    regions, classes = np.nonzero(scores[:, 1:] > settings.least_score)
    return regions, classes + 1


def in_image(boxes: Boxes, labels: Places, scores: Array, size: tuple[int, int]) -> Found:
    """Boxes cut to the image (height, width), without those of which nothing is left."""
    boxes = clip(boxes, *size)
    large = (boxes[:, 2:] - boxes[:, :2] >= 1e-2).all(axis=1)
    return Found(boxes[large], labels[large], scores[large])


def best_of_each_class(found: Found, settings: Settings) -> Found:
    """What stays, best first, where likely boxes suppress others of their class."""
    order = best_first(found.scores)
    kept = order[suppressed_by_class(found.boxes[order], found.labels[order], settings.nms)]
    kept = kept[: settings.most]
    return Found(found.boxes[kept], found.labels[kept], found.scores[kept])


def suppressed_by_class(boxes: Boxes, classes: npt.NDArray[np.integer], threshold: float) -> Places:
    """Places of what stays, rising, where boxes suppress those of their class alone."""
    kept = [np.zeros(0, np.int64)]
    for one in np.unique(classes):
        own = np.flatnonzero(classes == one)
        kept.append(own[nms(np.ascontiguousarray(boxes[own]), threshold=threshold)])
    return np.sort(np.concatenate(kept))
