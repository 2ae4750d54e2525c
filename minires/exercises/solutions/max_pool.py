"""Max pooling, which stands in the stem of every ImageNet ResNet (3 x 3, stride 2, padding 1).

    y[n, r, c, k] = the largest of  padded[n, stride * r + i, stride * c + j, k],  0 <= i, j < size

x (N, H, W, C), y (N, OH, OW, C) with OH = (H + 2 * padding - size) // stride + 1, OW likewise. The
padding must never win: it counts as minus infinity, not as zero.

The gradient. A small change of y's element is a change of one pixel, the window's winner; all
others could as well not be there. Windows may overlap, so a pixel can win several times. Where
several pixels of a window are equally large, the first of them is the winner, row by row.
"""

import numpy as np


def max_pool(x, size, stride, padding):
    """x (N, H, W, C).  Returns y (N, OH, OW, C)."""
    # solution
    rows, cols = ((side + 2 * padding - size) // stride + 1 for side in x.shape[1:3])
    margin = (padding, padding)
    padded = np.pad(x, ((0, 0), margin, margin, (0, 0)), constant_values=-np.inf)
    y = np.full((len(x), rows, cols, x.shape[3]), -np.inf, x.dtype)
    for i in range(size):
        for j in range(size):
            end_row, end_col = i + stride * rows, j + stride * cols
            y = np.maximum(y, padded[:, i:end_row:stride, j:end_col:stride])
    return y
    # end


def max_pool_grad(dy, x, size, stride, padding):
    """The gradient of max_pool.

    dy (N, OH, OW, C), x (N, H, W, C).  Returns dx (N, H, W, C).
    """
    # solution
    height, width = x.shape[1:3]
    rows, cols = dy.shape[1:3]
    y = max_pool(x, size, stride, padding)
    margin = (padding, padding)
    padded = np.pad(x, ((0, 0), margin, margin, (0, 0)), constant_values=-np.inf)
    dpadded, found = np.zeros(padded.shape, dy.dtype), np.zeros(y.shape, bool)
    for i in range(size):
        for j in range(size):
            end_row, end_col = i + stride * rows, j + stride * cols
            wins = (padded[:, i:end_row:stride, j:end_col:stride] == y) & ~found
            found |= wins
            dpadded[:, i:end_row:stride, j:end_col:stride] += dy * wins
    return dpadded[:, padding : padding + height, padding : padding + width]
    # end
