"""RoI align: a region of a map, of any size, becomes a small map of always the same size.

The region, a box (x1, y1, x2, y2) on the map, is cut into P x Q bins of the same size. In each bin
lie samples * samples points, as a grid: along an axis on which a bin begins at `start` and is
`step` long, point k is at

    start + (k + 1/2) * step / samples - 1/2        k = 0 .. samples - 1

(minus one half, since the middle of pixel i is at i + 1/2 of the box's axis.) At each point the map
is interpolated between the four pixels around it: with row r = i + u, column c = j + v, where i and
j are whole numbers and u and v from 0 to 1,

    value = (1 - u) (1 - v) x[i, j]     + (1 - u) v x[i, j + 1]
          +      u  (1 - v) x[i + 1, j] +      u  v x[i + 1, j + 1]

y is the mean over the points of a bin. All boxes here are such that their points lie between the
middles of the map's first and last pixels. (He et al. 2017, section 3.)

The gradient. y is a sum of pixels, each times a weight. So each pixel gets back dy times the weight
that it had; pixels around several points collect from all of them. The box gets no gradient.

x (H, W, C), one map; y (P, Q, C).
"""

import numpy as np


def roi_align(x, box, size, samples):
    """x (H, W, C), box (4,), size (P, Q), samples a side of a bin.  Returns y (P, Q, C)."""
    # solution
    y = np.zeros((*size, x.shape[2]))
    for p, q, row, column, weight in points(box, size, samples):
        y[p, q] += weight * x[row, column]
    return y


def points(box, size, samples):
    """Bin, pixel and weight, four times for each point."""
    x1, y1, x2, y2 = box
    bins = [(p, q, k, m) for p, q in np.ndindex(size) for k, m in np.ndindex(samples, samples)]
    for p, q, k, m in bins:
        r = y1 + (p + (k + 0.5) / samples) * (y2 - y1) / size[0] - 0.5
        c = x1 + (q + (m + 0.5) / samples) * (x2 - x1) / size[1] - 0.5
        (i, u), (j, v) = divmod(r, 1), divmod(c, 1)
        for row, over in ((int(i), 1 - u), (int(i) + 1, u)):
            for column, across in ((int(j), 1 - v), (int(j) + 1, v)):
                yield p, q, row, column, over * across / samples**2
    # end


def roi_align_grad(dy, box, x_shape, samples):
    """The gradient of roi_align.

    dy (P, Q, C), box (4,), x_shape (H, W, C).  Returns dx (H, W, C).
    """
    # solution
    dx = np.zeros(x_shape)
    for p, q, row, column, weight in points(box, dy.shape[:2], samples):
        dx[row, column] += weight * dy[p, q]
    return dx
    # end
