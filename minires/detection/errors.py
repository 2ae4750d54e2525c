"""What is wrong with detections: the box, the class, or that there is nothing (Hoiem et al. 2012).

Of each class the first N detections by score are looked at, where N is the number of its objects,
the difficult ones aside. A false one is "box" if it overlaps an object of its class by 0.1 at least
(badly placed, or found twice), "class" if only one of another class, else "background".
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .annotations import Annotations
from .boxes import Array, iou
from .detections import Detections
from .voc_metric import hits_and_misses

KINDS = ("right", "box", "class", "background")
TOUCHING = 0.1


def error_kinds(annotations: Annotations, found: Detections) -> dict[str, float]:
    """The share of each kind among the first detections of all classes, 0 to 1."""
    counting = ~(annotations.difficult | annotations.crowd)
    true, false = hits_and_misses(annotations, found, counting, 0.5)
    own, other = largest_overlaps(annotations, found)
    box, confused = false & (own >= TOUCHING), false & (own < TOUCHING) & (other >= TOUCHING)
    chosen = first_of_each_class(annotations.label[counting], found) & (true | false)
    kinds = (true, box, confused, false & ~box & ~confused)
    shares = [float(kind[chosen].mean()) if chosen.any() else 0.0 for kind in kinds]
    return dict(zip(KINDS, shares, strict=True))


def first_of_each_class(labels: npt.NDArray[np.int64], found: Detections) -> npt.NDArray[np.bool_]:
    """Which detections are among the best so many of their class, as there are labels of it."""
    chosen = np.zeros(len(found), bool)
    for label in np.unique(labels):
        own = np.flatnonzero(found.label == label)
        order = own[np.argsort(-found.score[own], kind="stable")]
        chosen[order[: int((labels == label).sum())]] = True
    return chosen


def largest_overlaps(annotations: Annotations, found: Detections) -> tuple[Array, Array]:
    """Of each detection the largest overlap with an object of its class, and of another one."""
    own, other = np.zeros(len(found)), np.zeros(len(found))
    for image in np.unique(found.image):
        part, them = annotations.of_image(int(image)), np.flatnonzero(found.image == image)
        overlap = iou(found.box[them], annotations.box[part])
        same = found.label[them][:, None] == annotations.label[part]
        own[them] = np.where(same, overlap, 0).max(axis=1, initial=0)
        other[them] = np.where(same, 0, overlap).max(axis=1, initial=0)
    return own, other
