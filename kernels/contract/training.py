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
    probabilities (N, K). Logits of any size are safe: the largest is subtracted first. On a GPU,
    where checking the labels would mean waiting, a label that is no class gives NaN.
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
    """Count a batch: add loss * N and the number of wrong images to `totals` (2,), float64.

    An image is wrong if its largest logit (the first of equals) is not its label's.
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
    parameter -= lr * velocity. This is PyTorch's convention. Caffe puts lr inside the velocity,
    which differs only in the steps after a change of lr. On a GPU lr may be an array () of the
    parameter's dtype, which is read when the step runs.
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

    `(images - mean) * scale`, with mean (H, W, C) and scale (C,), is padded with zeros and cropped
    to H x W at `offsets` (N, 2) (row, column; the middle is at padding, padding). Where `flips`
    (N,) is true, it is mirrored left to right. He et al. 2015, sec. 4.2.
    """
    checks.crop_flip(images, offsets, flips, mean, scale, padding)
    return implementation_for(mean, scale, others=[images, offsets, flips])


@kernel
def epoch_batch(
    epoch: Epoch, position: Ints, mean: Array, scale: Array, *, batch_size: int, padding: int
) -> tuple[Array, Ints]:
    """A batch of an epoch on the device of the kernels: `crop_flip` of its images, and its labels.

    `position` (), int64, is the number of the batch in the epoch. The values of the epoch's arrays
    are not checked.
    """
    checks.epoch_batch(epoch, position, batch_size)
    return implementation_for(mean, scale, others=(*epoch, position))
