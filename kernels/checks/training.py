"""Checks of what surrounds a network: labels, batches of pixels."""

from __future__ import annotations

import numpy as np

from ..devices import is_cuda
from ..records import Epoch
from .arrays import contiguous, fail_unless, images


def labels(logits: np.ndarray, classes: np.ndarray) -> None:
    """Refuse labels that are not one class number per image."""
    fail_unless(
        logits.ndim == 2 and classes.shape == logits.shape[:1],
        f"expected logits (N, K) and labels (N,), but got {logits.shape} and {classes.shape}",
    )
    fail_unless(len(logits), "the batch is empty")
    if classes.dtype.kind not in "iu":
        raise TypeError(f"labels must be whole numbers, but are {classes.dtype}")
    contiguous(logits=logits, labels=classes)
    if not is_cuda(classes):  # reading them would wait for the GPU
        fail_unless(
            classes.min() >= 0 and classes.max() < logits.shape[1],
            f"labels must lie in 0 .. {logits.shape[1] - 1}, but range over "
            f"{classes.min()} .. {classes.max()}: does the model have enough classes?",
        )


def crop_flip(
    batch: np.ndarray,
    offsets: np.ndarray,
    flips: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    padding: int,
) -> None:
    if batch.dtype != np.uint8:
        raise TypeError(f"images must be uint8, but are {batch.dtype}")
    images(batch.shape, "images")
    expected = {
        "offsets": (offsets, (len(batch), 2)),
        "flips": (flips, (len(batch),)),
        "mean": (mean, batch.shape[1:]),
        "scale": (scale, batch.shape[3:]),
    }
    for argument, (array, shape) in expected.items():
        fail_unless(
            array.shape == shape,
            f"for images {batch.shape}, {argument} must have shape {shape}, but has {array.shape}",
        )
    fail_unless(
        is_cuda(offsets)
        or len(offsets) == 0
        or (offsets.min() >= 0 and offsets.max() <= 2 * padding),
        f"offsets must lie in 0 .. {2 * padding} (twice the padding)",
    )
    contiguous(images=batch, offsets=offsets, flips=flips, mean=mean, scale=scale)


def epoch_batch(epoch: Epoch, position: np.ndarray, batch_size: int) -> None:
    pictures, labels, order, offsets, flips = epoch
    images(pictures.shape, "images")
    expected = {
        "labels": (labels, (len(pictures),)),
        "offsets": (offsets, (len(order), 2)),
        "flips": (flips, (len(order),)),
        "position": (position, ()),
    }
    for argument, (array, shape) in expected.items():
        fail_unless(
            array.shape == shape,
            f"for {len(pictures)} images and {len(order)} in order, {argument} must have "
            f"shape {shape}, but has {array.shape}",
        )
    fail_unless(
        1 <= batch_size <= len(order),
        f"batch_size must lie in 1 .. {len(order)}, but is {batch_size}",
    )
    contiguous(**epoch._asdict())
