"""Box refinement with voting (He et al. 2015, app. B; Gidaris & Komodakis 2015).

The box that a detector gives a region fits better than the region. So the features are pooled once
more, from that box, and the head says a new class and a new box. Both rounds' boxes suppress each
other. Each that stays becomes the mean of the boxes that agree with it, by their scores.
"""

from __future__ import annotations

import numpy as np

from .boxes import Boxes, clip, iou
from .regions import Found, Judged

VOTE = 0.5  # boxes that overlap by more vote


def likeliest_boxes(judged: Judged, size: tuple[int, int]) -> Boxes:
    """Of each region the box of its likeliest class, background aside, cut to the image: (R, 4)."""
    best = judged.scores[:, 1:].argmax(axis=1) + 1
    boxes = clip(judged.boxes[np.arange(len(best)), best], *size)
    return boxes[(boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1)]  # others have no features


def vote(kept: Found, all_found: Found, least: float = VOTE) -> Found:
    """Each kept box as the mean of all boxes of its class that overlap it by more than `least`.

    Boxes weigh as much as their scores; those that are kept keep their own.
    """
    same = kept.labels[:, None] == all_found.labels
    weights = all_found.scores * (same & (iou(kept.boxes, all_found.boxes) > least))
    means = weights @ all_found.boxes / weights.sum(axis=1, keepdims=True)
    return kept._replace(boxes=means.astype(kept.boxes.dtype))
