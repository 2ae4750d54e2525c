"""The numbers of a detector: what it sees, proposes, samples and keeps."""

from __future__ import annotations

from dataclasses import dataclass

from .anchors import RATIOS, SIZES


@dataclass(frozen=True)
class Settings:
    """Numbers of Faster R-CNN; the defaults are Ren et al.'s (2015), which He et al. took over.

    Sides are in pixels of the image as the network sees it. `before_nms` and `after_nms` are
    numbers of proposals a map and an image, in training and in evaluation. `beta` is where both
    losses of boxes turn from squares to distances.
    """

    shorter: int = 600
    longer: int = 1000
    multiple: int = 1  # images are padded to whole multiples of it
    sizes: tuple[tuple[float, ...], ...] = (SIZES,)  # of anchors, for each map
    ratios: tuple[float, ...] = RATIOS
    border: bool = False  # whether anchors that cross the edge of the image are trained, too
    anchor_sample: int = 256
    before_nms: tuple[int, int] = (12_000, 6_000)
    after_nms: tuple[int, int] = (2_000, 300)
    proposal_nms: float = 0.7
    least_side: float = 1e-3
    region_sample: int = 128
    positive_share: float = 0.25
    beta: float = 1.0
    least_score: float = 0.05
    nms: float = 0.3
    most: int = 100  # detections an image

    def of(self, numbers: tuple[int, int], training: bool) -> int:
        """The number that holds in training, or in evaluation."""
        return numbers[0] if training else numbers[1]
