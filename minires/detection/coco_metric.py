"""COCO's twelve numbers, by the rules of its own program (pycocotools).

For each of ten thresholds of overlap, .5 to .95, and each range of areas: the detections of an
image and class come by falling score. Each takes, of the objects still free that it overlaps
enough, the one that it overlaps most. Crowds and objects outside the range are ignored: they are
taken only where nothing else is left, and what takes them counts neither way; nor does a detection
outside the range that takes nothing. Average precision is the mean of the precision, made monotone,
at 101 recalls, average recall the recall of all the detections.

Differences to pycocotools: ids may be 0; `max_detections` may be any rising numbers, the last of
which counts for average precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ..common.expecting import COUNT, SOME, Each, expects
from .annotations import Annotations, refuse_others
from .detections import Detections
from .overlaps import Overlaps, Places, groups, overlaps, ranked

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
AREAS = ("all", "small", "medium", "large")
RANGES = np.array([(0, 1e10), (0, 32**2), (32**2, 96**2), (96**2, 1e10)])  # both ends belong
MAX_DETECTIONS = (1, 10, 100)  # of an image and class


@dataclass(frozen=True, eq=False)
class CocoEvaluation:
    """Precision (thresholds, recalls, classes, areas) and recall (thresholds, classes, areas,
    `max_detections`), -1 where a class has no objects of the range; `objects` (classes, areas).
    """

    classes: tuple[str, ...]
    max_detections: tuple[int, ...]
    precision: Floats
    recall: Floats
    objects: Places

    def average_precision(
        self, *, iou: float | None = None, area: str = "all", label: int | None = None
    ) -> float:
        """Mean over thresholds (or at one), recalls and classes (or of one); -1 without objects."""
        chosen = self.precision[at(iou), :, of(label, len(self.classes)), number_of(area)]
        return mean_of_known(chosen)

    def average_recall(
        self, *, most: int = -1, area: str = "all", label: int | None = None
    ) -> float:
        """Mean over thresholds and classes (or of one) for `max_detections[most]`."""
        chosen = self.recall[:, of(label, len(self.classes)), number_of(area)]
        return mean_of_known(chosen[..., most])

    @property
    def twelve(self) -> dict[str, float]:
        """The numbers that COCO's program prints, in its order."""
        ap, ar, most = self.average_precision, self.average_recall, self.max_detections
        return (
            {"AP": ap(), "AP50": ap(iou=0.5), "AP75": ap(iou=0.75)}
            | {f"AP {area}": ap(area=area) for area in AREAS[1:]}
            | {f"AR {most[place]}": ar(most=place) for place in range(len(most))}
            | {f"AR {area}": ar(area=area) for area in AREAS[1:]}
        )


def at(iou: float | None) -> slice:
    """Where a threshold is; all without one. Raises: ValueError for none of the ten."""
    if iou is None:
        return slice(None)
    place = int(np.argmin(abs(THRESHOLDS - iou)))
    if not abs(THRESHOLDS[place] - iou) < 1e-6:
        raise ValueError(f"iou must be .5, .55, ... or .95, but is {iou}")
    return slice(place, place + 1)


def of(label: int | None, classes: int) -> slice:
    """Where a class is; all without one. Raises: ValueError for a label that is none."""
    if label is not None and not 1 <= label <= classes:
        raise ValueError(f"label must lie in 1 .. {classes}, but is {label}")
    return slice(None) if label is None else slice(label - 1, label)


def number_of(area: str) -> int:
    """Where a range of areas is. Raises: ValueError for none of the four."""
    if area not in AREAS:
        raise ValueError(f"area must be one of {', '.join(AREAS)}, but is {area!r}")
    return AREAS.index(area)


def mean_of_known(values: Floats) -> float:
    """The mean of what is there, or -1."""
    there = values[values > -1]
    return float(np.mean(there)) if len(there) else -1.0


