"""Mean and variance in one pass over memory: rung 2 of the ladder.

Batch norm needs the mean and the variance of each channel before it can normalise anything. By the
definition that takes two passes over x: the variance needs the mean. x is far larger than the
processor's caches, and a pass over it costs more than all of the arithmetic. So x is read once, a
chunk at a time: a chunk stays in cache, where looking at it twice is cheap. Then chunks are merged.

    chunk a: n_a pixels, mean_a, var_a         both together: n = n_a + n_b pixels,
    chunk b: n_b pixels, mean_b, var_b         mean = ?  var = ?

var is always the average of (x - mean)^2, so divide by n. The variance of both has two parts: the
spread within the chunks, and the distance of the chunks' means from each other.

The textbook's shortcut, average of x^2 minus the square of the average, is not good enough: where
the mean is large, it subtracts two numbers that share all their digits. The last calls try that.

x (N, H, W, C). Every channel is by itself; a pixel is one of the N * H * W places. (Chan, Golub &
LeVeque 1983.)
"""

import numpy as np


def merge(n_a, mean_a, var_a, n_b, mean_b, var_b):
    """n_a, n_b: numbers of pixels, not both 0; mean_a, var_a, mean_b, var_b (C,).

    Returns (mean_ab, var_ab) (C,) of the n_a + n_b pixels together.
    """
    # solution
    n = n_a + n_b
    mean = (n_a * mean_a + n_b * mean_b) / n
    var_a, var_b = var_a + (mean_a - mean) ** 2, var_b + (mean_b - mean) ** 2
    return mean, (n_a * var_a + n_b * var_b) / n
    # end


def moments(x, pixels):
    """x (N, H, W, C); pixels: how many make a chunk, the last of which may be shorter.

    Returns (mean, var) (C,).
    """
    # solution
    rows = x.reshape(-1, x.shape[3])
    mean = var = np.zeros(x.shape[3])
    for start in range(0, len(rows), pixels):
        chunk = rows[start : start + pixels]
        mean, var = merge(start, mean, var, len(chunk), chunk.mean(axis=0), chunk.var(axis=0))
    return mean, var
    # end
