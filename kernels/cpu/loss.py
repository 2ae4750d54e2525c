"""Softmax and cross-entropy, one row of logits at a time; exponentials and sums in float64.

Bytes: logits read, probabilities written; N * K exponentials. That is little beside a convolution,
so it runs on one thread, in float64, and sums in order.
"""

from __future__ import annotations

import math

import numpy as np

from .compiling import kernel
from .memory import Array, Ints, empty


def softmax_cross_entropy(logits: Array, labels: Ints) -> tuple[Array, Array]:
    probabilities = empty(logits.shape)
    loss = cross_entropy_kernel(logits, labels.astype(np.int64), probabilities)
    return np.asarray(loss, np.float32), probabilities


def softmax_cross_entropy_grad(probabilities: Array, labels: Ints) -> Array:
    """The predicted probabilities minus the true ones, over the batch size."""
    grad = probabilities.copy()
    grad[np.arange(len(labels)), labels] -= 1
    grad /= np.float32(len(labels))
    return grad


@kernel
def cross_entropy_kernel(logits, labels, probabilities):
    """Fill the probabilities; return the mean loss."""
    loss = 0.0
    for n in range(len(logits)):
        largest = -math.inf
        for logit in logits[n]:
            largest = max(largest, logit)
        total = 0.0
        for logit in logits[n]:
            total += math.exp(logit - largest)
        for k in range(logits.shape[1]):
            probabilities[n, k] = math.exp(logits[n, k] - largest) / total
        loss += math.log(total) + largest - logits[n, labels[n]]
    return loss / len(logits)
