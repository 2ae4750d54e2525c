"""Class probabilities of views of images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..autograd import Tensor, no_grad
from ..common.expecting import COUNT, expects, must_be
from ..data.images import View
from ..kernels.devices import to_host
from ..nn import Module, evaluating
from .fully_convolutional import mean_scores

Probabilities = npt.NDArray[np.float64]

BATCH_PIXELS = 32 * 224 * 224  # what a network sees at once, to limit memory


@expects(views=Sequence, fully_convolutional=bool, batch_pixels=COUNT)
def predict(
    model: Module,
    views: Sequence[View],
    *,
    fully_convolutional: bool = False,
    batch_pixels: int = BATCH_PIXELS,
) -> Probabilities:
    """Probabilities (N, K) of N views (h, w, 3), which may differ in size.

    Fully convolutionally, the scores (logits) of all places are averaged first, see `score_map`.
    Views of one size run together, up to so many pixels. Every part
    of the network is put back into its mode.
    """
    must_be(Module, model, "predict: the network")
    if not len(views) or any(np.ndim(view) != 3 for view in views):
        raise ValueError("predict: views must be images (h, w, c), one at least, in a list")
    logits: dict[int, npt.NDArray[np.floating]] = {}
    dtype = model.parameters()[0].dtype
    with no_grad(), evaluating(model):
        for numbers in batches_by_size(views, batch_pixels):
            batch = Tensor(np.stack([views[number] for number in numbers]).astype(dtype))
            batch = batch.to(model.device)
            scores = mean_scores(model, batch) if fully_convolutional else model(batch)
            logits |= zip(numbers, to_host(scores.data), strict=True)
    return softmax(np.array([logits[number] for number in range(len(views))], np.float64))


def batches_by_size(views: Sequence[View], batch_pixels: int) -> list[list[int]]:
    """Numbers of views of one size, so many together as there may be pixels."""
    by_size: dict[tuple[int, ...], list[int]] = {}
    for number, view in enumerate(views):
        by_size.setdefault(view.shape, []).append(number)
    batches = []
    for (height, width, *_), numbers in by_size.items():
        count = max(1, batch_pixels // (height * width))
        batches += [numbers[start : start + count] for start in range(0, len(numbers), count)]
    return batches


@np.errstate(under="ignore")  # 0 is right, whatever np.seterr says
def softmax(logits: Probabilities) -> Probabilities:
    """Probabilities of logits (N, K)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
