"""Regions of one size, from one map or from the map of a pyramid that suits their size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor, concatenate
from ..nn import Module
from ..nn import functional as F
from .boxes import Boxes, area
from .matching import Places


class RegionPooling(Module):
    """RoI align (`method` "align") or RoI max pooling ("max") of the first map.

    `scale` is that of the map. Align is `aligned`, with as many samples as a bin is long.
    """

    def __init__(self, size: int, scale: float, method: str = "align") -> None:
        super().__init__()
        if method not in ("align", "max"):
            raise ValueError(f"regions are pooled by 'align' or 'max', not {method!r}")
        self.size, self.scale, self.method = size, scale, method

    @property
    def stride(self) -> int:
        """Pixels of the image between two places of the map."""
        return round(1 / self.scale)

    def forward(self, maps: Sequence[Tensor], boxes: Boxes, images: Places) -> Tensor:
        """Maps, boxes (R, 4), their images (R,) -> (R, size, size, C)."""
        pool = F.roi_align if self.method == "align" else F.roi_max_pool
        return pool(maps[0], boxes, images, size=(self.size, self.size), scale=self.scale)

    def settings(self) -> str:
        return f"{self.size}, scale={self.scale:g}, {self.method}"


class PyramidPooling(Module):
    """RoI align, not `aligned`, of the map whose scale suits a region (Lin et al. 2017, eq. 1).

    A region of 224 x 224 pixels belongs to the third map, one of half the side to the second.
    """

    def __init__(self, size: int, scales: Sequence[float], sampling: int = 2) -> None:
        super().__init__()
        self.size, self.scales, self.sampling = size, tuple(scales), sampling

    def levels(self, boxes: Boxes) -> Places:
        """The number of the map of each box, 0 is the finest."""
        exact = 2 + np.log2(np.maximum(np.sqrt(area(boxes)), 1e-6) / 224) + 1e-6
        return np.clip(np.floor(exact), 0, len(self.scales) - 1).astype(np.int64)

    def forward(self, maps: Sequence[Tensor], boxes: Boxes, images: Places) -> Tensor:
        """Maps, boxes (R, 4), their images (R,) -> (R, size, size, C), in the boxes' order."""
        levels = self.levels(boxes)
        parts, size = [], (self.size, self.size)
        for level, scale in enumerate(self.scales):
            own = np.flatnonzero(levels == level)
            settings: Any = {"size": size, "scale": scale, "sampling": self.sampling}
            parts.append(
                F.roi_align(maps[level], boxes[own], images[own], aligned=False, **settings)
            )
        order = np.argsort(np.argsort(levels, kind="stable"), kind="stable")
        return concatenate(parts)[order]
