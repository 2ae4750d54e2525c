"""Which detections overlap which objects: the part that both evaluations share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .annotations import Annotations
from .boxes import Array, intersection, shared_part
from .detections import Detections

Places = npt.NDArray[np.int64]
BLOCK = 1 << 20  # pairs at once: some hundred MB


class Overlaps(NamedTuple):
    """Pairs of a detection and an object of its image and class, with their overlap."""

    detection: Places
    object: Places
    iou: Array


NONE = Overlaps(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


def groups(record: Annotations | Detections, classes: int) -> Places:
    """One number for each image and class, rising with the image."""
    return record.image * (classes + 1) + record.label


def ranked(group: Places, scores: npt.NDArray[np.float64]) -> tuple[Places, Places]:
    """The order of detections by group, then falling score; and the rank of each in its group.

    Of equal scores the first in the file comes first.
    """
    order = np.lexsort((-scores, group))
    sorted_groups = group[order]
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - np.searchsorted(sorted_groups, sorted_groups)
    return order, rank


def overlaps(
    annotations: Annotations, detections: Detections, least: float, *, crowds: bool
) -> Overlaps:
    """All pairs whose overlap is at least `least` (above 0).

    With `crowds`, a detection's overlap with a crowd is the share of its own area that lies inside.
    """
    parts = [
        overlapping(annotations, detections, pairs, least, crowds)
        for pairs in pairs_in_blocks(annotations, detections)
    ]
    return Overlaps(*(np.concatenate(column) for column in zip(NONE, *parts, strict=True)))


def pairs_in_blocks(
    annotations: Annotations, detections: Detections
) -> Iterator[tuple[Places, Places]]:
    """Every detection with every object of its image and class, about `BLOCK` pairs at a time."""
    classes = len(annotations.classes)
    objects = groups(annotations, classes)
    order = np.argsort(objects, kind="stable")
    wanted = groups(detections, classes)
    first, last = (np.searchsorted(objects[order], wanted, side) for side in ("left", "right"))
    counts = last - first
    before = np.concatenate([[0], counts.cumsum()])  # pairs of the detections before
    start = 0
    while start < len(wanted):
        end = int(np.searchsorted(before, before[start] + BLOCK, "right")) - 1
        end = max(end, start + 1)
        detection = np.repeat(np.arange(start, end), counts[start:end])
        nth = before[start] + np.arange(len(detection)) - before[detection]
        yield detection, order[first[detection] + nth]
        start = end


def overlapping(
    annotations: Annotations,
    detections: Detections,
    pairs: tuple[Places, Places],
    least: float,
    crowds: bool,
) -> Overlaps:
    """Those of some pairs that overlap enough."""
    detection, object_ = pairs
    shared = intersection(detections.box[detection], annotations.box[object_])
    touching = shared > 0
    detection, object_, shared = detection[touching], object_[touching], shared[touching]
    own = detections.box_area[detection]
    union = own + annotations.box_area[object_] - shared
    whole = np.where(annotations.crowd[object_], own, union) if crowds else union
    iou = shared_part(shared, whole)
    enough = iou >= least
    return Overlaps(detection[enough], object_[enough], iou[enough])
