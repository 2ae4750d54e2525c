"""Global context (He et al. 2015, app. B): a region is judged by the sight of the whole image, too.

The whole image is pooled as if it were a region, and goes through the same head. Its features are
put beside those of each region, so the two layers behind the head read twice as many.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..autograd import Tensor, concatenate
from .boxes import Boxes
from .matching import Places


def with_whole(
    boxes: Boxes, images: Places, sizes: Sequence[tuple[int, int]]
) -> tuple[Boxes, Places]:
    """Regions (R, 4) and their images (R,), and behind them each image as a region."""
    whole = np.array([(0, 0, width, height) for height, width in sizes], boxes.dtype)
    return np.concatenate([boxes, whole]), np.concatenate([images, np.arange(len(sizes))])


def beside_whole(features: Tensor, images: Places) -> Tensor:
    """Features (R + N, F) of `with_whole`'s regions -> (R, 2 F): a region's, then its image's."""
    regions = len(images) - 1 - int(images[-1])
    whole = features[regions:][images[:regions]]
    return concatenate([features[:regions], whole], axis=1)
