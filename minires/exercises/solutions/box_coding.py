"""Coding of boxes: what a detector is trained to say of an anchor.

A network does not predict corners, but how an anchor must move and grow to become the object's box
(Girshick et al. 2014, appendix C). With the centre (x, y) and the sides w, h of the box, and the
same of its anchor, xa, ya, wa, ha:

    code = weights * ((x - xa) / wa,  (y - ya) / ha,  ln(w / wa),  ln(h / ha))

So an object at twice the distance with twice the size has the same code. `weights` (4,), such as
10, 10, 5, 5, make the codes' spread about 1.

decode is the inverse: from a code and its anchor to the box. One thing is added. A wild prediction
would make exp overflow; so what is handed to exp, ln(w / wa) and ln(h / ha), is at most
ln(1000 / 16), and there is no limit below.

Boxes and anchors are (x1, y1, x2, y2), in pixels; x2 - x1 is the width.
"""

import numpy as np


def encode(boxes, anchors, weights):
    """boxes (N, 4), anchors (N, 4), one for each box, weights (4,).  Returns codes (N, 4)."""
    # solution
    sides, anchor_sides = boxes[:, 2:] - boxes[:, :2], anchors[:, 2:] - anchors[:, :2]
    moves = (boxes[:, :2] + sides / 2 - anchors[:, :2] - anchor_sides / 2) / anchor_sides
    return weights * np.concatenate([moves, np.log(sides / anchor_sides)], axis=1)
    # end


def decode(codes, anchors, weights):
    """codes (N, 4), anchors (N, 4), weights (4,).  Returns boxes (N, 4)."""
    # solution
    codes = codes / weights
    anchor_sides = anchors[:, 2:] - anchors[:, :2]
    middles = anchors[:, :2] + anchor_sides / 2 + codes[:, :2] * anchor_sides
    sides = anchor_sides * np.exp(np.minimum(codes[:, 2:], np.log(1000 / 16)))
    return np.concatenate([middles - sides / 2, middles + sides / 2], axis=1)
    # end
