"""Batch norm: the gradient, in training.

For each channel of x (N, H, W, C), with M = N * H * W values:

    mean  = average of x
    var   = average of (x - mean)^2
    x_hat = (x - mean) / sqrt(var + eps)
    y     = gamma * x_hat + beta

L depends on an element of x by three routes: through the numerator directly, through the mean, and
through the variance. mean and var are functions of x, not constants! So dx is a sum of three terms.
Begin with dx_hat = dL/dx_hat, work out how L depends on var and on mean, then put them together:

    dx = dx_hat / sqrt(var + eps)  +  (dL/dvar) * (dvar/dx)  +  (dL/dmean) * (dmean/dx)

A tip for testing by hand: never test batch norm with L = y.sum(). The sum of normalised values is
constant, so the true dx is zero, and a dx of zeros, or one without the last two terms, passes.
The check here weights y by random numbers.
"""

import numpy as np


def batch_norm_grad(dy, x, gamma, eps):
    """The gradients of batch norm in training.

    dy, x (N, H, W, C), gamma (C,).  Returns (dx, dgamma, dbeta), shaped as x, gamma and beta (C,).
    """
    # solution
    per_channel = (0, 1, 2)
    std = np.sqrt(x.var(axis=per_channel) + eps)
    x_hat = (x - x.mean(axis=per_channel)) / std
    dgamma, dbeta = (dy * x_hat).sum(axis=per_channel), dy.sum(axis=per_channel)
    dx_hat = dy * gamma
    through_mean = dx_hat.mean(axis=per_channel)
    through_var = x_hat * (dx_hat * x_hat).mean(axis=per_channel)
    return (dx_hat - through_mean - through_var) / std, dgamma, dbeta
    # end
