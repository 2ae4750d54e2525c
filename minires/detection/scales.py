"""One image through one detector, at one size or at several (He et al. 2015, app. B).

Multi-scale testing: maps are made of the image at several sizes. A region is pooled from two of
them, the neighbours between which it comes nearest to the size for which one bin is one pixel of
the map (224 pixels for the paper's ResNets), and the larger of the two numbers counts ("maxout").
Proposals come from the detector's own size alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..autograd import Tensor
from ..kernels.devices import move, namespace, to_host
from .boxes import HEAD_WEIGHTS, Array, Boxes, area, decode
from .context import with_whole
from .detecting import Pixels, prepare
from .matching import Places
from .network import FasterRCNN, Size
from .pooling import RegionPooling
from .regions import Judged, probabilities


class View(NamedTuple):
    """An image at one size: the maps of its trunk, its size there, and that over its own (4,)."""

    maps: list[Tensor]
    padded: Size
    size: Size
    ratio: Array  # of x, y, x, y


def view(model: FasterRCNN, pixels: Pixels, shorter: int | None = None) -> View:
    """The image as the detector sees it, or with another shorter side and no limit on the other."""
    numbers = model.numbers
    if shorter is not None:
        numbers = replace(numbers, shorter=shorter, longer=shorter * max(pixels.shape[:2]))
    weight = model.parameters()[0]
    x, size = prepare(pixels, numbers, weight.dtype)
    ratio = np.array([size[1] / pixels.shape[1], size[0] / pixels.shape[0]] * 2)
    maps = model.trunk(Tensor(move(x, weight.device)))
    return View(maps, x.shape[1:3], size, ratio)


class Observer:
    """A detector before an image; all boxes are in the image's own pixels.

    `scales` are shorter sides in pixels, rising; none is the detector's own.
    """

    def __init__(self, model: FasterRCNN, pixels: Pixels, scales: Sequence[int] = ()) -> None:
        self.model, self.size = model, pixels.shape[:2]
        self.own = view(model, pixels)
        self.views = [view(model, pixels, side) for side in scales] or [self.own]

    def proposals(self) -> Boxes:
        """Where objects may be, (R, 4)."""
        (boxes,) = self.model.proposed(self.own.maps, self.own.padded, [self.own.size])
        return (boxes / self.own.ratio).astype(boxes.dtype)

    def judge(self, boxes: Boxes) -> Judged:
        """What the head says of regions (R, 4)."""
        seen, images = boxes, np.zeros(len(boxes), np.int64)
        if self.model.context:
            seen, images = with_whole(boxes, images, [self.size])
        logits, codes = self.model.of_pooled(self.pooled(seen, images), images)
        made = decode(to_host(codes.data), boxes[:, None], HEAD_WEIGHTS)
        return Judged(probabilities(to_host(logits.data)), made)

    def pooled(self, boxes: Boxes, images: Places) -> Tensor:
        """Regions of one size, from one view or two."""
        if len(self.views) == 1:
            return self.pooled_from(self.views[0], boxes, images)
        first = neighbours(boxes, [v.ratio[0] for v in self.views], region_side(self.model.pool))
        result: Any = None
        for number, one in enumerate(self.views):
            own = np.flatnonzero((first == number) | (first + 1 == number))
            part = self.pooled_from(one, boxes[own], images[own]).data
            if result is None:
                result = namespace(part).full((len(boxes), *part.shape[1:]), -np.inf, part.dtype)
            own = move(own, self.model.parameters()[0].device)
            result[own] = namespace(part).maximum(result[own], part)
        return Tensor(result)

    def pooled_from(self, one: View, boxes: Boxes, images: Places) -> Tensor:
        """From one view."""
        scaled = (boxes * one.ratio).astype(one.maps[0].dtype)
        return self.model.pool(one.maps, scaled, images)


def region_side(pool: Any) -> float:
    """The side in pixels of regions whose bins are pixels of the map. Raises: ValueError."""
    if not isinstance(pool, RegionPooling):
        raise ValueError("several scales are for detectors with one map, not for pyramids")
    return pool.size / pool.scale


def neighbours(boxes: Boxes, ratios: Sequence[float], side: float) -> Places:
    """The smaller of the two neighbouring scales of each region; `ratios` are rising.

    At it the region's side, the root of its area, is below `side`, and at the next one it is not;
    smallest and largest regions take the ends.
    """
    wanted = side / np.sqrt(np.maximum(area(boxes), 1e-6))
    return np.clip(np.searchsorted(ratios, wanted) - 1, 0, len(ratios) - 2)
