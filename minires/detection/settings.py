"""The numbers of a detector: what it sees, proposes, samples and keeps."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from ..common.expecting import COUNT, PAIR, SOME, Each, expects
from .anchors import RATIOS, SIZES


@expects(
    shorter=COUNT,
    longer=COUNT,
    multiple=COUNT,
    sizes=Each(Each(float, SOME), SOME),
    ratios=Each(float, SOME),
    border=bool,
    anchor_sample=COUNT,
    before_nms=Each(COUNT, PAIR),
    after_nms=Each(COUNT, PAIR),
    proposal_nms=float,
    least_side=float,
    region_sample=COUNT,
    positive_share=float,
    beta=float,
    least_score=float,
    nms=float,
    most=COUNT,
)
@dataclass(frozen=True)
class Settings:
    """Numbers of Faster R-CNN; the defaults are Ren et al.'s (2015), which He et al. took over.

    Sides are in pixels of the image as the network sees it. `before_nms` and `after_nms` are
    numbers of proposals a map and an image, in training and in evaluation. `beta` is where both
    losses of boxes turn from squares to distances.

    Raises: ValueError for shares beyond 0 .. 1, and for sides that are not positive.
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

    def __post_init__(self) -> None:
        for name in ("proposal_nms", "positive_share", "least_score", "nms"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"Settings: {name} must lie in 0 .. 1, not {getattr(self, name)}")
        if not min(chain(self.ratios, *self.sizes)) > 0:
            raise ValueError(f"Settings: sizes and ratios must be more than 0: {self.sizes}")

    def of(self, numbers: tuple[int, int], training: bool) -> int:
        """The number that holds in training, or in evaluation."""
        return numbers[0] if training else numbers[1]
