"""Softmax and cross-entropy, the loss.

A classifier ends in logits (N, K): for each of N images one number a class. Softmax makes
probabilities of them, and the loss is how surprised the model is by the true class, averaged over
the images:

    p[n, k] = exp(logits[n, k]) / sum over j of exp(logits[n, j])
    loss    = -1/N * sum over n of  log p[n, labels[n]]

with the natural logarithm. Two things to take care of:

- exp(1000) is infinity. Adding the same number to all logits of an image leaves p as it is, so you
  may choose one that keeps exp in bounds. And log(p) is minus infinity where p has been rounded to
  zero: compute the logarithm of the quotient, not the quotient first.
- The loss is one number, but it need not be the end of the computation: you are given
  dloss = dL/dloss, a number too.
"""

import numpy as np


def softmax_cross_entropy(logits, labels):
    """The mean loss, one number.

    logits (N, K);  labels (N,), whole numbers in 0 .. K - 1.
    """
    # solution
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=1))
    return np.mean(log_total - shifted[np.arange(len(labels)), labels])
    # end


def softmax_cross_entropy_grad(dloss, logits, labels):
    """The gradient of the loss.

    dloss: a number;  logits (N, K);  labels (N,).  Returns dlogits (N, K).
    """
    # solution
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    dlogits = exponentials / exponentials.sum(axis=1, keepdims=True)
    dlogits[np.arange(len(labels)), labels] -= 1
    return dloss * dlogits / len(labels)
    # end
