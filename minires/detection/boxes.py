"""Boxes: corners (x1, y1, x2, y2) in pixels, as plain arithmetic in NumPy.

Boxes are continuous: pixel i covers [i, i + 1), so a box is x2 - x1 wide, with no "+ 1". VOC's
files count pixels from 1 and name the last one inside; their (xmin, ymin, xmax, ymax) is the box
(xmin - 1, ymin - 1, xmax, ymax) here, and their overlap with "+ 1" is then the overlap here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.floating]  # (..., 4)
Array = npt.NDArray[np.floating]

RPN_WEIGHTS = (1.0, 1.0, 1.0, 1.0)
HEAD_WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # one over the deviations 0.1, 0.1, 0.2, 0.2
LARGEST_LOG = float(np.log(1000 / 16))  # decoded boxes are at most 62.5 times as large


def area(boxes: Boxes) -> Array:
    """Width times height of boxes (..., 4); 0 where a box ends before it begins."""
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def intersection(a: Boxes, b: Boxes) -> Array:
    """Area that boxes share; shapes (..., 4) are broadcast."""
    ends = np.minimum(a[..., 2:], b[..., 2:])
    sides = np.maximum(ends - np.maximum(a[..., :2], b[..., :2]), 0)
    return sides[..., 0] * sides[..., 1]


def iou(a: Boxes, b: Boxes) -> Array:
    """Intersection over union of all pairs: (N, 4) and (M, 4) give (N, M), each 0 to 1.

    A pair without any area has 0.
    """
    shared = intersection(a[:, None], b[None])
    return shared_part(shared, area(a)[:, None] + area(b)[None] - shared)


def shared_part(shared: Array, whole: Array) -> Array:
    """shared / whole, and 0 where nothing is shared."""
    return np.divide(shared, whole, out=np.zeros_like(shared), where=shared > 0)


def centres_and_sides(boxes: Boxes) -> tuple[Array, Array]:
    """(x, y) of the middle and (width, height), each (..., 2)."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + sides / 2, sides


def encode(
    boxes: Boxes, anchors: Boxes, weights: tuple[float, float, float, float] = RPN_WEIGHTS
) -> Array:
    """What a network must predict so that an anchor becomes a box (Girshick et al. 2014, app. C).

    t = (wx (x - xa) / wa, wy (y - ya) / ha, ww ln(w / wa), wh ln(h / ha)), shape (..., 4), of
    centres x, y and sides w, h. Raises: ValueError for a box or anchor without area, whose
    logarithm would be infinite.
    """
    centres, sides = centres_and_sides(boxes)
    from_centres, from_sides = centres_and_sides(anchors)
    refuse_empty("a box", sides)
    refuse_empty("an anchor", from_sides)
    moves, growths = (centres - from_centres) / from_sides, np.log(sides / from_sides)
    return np.concatenate([moves, growths], axis=-1) * np.asarray(weights, sides.dtype)


def refuse_empty(name: str, sides: Array) -> None:
    """Raises: ValueError where a side is not above 0."""
    empty = ~(sides > 0).all(axis=-1)
    if empty.any():
        width, height = sides[empty][0]
        raise ValueError(
            f"encode: {name} of {width:g} x {height:g} pixels has no area: leave it out"
        )


def decode(
    codes: Array, anchors: Boxes, weights: tuple[float, float, float, float] = RPN_WEIGHTS
) -> Boxes:
    """The boxes (..., 4) that predictions make of anchors: the inverse of `encode`.

    Growth is held to a factor of 62.5, so that a wild prediction stays finite.
    """
    centres, sides = centres_and_sides(anchors)
    codes = codes / np.asarray(weights, codes.dtype)
    middles = centres + codes[..., :2] * sides
    halves = np.exp(np.minimum(codes[..., 2:], LARGEST_LOG)) * sides / 2
    return np.concatenate([middles - halves, middles + halves], axis=-1)


def clip(boxes: Boxes, height: float, width: float) -> Boxes:
    """Boxes (..., 4) cut to an image, whose edges are 0, `width` and 0, `height`."""
    return np.clip(boxes, 0, np.array([width, height, width, height], boxes.dtype))


def clip_each(boxes: Boxes, sizes: npt.NDArray[np.integer]) -> Boxes:
    """Boxes (N, 4) cut to images of their own, heights and widths (N, 2)."""
    return np.clip(boxes, 0, np.tile(sizes[:, ::-1], 2))


def resized(
    sizes: npt.NDArray[np.integer], shorter: int = 600, longer: int = 1000
) -> npt.NDArray[np.int64]:
    """Sizes (N, 2) of images as the network sees them: the shorter side is scaled to `shorter`
    pixels, but the longer one to no more than `longer` (Ren et al. 2015, sec. 3.3).

    Whole numbers throughout, rounded down, at least 1.
    """
    sizes = np.asarray(sizes, np.int64)
    least, most = sizes.min(axis=-1, keepdims=True), sizes.max(axis=-1, keepdims=True)
    by_longer = shorter * most > longer * least
    new = np.where(by_longer, sizes * longer // most, sizes * shorter // least)
    return np.maximum(new, 1)
