"""Regions of maps, for detection: pooling to one size with its gradient, and suppression of boxes.

Boxes are corners (x1, y1, x2, y2) in pixels of the image, and continuous: pixel i covers [i, i +
1). `scale` leads from there to the map (1 / stride). The geometry is computed in float64 whatever
the dtype, so that all implementations see the same samples and bins. Boxes get no gradient.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .. import checks
from ..dispatch import implementation_for, kernel

Array = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]
Shape = tuple[int, int, int, int]


@kernel
def roi_align(
    x: Array,
    boxes: Array,
    images: Ints,
    *,
    size: tuple[int, int],
    scale: float,
    sampling: int = 0,
    aligned: bool = True,
) -> Array:
    """Means of bilinear samples in P x Q bins of each region: (R, P, Q, C). He et al. 2017, sec. 3.

    `boxes` (R, 4) lie on the maps `images` (R,) of x (N, H, W, C); `size` is (P, Q). A bin has
    `sampling` samples each way, or with 0 as many as it is long in pixels, rounded up. With
    `aligned` the middle of pixel i is at i + 0.5, else at i, and regions are at least one pixel
    long. Samples up to a pixel outside the map count as its border, others as 0. A bin without
    samples, of an empty region, is 0.
    """
    checks.regions(x.shape, boxes, images, size)
    checks.finite(boxes)
    checks.contiguous(x=x)
    return implementation_for(x, boxes, others=[images])


@kernel
def roi_align_grad(
    dy: Array,
    boxes: Array,
    images: Ints,
    *,
    x_shape: Shape,
    scale: float,
    sampling: int = 0,
    aligned: bool = True,
) -> Array:
    """Gradient of `roi_align`, of shape `x_shape`: each pixel gets dy by its share."""
    expected = checks.regions(x_shape, boxes, images, dy.shape[1:3])
    checks.finite(boxes)
    checks.shape("dy", dy, expected)
    return implementation_for(dy, boxes, others=[images])


@kernel
def roi_max_pool(
    x: Array, boxes: Array, images: Ints, *, size: tuple[int, int], scale: float
) -> tuple[Array, Ints]:
    """Largest value in P x Q bins of each region (Girshick 2015, sec. 2.1): `(y, argmax)`.

    Both are (R, P, Q, C). Corners are rounded to pixels, halves away from zero; both ends belong to
    the region, which is at least one pixel long. Of a length h, bin i has the pixels from i h / P,
    rounded down, to (i + 1) h / P, rounded up. `argmax` (int32) is the pixel on its map, row * W +
    column, of equal ones the first; a bin outside the map has the value 0 and argmax -1. As in
    `max_pool` a NaN wins.
    """
    checks.regions(x.shape, boxes, images, size)
    checks.finite(boxes)
    checks.contiguous(x=x)
    return implementation_for(x, boxes, others=[images])


@kernel
def roi_max_pool_grad(dy: Array, argmax: Ints, images: Ints, *, x_shape: Shape) -> Array:
    """Gradient of `roi_max_pool`: each dy goes to its bin's winner; overlaps are added."""
    checks.images(x_shape)
    checks.same_shape(dy=dy, argmax=argmax)
    checks.of_images(images, len(dy), x_shape[0])
    return implementation_for(dy, others=[argmax, images])


@kernel
def nms(boxes: Array, *, threshold: float) -> Ints:
    """Places (int64, rising) of the boxes that stay if each suppresses later ones that overlap it.

    `boxes` (N, 4) come in the order of falling score. One is left out if its intersection over
    union with an earlier one that stays is above the threshold. Overlaps are computed in float64.
    """
    checks.boxes(boxes)
    return implementation_for(boxes)
