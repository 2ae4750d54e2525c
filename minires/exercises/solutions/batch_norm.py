"""Batch norm: the forward pass, in training and afterwards.

x (N, H, W, C). Everything happens for each channel by itself; M = N * H * W is the number of values
that a channel has in the batch. Ioffe & Szegedy 2015, algorithm 1. In training:

    mean  = average of the channel's M values
    var   = average of (x - mean)^2                   (so divide by M)
    x_hat = (x - mean) / sqrt(var + eps)
    y     = gamma * x_hat + beta

gamma and beta (C,) are parameters. While training, the layer also follows the statistics with a
running average, for later:

    new_mean = (1 - momentum) * running_mean + momentum * mean
    new_var  = (1 - momentum) * running_var  + momentum * var * M / (M - 1)

The last factor makes the estimate of the variance unbiased: the data's variance is a little larger
than that of a sample around its own mean.

After training (training=False) the running statistics take the place of the batch's: an image's
result must not depend on which other images happen to be in its batch. They stay as they are.
"""

import numpy as np


def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """x (N, H, W, C); gamma, beta, running_mean, running_var (C,); training is True or False.

    Returns (y, new_mean, new_var): y (N, H, W, C), and the running statistics after this batch.
    """
    # solution
    mean, var = running_mean, running_var
    new_mean, new_var = running_mean, running_var
    if training:
        mean, var = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
        count = x.size // x.shape[3]
        new_mean = (1 - momentum) * running_mean + momentum * mean
        new_var = (1 - momentum) * running_var + momentum * var * count / (count - 1)
    x_hat = (x - mean) / np.sqrt(var + eps)
    return gamma * x_hat + beta, new_mean, new_var
    # end