@expects(annotations=Annotations, detections=Detections, max_detections=Each(COUNT, SOME))
def evaluate_coco(
    annotations: Annotations,
    detections: Detections,
    max_detections: Sequence[int] = MAX_DETECTIONS,
) -> CocoEvaluation:
    """Evaluate by COCO's rules. VOC's "difficult" objects are objects as any other to COCO.

    Raises: ValueError for `max_detections` that fall, or detections of other images or labels.
    """
    classes = len(annotations.classes)
    refuse_others("evaluate_coco: detections", detections, len(annotations.images), classes)
    if list(max_detections) != sorted(max_detections):
        raise ValueError(f"max_detections must rise, as in 1, 10, 100, but are {max_detections}")
    group = groups(detections, classes)
    _, rank = ranked(group, detections.score)
    few = rank < max_detections[-1]
    detections, rank = detections.where(few), rank[few]
    ignored = annotations.crowd | outside(annotations.area)
    pairs = overlaps(annotations, detections, float(THRESHOLDS[0]), crowds=True)
    taking, idle = match(pairs, rank, ignored, annotations.crowd)
    idle |= ~taking & outside(detections.box_area)[:, None]
    counts = [np.bincount(annotations.label[~i], minlength=classes + 1)[1:] for i in ignored]
    objects = np.stack(counts, axis=1)
    precision, recall = accumulate(
        detections, rank, taking & ~idle, ~taking & ~idle, objects, max_detections
    )
    return CocoEvaluation(annotations.classes, tuple(max_detections), precision, recall, objects)


def outside(area: Floats) -> Flags:
    """Whether areas are outside each range, (ranges, N)."""
    return (area < RANGES[:, :1]) | (area > RANGES[:, 1:])


def match(pairs: Overlaps, rank: Places, ignored: Flags, crowd: Flags) -> tuple[Flags, Flags]:
    """Which detections take an object, and whether one that is ignored: (ranges, thresholds, N).

    All images and classes go side by side: first every group's best detection, then the second.
    `ignored` is (ranges, objects).
    """
    # of a detection's objects, the last that it may take is the one it overlaps most
    order = np.lexsort((pairs.object, pairs.iou, pairs.detection, rank[pairs.detection]))
    detection, object_, iou = (column[order] for column in pairs)
    ranges, thresholds = len(ignored), np.minimum(THRESHOLDS, 1 - 1e-10)[:, None]
    free = np.ones((ranges, len(thresholds), len(crowd)), bool)
    taking = np.zeros((ranges, len(thresholds), len(rank)), bool)
    idle = np.zeros_like(taking)
    for turn in turns(rank[detection]):
        them, theirs = detection[turn], object_[turn]
        can = (iou[turn] >= thresholds) & free[:, :, theirs]
        places = np.arange(1, len(them) + 1)
        wish = np.where(ignored[:, None, theirs], places, places + len(them))  # these come first
        starts = np.flatnonzero(np.diff(them, prepend=-1))
        best = np.maximum.reduceat(np.where(can, wish, 0), starts, axis=2)
        area, threshold, which = np.nonzero(best)
        chosen = (best[area, threshold, which] - 1) % len(them)
        free[area, threshold, theirs[chosen]] = crowd[theirs[chosen]]
        taking[area, threshold, them[chosen]] = True
        idle[area, threshold, them[chosen]] = ignored[area, theirs[chosen]]
    return taking, idle


def turns(ranks: Places) -> list[slice]:
    """Runs of equal numbers in a sorted column."""
    edges = [*np.flatnonzero(np.diff(ranks, prepend=-1)), len(ranks)]
    return [slice(start, end) for start, end in pairwise(edges)]


def accumulate(
    detections: Detections,
    rank: Places,
    true: Flags,
    false: Flags,
    objects: Places,
    max_detections: Sequence[int],
) -> tuple[Floats, Floats]:
    """Precision and recall of every class, as `CocoEvaluation` has them."""
    classes, ranges = objects.shape
    precision = np.full((len(THRESHOLDS), len(RECALLS), classes, ranges), -1.0)
    recall = np.full((len(THRESHOLDS), classes, ranges, len(max_detections)), -1.0)
    order = np.lexsort((rank, detections.image, -detections.score, detections.label))
    ends = np.searchsorted(detections.label[order], np.arange(1, classes + 2))
    for place in range(classes):
        them = order[ends[place] : ends[place + 1]]
        for area in np.flatnonzero(objects[place]):
            hits, misses = true[area][:, them], false[area][:, them]
            count = objects[place, area]
            precision[:, :, place, area] = precision_at_recalls(hits, misses, count)
            for which, most in enumerate(max_detections):
                found = (hits & (rank[them] < most)).sum(axis=1)
                recall[:, place, area, which] = found / count
    return precision, recall


def precision_at_recalls(hits: Flags, misses: Flags, objects: int) -> Floats:
    """Monotone precision (thresholds, recalls) of detections (thresholds, N) by falling score."""
    true, false = hits.cumsum(axis=1), misses.cumsum(axis=1)
    precision = true / (false + true + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    beyond = np.zeros((len(precision), 1))
    padded = np.concatenate([precision, beyond], axis=1)
    places = [np.searchsorted(recalls, RECALLS) for recalls in true / objects]
    return np.take_along_axis(padded, np.stack(places), axis=1)
