"""What surrounds a network: loss, counting, step, augmentation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .. import checks
from ..dispatch import implementation_for, kernel
from ..records import Epoch

Array = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


@kernel
def softmax_cross_entropy(logits: Array, labels: Ints) -> tuple[Array, Array]:
    """Mean over the batch of -log softmax(logits)[label]: `(loss, probabilities)`.

    `logits` (N, K), `labels` (N,) whole numbers in 0 .. K-1; loss is a 0-d array in nats,
    probabilities (N, K). Exact for logits of any size: the largest is subtracted first. On a GPU,
    where nobody may look at the labels without waiting, a label that is no class gives NaN.
    """
    checks.labels(logits, labels)
    return implementation_for(logits, others=[labels])


@kernel
def softmax_cross_entropy_grad(probabilities: Array, labels: Ints) -> Array:
    """Gradient of the mean loss with respect to the logits: (probabilities - one_hot) / N."""
    checks.labels(probabilities, labels)
    return implementation_for(probabilities, others=[labels])


@kernel
def tally(totals: Array, loss: Array, logits: Array, labels: Ints) -> None:
    """Count a batch: `totals` (2,), float64, gets loss * N and the number of wrong images added.

    Wrong is an image whose largest logit, the first of equals, is not its label's.
    """
    checks.labels(logits, labels)
    return implementation_for(logits, loss, others=[totals, labels])


@kernel
def sgd_step(
    parameter: Array,
    grad: Array,
    velocity: Array,
    *,
    lr: float | Array,
    momentum: float,
    weight_decay: float,
) -> None:
    """One step of SGD with momentum; changes `parameter` and `velocity` in place.

    velocity = momentum * velocity + (grad + weight_decay * parameter), then
    parameter -= lr * velocity. This is PyTorch's convention; Caffe's, lr inside the velocity,
    differs from it only in the steps after a change of lr. On a GPU lr may be an array () of the
    parameter's dtype, which is read when the step is done.
    """
    checks.same_shape(parameter=parameter, grad=grad, velocity=velocity)
    return implementation_for(parameter, grad, velocity)


@kernel
def crop_flip(
    images: npt.NDArray[np.uint8],
    offsets: Ints,
    flips: npt.NDArray[np.bool_],
    mean: Array,
    scale: Array,
    *,
    padding: int,
) -> Array:
    """Normalise, pad, crop and flip a batch of uint8 images: (N, H, W, C) of mean's dtype.

    `(images - mean) * scale`, with mean (H, W, C) and scale (C,), is padded with zeros, cut to
    H x W at `offsets` (N, 2) (row, column; padding, padding is the middle) and, where `flips`
    (N,) says so, mirrored left to right. He et al. 2015, sec. 4.2.
    """
    checks.crop_flip(images, offsets, flips, mean, scale, padding)
    return implementation_for(mean, scale, others=[images, offsets, flips])


@kernel
def epoch_batch(
    epoch: Epoch, position: Ints, mean: Array, scale: Array, *, batch_size: int, padding: int
) -> tuple[Array, Ints]:
    """A batch of an epoch that lies where the kernels run: `crop_flip` of it, and its labels.

    `position` (), int64, says which batch of the epoch it is. Nobody looks whether the epoch's
    numbers are in range.
    """
    checks.epoch_batch(epoch, position, batch_size)
    return implementation_for(mean, scale, others=(*epoch, position))
