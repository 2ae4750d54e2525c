"""Mixup: images that lie between two others, and so do their labels. Zhang et al. 2018."""

from __future__ import annotations

import numpy as np

from ..common.expecting import COUNT, expects
from ..kernels.devices import device_of, is_array, move, namespace


@expects(classes=COUNT, rng=np.random.Generator, alpha=float)
def mixup(
    images: np.ndarray,
    labels: np.ndarray,
    *,
    classes: int,
    rng: np.random.Generator,
    alpha: float = 0.2,
) -> tuple[np.ndarray, np.ndarray]:
    """Each image becomes share * image + (1 - share) * another of its batch, in random order.

    Images (N, H, W, C) and labels (N,) become images and probabilities (N, classes), of the images'
    dtype and on their device, for `nn.functional.cross_entropy`. The batch's one share is drawn
    from Beta(alpha, alpha).
    """
    if not alpha > 0:
        raise ValueError(f"mixup: alpha must be more than 0, but is {alpha}")
    if not (is_array(images) and is_array(labels)):
        raise TypeError("mixup: images and labels must be arrays: np.asarray(...) makes one")
    share, order = rng.beta(alpha, alpha), move(rng.permutation(len(images)), device_of(images))
    hot = labels[:, None] == namespace(labels).arange(classes)
    truth = hot.astype(images.dtype)
    return tuple(share * part + (1 - share) * part[order] for part in (images, truth))
