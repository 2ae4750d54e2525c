"""What is checked of the coding of boxes."""

import numpy as np

from ...detection import boxes as engine
from ..task import Case, Exercise, Task
from .iou import random_boxes

BOX = ("box", "corner")
CODE = ("box", "number of the code")
WEIGHTS = ((1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0), (2.0, 3.0, 0.5, 4.0))


def encode_cases(rng):
    """The weights of proposals, of regions, and four different ones."""
    for count, weights in zip((3, 4, 1), WEIGHTS, strict=True):
        boxes, anchors = random_boxes(rng, count), random_boxes(rng, count)
        yield Case({"boxes": boxes, "anchors": anchors, "weights": np.array(weights)})


def decode_cases(rng):
    """Codes of that size; then wild ones."""
    for count, weights in zip((3, 4, 2), WEIGHTS, strict=True):
        weights = np.array(weights)
        codes = 0.7 * weights * rng.standard_normal((count, 4))
        yield Case({"codes": codes, "anchors": random_boxes(rng, count), "weights": weights})
    wild = np.array([[0.5, 0.5, 900.0, 900.0], [0.5, 0.5, 3.0, 5.0], [0.5, 0.5, -5.0, -6.0]])
    note = "growth beyond the limit, and shrinking"
    for weights in (np.ones(4), np.array([1.0, 1.0, 0.5, 0.5])):
        yield Case({"codes": wild, "anchors": random_boxes(rng, 3), "weights": weights}, note)


def middle_and_sides(boxes):
    """(x, y) and (w, h)."""
    return engine.centres_and_sides(boxes)


def expected_codes(boxes, anchors, weights):
    """The engine's."""
    return engine.encode(boxes, anchors, tuple(weights))


def expected_boxes(codes, anchors, weights):
    """The engine's."""
    return engine.decode(codes, anchors, tuple(weights))


def code(moves, growths, weights):
    """Put together."""
    return weights * np.concatenate([moves, growths], axis=1)


def of_corners(boxes, anchors, weights):
    """The moves are those of the upper left corner: they should be the centre's, (x1 + x2) / 2."""
    _, growths = np.split(expected_codes(boxes, anchors, np.ones(4)), 2, axis=1)
    sides = middle_and_sides(anchors)[1]
    return code((boxes[:, :2] - anchors[:, :2]) / sides, growths, weights)


def in_pixels(boxes, anchors, weights):
    """The moves are in pixels: divide them by the anchor's sides, so that they do not depend on the
    size."""
    (middle, sides), (start, begin) = middle_and_sides(boxes), middle_and_sides(anchors)
    return code(middle - start, np.log(sides / begin), weights)


def by_own_sides(boxes, anchors, weights):
    """The moves are divided by the box's sides: divide by the anchor's, for the box's are not known
    when a code is decoded."""
    (middle, sides), (start, begin) = middle_and_sides(boxes), middle_and_sides(anchors)
    return code((middle - start) / sides, np.log(sides / begin), weights)


def without_logarithm(boxes, anchors, weights):
    """The growths are w / wa and h / ha: take their logarithms, which are 0 for an anchor that fits
    already, and never ask for a negative side."""
    (middle, sides), (start, begin) = middle_and_sides(boxes), middle_and_sides(anchors)
    return code((middle - start) / begin, sides / begin, weights)


def relative_growth(boxes, anchors, weights):
    """The growths are (w - wa) / wa and (h - ha) / ha: take ln(w / wa) and ln(h / ha)."""
    (middle, sides), (start, begin) = middle_and_sides(boxes), middle_and_sides(anchors)
    return code((middle - start) / begin, sides / begin - 1, weights)


def with_base_2(boxes, anchors, weights):
    """The logarithm has base 2: take the natural one, np.log, whose inverse is exp."""
    codes = expected_codes(boxes, anchors, weights)
    return codes / np.array([1, 1, np.log(2), np.log(2)])


def upside_down(boxes, anchors, weights):
    """The growths have the wrong sign: ln(wa / w) instead of ln(w / wa)."""
    return expected_codes(boxes, anchors, weights) * np.array([1, 1, -1, -1])


def exchanged(boxes, anchors, weights):
    """Box and anchor are exchanged: the code leads from the anchor to the box."""
    return expected_codes(anchors, boxes, weights)


def divided_by_weights(boxes, anchors, weights):
    """The code is divided by the weights: multiply, and divide in decode."""
    return expected_codes(boxes, anchors, 1 / weights)


def weights_left_out(boxes, anchors, weights):
    """The weights are not in it."""
    return expected_codes(boxes, anchors, np.ones(4))


def sides_plus_one(boxes, anchors, weights):
    """One pixel is added to the sides. Here boxes are continuous: x2 - x1."""
    more = np.array([0, 0, 1, 1])
    return expected_codes(boxes + more, anchors + more, weights)


