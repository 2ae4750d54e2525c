"""The contract, continued: what surrounds a network. Loss, counting, step, augmentation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from . import checks
from .dispatch import implementation_for

Array = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


def softmax_cross_entropy(logits: Array, labels: Ints) -> tuple[Array, Array]:
    """Mean over the batch of -log softmax(logits)[label]: `(loss, probabilities)`.

    `logits` (N, K), `labels` (N,) whole numbers in 0 .. K-1; loss is a 0-d array in nats,
    probabilities (N, K). Exact for logits of any size: the largest is subtracted first. On a GPU,
    where nobody may look at the labels without waiting, a label that is no class gives NaN.
    """
    checks.labels("softmax_cross_entropy", logits, labels)
    return implementation_for(logits, others=[labels]).softmax_cross_entropy(logits, labels)


def softmax_cross_entropy_grad(probabilities: Array, labels: Ints) -> Array:
    """Gradient of the mean loss with respect to the logits: (probabilities - one_hot) / N."""
    checks.labels("softmax_cross_entropy_grad", probabilities, labels)
    return implementation_for(probabilities, others=[labels]).softmax_cross_entropy_grad(
        probabilities, labels
    )


def tally(totals: Array, loss: Array, logits: Array, labels: Ints) -> None:
    """Count a batch: `totals` (2,), float64, gets loss * N and the number of wrong images added.

    Wrong is an image whose largest logit, the first of equals, is not its label's.
    """
    checks.labels("tally", logits, labels)
    implementation_for(logits, loss, others=[totals, labels]).tally(totals, loss, logits, labels)


def update_running_statistics(
    running_mean: Array, running_var: Array, mean: Array, var: Array, *, momentum: float, count: int
) -> None:
    """Move a batch norm's running statistics towards those of a batch, all (C,), in place.

    running = (1 - momentum) * running + momentum * batch, where the batch's variance is made
    unbiased: times count / (count - 1), for `count` values a channel. As PyTorch does.
    """
    arrays = (running_mean, running_var, mean, var)
    names = ("running_mean", "running_var", "mean", "var")
    checks.same_shape("update_running_statistics", **dict(zip(names, arrays, strict=True)))
    implementation_for(*arrays).update_running_statistics(*arrays, momentum=momentum, count=count)


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
    checks.same_shape("sgd_step", parameter=parameter, grad=grad, velocity=velocity)
    implementation_for(parameter, grad, velocity).sgd_step(
        parameter, grad, velocity, lr=lr, momentum=momentum, weight_decay=weight_decay
    )


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
    checks.crop_flip("crop_flip", images, offsets, flips, mean, scale, padding)
    return implementation_for(mean, scale, others=[images, offsets, flips]).crop_flip(
        images, offsets, flips, mean, scale, padding=padding
    )


def epoch_batch(
    images: npt.NDArray[np.uint8],
    labels: Ints,
    order: Ints,
    offsets: Ints,
    flips: npt.NDArray[np.bool_],
    position: Ints,
    mean: Array,
    scale: Array,
    *,
    batch_size: int,
    padding: int,
) -> tuple[Array, Ints]:
    """A batch of an epoch that lies where the kernels run: `crop_flip` of it, and its labels.

    `order` holds the numbers of the epoch's images, `offsets` and `flips` their crops; which batch
    of the epoch it is says `position` (). All are int64 but `flips`, and nobody looks whether they
    are in range.
    """
    checks.epoch_batch("epoch_batch", images, labels, order, offsets, flips, position, batch_size)
    others = [images, labels, order, offsets, flips, position]
    return implementation_for(mean, scale, others=others).epoch_batch(
        *others, mean, scale, batch_size=batch_size, padding=padding
    )
