"""Which boxes are examples of what: anchors and proposals against objects, and a sample of them.

Ren et al. 2015, sec. 3.1.2 (anchors) and Girshick 2015, sec. 2.3 (proposals). Randomness comes from
a generator that is passed in.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .boxes import Array, Boxes, iou

Places = npt.NDArray[np.int64]
NEGATIVE, IGNORED = -1, -2  # in the place of an object's number


def match(
    overlaps: Array, *, positive: float, negative: float, best_of_each: bool = False
) -> Places:
    """The object of each box (B,), from the overlaps of G objects and B boxes, (G, B).

    A box belongs to the object that it overlaps most, if by `positive` at least; below `negative`
    it is NEGATIVE, between them IGNORED. With `best_of_each` the boxes that overlap an object more
    than any other box does (ties included, and if at all) are positive whatever their overlap: each
    belongs to the object that it overlaps most itself, as in torchvision and detectron2.
    """
    if not len(overlaps):
        return np.full(overlaps.shape[1], NEGATIVE, np.int64)
    own, most = overlaps.argmax(axis=0), overlaps.max(axis=0)
    result = np.where(most >= positive, own, np.where(most < negative, NEGATIVE, IGNORED))
    if best_of_each:
        best = overlaps.max(axis=1, initial=0, keepdims=True)
        chosen = ((overlaps == best) & (best > 0)).any(axis=0)
        result[chosen] = own[chosen]
    return result


def sample(
    matches: Places, count: int, share: float, rng: np.random.Generator
) -> tuple[Places, Places]:
    """Places of positives and negatives, rising: at most `count`, of which `share` positive.

    What positives lack is filled up with negatives.
    """
    positives, negatives = np.flatnonzero(matches >= 0), np.flatnonzero(matches == NEGATIVE)
    positives = some(positives, int(count * share), rng)
    return positives, some(negatives, count - len(positives), rng)


def some(places: Places, most: int, rng: np.random.Generator) -> Places:
    """All of them, or so many, drawn without order; nothing is drawn where nothing is left out."""
    return places if len(places) <= most else np.sort(rng.permutation(places)[:most])


def inside(boxes: Boxes, height: float, width: float) -> npt.NDArray[np.bool_]:
    """Which boxes (N, 4) do not cross the edge of an image."""
    limits = np.array([width, height], boxes.dtype)
    return np.asarray(((boxes[:, :2] >= 0) & (boxes[:, 2:] <= limits)).all(axis=1))


def centred(boxes: Boxes, height: float, width: float) -> npt.NDArray[np.bool_]:
    """Which boxes (N, 4) have their middle in an image, and not in its padding."""
    limits = np.array([width, height], boxes.dtype)
    return np.asarray(((boxes[:, :2] + boxes[:, 2:]) / 2 < limits).all(axis=1))


def match_anchors(anchors: Boxes, objects: Boxes, usable: npt.NDArray[np.bool_]) -> Places:
    """The object of each anchor: 0.7 and more, and the best of each object; below 0.3 none.

    Anchors that are not usable are IGNORED, and nobody's best.
    """
    result = np.full(len(anchors), IGNORED, np.int64)
    overlaps = iou(objects, anchors[usable])
    result[usable] = match(overlaps, positive=0.7, negative=0.3, best_of_each=True)
    return result


def match_regions(regions: Boxes, objects: Boxes) -> Places:
    """The object of each proposal: 0.5 and more; all others are background."""
    return match(iou(objects, regions), positive=0.5, negative=0.5)
