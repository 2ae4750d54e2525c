"""Average precision by the rules of PASCAL VOC's development kit (Everingham et al. 2010).

Detections of a class come by falling score. Each is compared with the object of its image and
class that it overlaps most, taken or not. If they overlap by less than one half it is false. If the
object is difficult it counts neither way. The first detection of an object is true, others are
false. Recall is the share of the objects that are not difficult.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..common.expecting import expects
from .annotations import Annotations, refuse_others
from .detections import Detections
from .overlaps import overlaps

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """How many detections are true and false down to each score, of `objects` to be found."""

    objects: int
    true: Counts
    false: Counts

    @property
    def precision(self) -> npt.NDArray[np.float64]:
        """Share of the detections that are true; 0 where none counted yet."""
        return self.true / np.maximum(self.true + self.false, 1)

    @property
    def recall(self) -> npt.NDArray[np.float64]:
        """Share of the objects that are found; NaN where there are none."""
        return self.true / (self.objects or np.nan)

    def average_precision_11(self) -> float:
        """VOC 2007's: the mean over recalls 0, 0.1 .. 1 of the best precision from there on.

        Recalls are compared as fractions, since 3 x 0.1 is not 0.3. NaN for a class of no objects.
        """
        if not self.objects:
            return float("nan")
        reached = self.true * 10 >= np.arange(11)[:, None] * self.objects
        return float(np.where(reached, self.precision, 0).max(axis=1, initial=0).mean())

    def average_precision(self) -> float:
        """VOC's since 2010: the area below the precision made monotone from the right."""
        if not self.objects:
            return float("nan")
        monotone = np.maximum.accumulate(self.precision[::-1])[::-1]
        return float((np.diff(self.recall, prepend=0) * monotone).sum())


@dataclass(frozen=True)
class VocEvaluation:
    """The curves of each class, and the means over the classes that have objects."""

    curves: dict[str, PrecisionRecall]

    @property
    def mean_11(self) -> float:
        """Mean of the 11-point average precisions; NaN where no class has objects."""
        return mean_of_numbers([curve.average_precision_11() for curve in self.curves.values()])

    @property
    def mean(self) -> float:
        """Mean of the areas."""
        return mean_of_numbers([curve.average_precision() for curve in self.curves.values()])


def mean_of_numbers(values: list[float]) -> float:
    """The mean of those that are numbers."""
    numbers = [value for value in values if not np.isnan(value)]
    return float(np.mean(numbers)) if numbers else float("nan")


@expects(annotations=Annotations, detections=Detections, threshold=float)
def evaluate_voc(
    annotations: Annotations, detections: Detections, threshold: float = 0.5
) -> VocEvaluation:
    """Evaluate by VOC's rules; crowds, which VOC does not know, are taken as difficult.

    Raises: ValueError for a threshold beyond 0 .. 1, or detections of other images or labels.
    """
    images, classes = len(annotations.images), len(annotations.classes)
    refuse_others("evaluate_voc: detections", detections, images, classes)
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be more than 0, at most 1, but is {threshold}")
    counting = ~(annotations.difficult | annotations.crowd)
    order = np.lexsort((-detections.score, detections.label))  # stable: equals as in the file
    true, false = (
        hits[order] for hits in hits_and_misses(annotations, detections, counting, threshold)
    )
    ends = np.searchsorted(detections.label[order], np.arange(1, len(annotations.classes) + 2))
    objects = np.bincount(annotations.label[counting], minlength=len(annotations.classes) + 1)
    return VocEvaluation(
        {
            name: PrecisionRecall(int(objects[label]), true[part].cumsum(), false[part].cumsum())
            for label, name in enumerate(annotations.classes, 1)
            for part in [slice(ends[label - 1], ends[label])]
        }
    )


def hits_and_misses(
    annotations: Annotations,
    detections: Detections,
    counting: npt.NDArray[np.bool_],
    threshold: float,
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which detections are true, and which are false; those of difficult objects are neither."""
    pairs = overlaps(annotations, detections, threshold, crowds=False)
    by_score = np.empty(len(detections), np.int64)
    by_score[np.argsort(-detections.score, kind="stable")] = np.arange(len(detections))
    # the best object of each detection, the first of equals; detections by falling score
    order = np.lexsort((pairs.object, -pairs.iou, by_score[pairs.detection]))
    detection, first = np.unique(by_score[pairs.detection[order]], return_index=True)
    best = pairs.object[order][first]
    detection = np.argsort(by_score)[detection]
    _, earliest = np.unique(best, return_index=True)
    true, false = np.zeros(len(detections), bool), np.ones(len(detections), bool)
    true[detection[earliest]] = counting[best[earliest]]
    false[detection] = counting[best]
    return true, false & ~true
