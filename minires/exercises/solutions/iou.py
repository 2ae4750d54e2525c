"""Overlap of boxes: intersection over union, by which detections are matched, kept and graded.

A box is (x1, y1, x2, y2): the left, upper, right and lower edge, in pixels. Boxes are continuous:
this one is x2 - x1 wide and y2 - y1 high, with no "+ 1".

                      area that both cover
    iou of a and b = ----------------------      0 .. 1
                     area that either covers

What either covers is not the sum of the two areas, for that counts what they share twice. Two boxes
that do not touch share nothing, whatever the products of their distances say. A pair of which
neither has any area has the overlap 0, not 0 / 0.
"""

import numpy as np


def iou(a, b):
    """a (N, 4), b (M, 4).  Returns overlap (N, M): of each box of a with each of b."""
    # solution
    ends = np.minimum(a[:, None, 2:], b[:, 2:])
    sides = np.maximum(ends - np.maximum(a[:, None, :2], b[:, :2]), 0)
    shared = sides[..., 0] * sides[..., 1]
    area_a, area_b = ((x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1]) for x in (a, b))
    either = area_a[:, None] + area_b - shared
    return np.where(either > 0, shared / np.where(either > 0, either, 1), 0.0)
    # end
