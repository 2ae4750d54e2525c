"""Softmax cross-entropy, and the sums of the training meter."""

from __future__ import annotations

from typing import Any

from .launch import empty, launch, launch_over, type_name

Array = Any


def softmax_cross_entropy(logits: Array, labels: Array) -> tuple[Array, Array]:
    loss, probabilities = empty((), logits), empty(logits.shape, logits)
    kernel = f"softmax_cross_entropy<{type_name(logits)}>"
    arrays = (logits, whole(labels), loss, probabilities)
    launch("loss", kernel, (1,), *arrays, *logits.shape)
    return loss, probabilities


def softmax_cross_entropy_grad(probabilities: Array, labels: Array) -> Array:
    grad = empty(probabilities.shape, probabilities)
    kernel = f"softmax_cross_entropy_grad<{type_name(grad)}>"
    arrays = (probabilities, whole(labels), grad)
    launch_over(grad.size, "loss", kernel, *arrays, *grad.shape)
    return grad


def tally(totals: Array, loss: Array, logits: Array, labels: Array) -> None:
    """Add a batch to the totals on the GPU, without waiting for them."""
    kernel = f"tally<{type_name(logits)}>"
    launch("loss", kernel, (1,), totals, loss, logits, whole(labels), *logits.shape)


def whole(labels: Array) -> Array:
    """Labels with 64 bits, as the kernels read them."""
    return labels.astype("int64", copy=False)
