"""Anchors: boxes of several sizes and shapes around every place of a map (Ren et al. 2015, 3.1.1).

There are two sets of numbers. `shapes` gives torchvision's, the default here; `paper_shapes` those
of the paper's own program, whose sides are rounded twice and whose centre is that of a cell of
16 pixels, counted inclusively. They differ by 8 pixels in the centre, which training absorbs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .boxes import Array, Boxes, area, shared_part

SIZES, RATIOS = (128, 256, 512), (0.5, 1.0, 2.0)  # sides of squares in pixels; height / width
STRIDE = 16  # pixels of the image between two places of conv4_x's map


def shapes(sizes: Sequence[float] = SIZES, ratios: Sequence[float] = RATIOS) -> Boxes:
    """Anchors around (0, 0), as torchvision has them: (ratios * sizes, 4), float64.

    All sizes of the first ratio come first. Coordinates are rounded, halves to the even side.
    """
    roots = np.sqrt(ratios)[:, None]
    sides = np.stack([(sizes / roots).ravel(), (roots * sizes).ravel()], axis=1)
    return np.round(np.concatenate([-sides, sides], axis=1) / 2)


def paper_shapes(
    scales: Sequence[float] = (8, 16, 32), ratios: Sequence[float] = RATIOS, cell: int = STRIDE
) -> Boxes:
    """Anchors around the first cell, as the paper's program has them: (ratios * scales, 4).

    These are its very numbers: 128 x 128 is (-56, -56, 71, 71), where both ends count.
    """
    widths = np.round(np.sqrt(cell**2 / np.asarray(ratios)))
    cells = np.stack([widths, np.round(widths * ratios)], axis=1)
    sides = (cells[:, None] * np.asarray(scales)[:, None]).reshape(-1, 2)
    centre, halves = (cell - 1) / 2, (sides - 1) / 2
    return np.concatenate([centre - halves, centre + halves], axis=1)


def grid(anchors: Boxes, height: int, width: int, stride: int | tuple[int, int] = STRIDE) -> Boxes:
    """Anchors (A, 4) at every place of a map, (height * width * A, 4): row by row.

    `stride` is one number, or that of rows and of columns.
    """
    down, across = stride if isinstance(stride, tuple) else (stride, stride)
    y, x = np.mgrid[:height, :width]
    y, x = y * down, x * across
    moves = np.stack([x, y, x, y], axis=-1).reshape(-1, 1, 4)
    return (anchors + moves).reshape(-1, 4)


def best_iou(
    boxes: Boxes,
    maps: npt.NDArray[np.integer],
    anchors: Boxes,
    stride: int = STRIDE,
    images: npt.NDArray[np.integer] | None = None,
) -> Array:
    """The largest overlap of each box (N, 4) with any anchor of its own map, (N,).

    `maps` are heights and widths, (N, 2). So are `images`, where anchors that cross the edge of
    their image don't count. No grid is made: overlap grows with the shared width and height, and
    for an anchor of a given shape each is largest at the place nearest to the box.
    """
    shared = np.ones((len(boxes), len(anchors)))
    for axis, places in ((0, maps[:, 1]), (1, maps[:, 0])):
        first, last = np.zeros(len(anchors)), places[:, None] - 1.0
        if images is not None:
            first = np.ceil(-anchors[:, axis] / stride)
            inside = np.floor((images[:, 1 - axis, None] - anchors[:, axis + 2]) / stride)
            last = np.minimum(last, inside)
            shared *= first <= last
        start, end = boxes[:, axis, None], boxes[:, axis + 2, None]
        centre = (anchors[:, axis] + anchors[:, axis + 2]) / 2
        nearest = np.round(((start + end) / 2 - centre) / stride)
        move = np.clip(nearest, first, last) * stride
        inner = np.minimum(end, anchors[:, axis + 2] + move)
        shared *= np.maximum(inner - np.maximum(start, anchors[:, axis] + move), 0)
    return shared_part(shared, area(boxes)[:, None] + area(anchors) - shared).max(axis=1)
