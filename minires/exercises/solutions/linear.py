"""The linear layer, which ends every classifier.

    y[n, k] = sum over c of  x[n, c] * weight[c, k]  +  bias[k]

or in short  y = x @ weight + bias.  x (N, C) holds N samples of C features, weight (C, K), bias
(K,), y (N, K).

An element of weight is used for every sample, and so is an element of bias: a value that is used
several times gets the sum of the gradients of all its uses.

The shapes tell you much. dx must have the shape of x, dweight that of weight; from dy (N, K) and
the inputs there is only one product of matrices that comes out right. But know why it does.
"""

import numpy as np


def linear(x, weight, bias):
    """x (N, C), weight (C, K), bias (K,).  Returns y (N, K)."""
    # solution
    return x @ weight + bias
    # end


def linear_grad(dy, x, weight):
    """The gradients of linear.

    dy (N, K), x (N, C), weight (C, K).  Returns (dx, dweight, dbias), shaped as x, weight, bias.
    """
    # solution
    return dy @ weight.T, x.T @ dy, dy.sum(axis=0)
    # end
