"""Average precision, the number by which detectors are compared, by the rules of PASCAL VOC.

Take one class. hits: the detections come by falling score (of equal ones the first in the arrays
first). Each looks at the object that it overlaps most, of equals at the first, taken or not. If the
overlap is at least 0.5 and the object is still free, the detection is a hit, and the object is
taken. Every other detection is false: a second one of an object that is taken as well, even if
another object overlaps it by 0.5.

average_precision: go down the detections by falling score. After each,

    precision = hits so far / detections so far      recall = hits so far / objects

- `by_points`, VOC 2007: the mean over the eleven recalls 0, 0.1, .., 1 of the highest precision
  that is had at that recall or a higher one; 0 where no such recall is reached. Careful: 3 of 10
  objects reach the recall 0.3, but in floating point 3 * 0.1 > 0.3.
- `by_area`, VOC since 2010: the area under precision against recall, after each precision has been
  raised to the highest one from there on: the sum of (recall - recall before) * precision, where
  the recall before the first is 0.
"""

import numpy as np


def hits(overlap, scores):
    """overlap (D, G) of D detections and G objects, scores (D,).

    Returns hit (D,), as float64: 1 for a hit, 0 for a false one, in the order of scores.
    """
    # solution
    hit, taken = np.zeros(len(scores)), set()
    for place in np.argsort(-scores, kind="stable"):
        best = int(overlap[place].argmax())
        hit[place] = overlap[place, best] >= 0.5 and best not in taken
        if hit[place]:
            taken.add(best)
    return hit
    # end


def average_precision(hit, scores, objects):
    """hit (D,) of 1 and 0, scores (D,), all different, objects: how many there are.

    Returns (by_points, by_area), two numbers.
    """
    # solution
    found = hit[np.argsort(-scores)].cumsum()
    precision = found / np.arange(1, len(hit) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    points = [best_from_here[10 * found >= i * objects][:1].sum() for i in range(11)]
    area = np.sum(np.diff(found, prepend=0) / objects * best_from_here)
    return np.mean(points), area
    # end