def decoded(codes, anchors, weights, *, limit=engine.LARGEST_LOG, moved_by=None, grow=np.exp):
    """The right boxes, if nothing is changed."""
    codes = codes / weights
    start, begin = middle_and_sides(anchors)
    sides = begin * grow(np.minimum(codes[:, 2:], limit))
    middle = start + codes[:, :2] * (sides if moved_by == "new" else begin)
    return middle, sides


def corners(middle, sides):
    """Around a middle."""
    return np.concatenate([middle - sides / 2, middle + sides / 2], axis=1)


def without_limit(codes, anchors, weights):
    """Right for codes of a usual size; wild ones overflow, or become boxes of any size: what is
    handed to exp is at most ln(1000 / 16)."""
    return corners(*decoded(codes, anchors, weights, limit=np.inf))


def limit_before_weights(codes, anchors, weights):
    """The limit is applied to the code as it comes: divide by the weights first."""
    codes = np.concatenate([codes[:, :2], np.minimum(codes[:, 2:], engine.LARGEST_LOG)], axis=1)
    return corners(*decoded(codes, anchors, weights, limit=np.inf))


def limit_on_both_sides(codes, anchors, weights):
    """There is a limit below as well: a box may shrink as much as it likes, nothing overflows."""
    growths = np.maximum((codes / weights)[:, 2:], -engine.LARGEST_LOG) * weights[2:]
    return expected_boxes(np.concatenate([codes[:, :2], growths], axis=1), anchors, weights)


def limit_on_all(codes, anchors, weights):
    """The limit also cuts off the moves: it is for what is handed to exp."""
    codes = np.minimum(codes / weights, engine.LARGEST_LOG)
    return corners(*decoded(codes, anchors, np.ones(4)))


def middle_for_corner(codes, anchors, weights):
    """The middle is taken for the upper left corner: it lies half a side before the middle."""
    middle, sides = decoded(codes, anchors, weights)
    return np.concatenate([middle, middle + sides], axis=1)


def whole_sides(codes, anchors, weights):
    """The box reaches a whole side from its middle in each direction: half a side is right."""
    middle, sides = decoded(codes, anchors, weights)
    return corners(middle, 2 * sides)


def middle_and_sides_returned(codes, anchors, weights):
    """These are the middle and the sides: return corners, (x1, y1, x2, y2)."""
    return np.concatenate(decoded(codes, anchors, weights), axis=1)


def moved_by_new_sides(codes, anchors, weights):
    """The move is multiplied by the new sides: multiply it by the anchor's."""
    return corners(*decoded(codes, anchors, weights, moved_by="new"))


def linear_growth(codes, anchors, weights):
    """The sides grow by the factor 1 + code: it is exp(code)."""
    return corners(*decoded(codes, anchors, weights, grow=lambda growth: 1 + growth))


def multiplied_by_weights(codes, anchors, weights):
    """The code is multiplied by the weights: divide, since encode multiplies."""
    return expected_boxes(codes, anchors, 1 / weights)


def weights_ignored(codes, anchors, weights):
    """The weights are not in it: divide the code by them."""
    return expected_boxes(codes, anchors, np.ones(4))


def left_in_place(codes, anchors, weights):
    """The moves are added in pixels: multiply them by the anchor's sides."""
    _, sides = decoded(codes, anchors, weights)
    return corners(middle_and_sides(anchors)[0] + (codes / weights)[:, :2], sides)


EXERCISE = Exercise(
    "box_coding",
    "coding of boxes",
    tasks=(
        Task(
            "encode",
            {"codes": CODE},
            encode_cases,
            expected_codes,
            mistakes={
                "codes": (
                    of_corners,
                    in_pixels,
                    by_own_sides,
                    without_logarithm,
                    relative_growth,
                    with_base_2,
                    upside_down,
                    exchanged,
                    divided_by_weights,
                    weights_left_out,
                    sides_plus_one,
                )
            },
        ),
        Task(
            "decode",
            {"boxes": BOX},
            decode_cases,
            expected_boxes,
            mistakes={
                "boxes": (
                    without_limit,
                    limit_before_weights,
                    limit_on_both_sides,
                    limit_on_all,
                    middle_for_corner,
                    whole_sides,
                    middle_and_sides_returned,
                    moved_by_new_sides,
                    linear_growth,
                    multiplied_by_weights,
                    weights_ignored,
                    left_in_place,
                )
            },
        ),
    ),
    hints=(
        "Write down centre and sides of both first: sides = boxes[:, 2:] - boxes[:, :2], and the "
        "centre is boxes[:, :2] plus half of them.",
        "decode takes the steps of encode backwards: divide by the weights, multiply the moves by "
        "the anchor's sides and add its centre, multiply its sides by exp of the growths.",
        "np.minimum(growth, np.log(1000 / 16)) comes after the division by the weights and before "
        "exp; the moves have no limit. Then corners: the middle less and plus half of the sides.",
    ),
    after="decode(encode(boxes, anchors, w), anchors, w) gives the boxes back, whatever the "
    "anchors. A pixel too much in one of the two costs precision, and nothing complains.",
)
