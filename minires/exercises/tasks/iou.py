"""What is checked of the overlap of boxes."""

import numpy as np

from ...detection import boxes as engine
from ..task import Case, Exercise, Task

PAIRS = ("box of a", "box of b")


def random_boxes(rng, count):
    """Boxes in an image of 20 x 12, from 1 pixel on."""
    corners = rng.uniform(0, (12, 8), (count, 2))
    return np.concatenate([corners, corners + rng.uniform(1, 8, (count, 2))], axis=1)


def cases(rng):
    """Different numbers of boxes; apart along one axis and along both; inside; without area."""
    yield Case({"a": random_boxes(rng, 4), "b": random_boxes(rng, 3)})
    yield Case({"a": random_boxes(rng, 1), "b": random_boxes(rng, 5)}, "one box in a")
    a = random_boxes(rng, 3)
    apart = np.array([[30.0, 0, 0, 0], [0, 30, 0, 30], [30, 30, 30, 30]])
    apart[0] = [30, 0, 30, 0]
    yield Case({"a": a, "b": a[:1] + apart}, "boxes that do not touch")
    yield Case({"a": a, "b": a + np.array([0.2, 0.3, -0.2, -0.3])}, "one inside the other")
    point = np.array([[3.0, 2, 3, 2], [5, 4, 9, 4]])
    yield Case({"a": np.concatenate([a[:1], point]), "b": point}, "boxes without area")


def parts(a, b):
    """Shared area, and the areas of the boxes, broadcast to pairs."""
    a, b = a[:, None], b[None]
    return engine.intersection(a, b), engine.area(a), engine.area(b)


def ratio(shared, whole):
    """0 where nothing is shared."""
    return engine.shared_part(shared, np.broadcast_to(whole, shared.shape).astype(float))


def plus_one(a, b):
    """One pixel is added to widths and heights, as for boxes that name the last pixel inside. Here
    boxes are continuous: x2 - x1."""
    more = np.array([0, 0, 1, 1])
    return engine.iou(a + more, b + more)


def distances_multiplied(a, b):
    """Right where boxes touch. Where they lie apart, the sides of what they share are negative, and
    the product of two negative ones is positive: take 0 for negative sides, before multiplying."""
    return with_product(a, b, least=-np.inf)


def with_product(a, b, least):
    """The shared area is the product of sides that may be negative, held above `least`."""
    a, b = a[:, None], b[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.maximum(sides[..., 0] * sides[..., 1], least)
    either = engine.area(a) + engine.area(b) - shared
    return np.divide(shared, either, out=np.zeros_like(shared), where=either != 0)


def product_clamped(a, b):
    """The product of the two sides is held above 0, not the sides: apart along both axes, two
    negative sides have a positive product."""
    return with_product(a, b, least=0)


def shared_counted_twice(a, b):
    """The union is the sum of both areas, in which the shared part is counted twice: subtract it
    once."""
    shared, own, other = parts(a, b)
    return ratio(shared, own + other)


def dice(a, b):
    """This is twice the shared area over the sum of both areas (Dice): take the union."""
    return 2 * shared_counted_twice(a, b)


def over_smaller(a, b):
    """The shared area is divided by the smaller box's: a small box inside a large one would overlap
    it entirely. Divide by the union."""
    shared, own, other = parts(a, b)
    return ratio(shared, np.minimum(own, other))


def over_a(a, b):
    """The shared area is divided by that of the box of a alone: divide by the union."""
    shared, own, _ = parts(a, b)
    return ratio(shared, own)


def over_b(a, b):
    """The shared area is divided by that of the box of b alone: divide by the union."""
    shared, _, other = parts(a, b)
    return ratio(shared, other)


def over_enclosing(a, b):
    """The shared area is divided by the smallest box around both: the union is not a box."""
    shared, _, _ = parts(a, b)
    a, b = a[:, None], b[None]
    sides = np.maximum(a[..., 2:], b[..., 2:]) - np.minimum(a[..., :2], b[..., :2])
    return ratio(shared, sides[..., 0] * sides[..., 1])


def shared_alone(a, b):
    """This is the shared area, in pixels: divide it by the union."""
    return parts(a, b)[0]


def nothing_by_nothing(a, b):
    """Right, but for pairs of which neither box has any area: there 0 / 0 is not a number. It
    should be 0."""
    shared, own, other = parts(a, b)
    return shared / (own + other - shared)


def corner_and_sides(a, b):
    """The boxes are read as corner and sides (x, y, w, h): they are two corners, (x1, y1, x2,
    y2)."""
    return engine.iou(*(np.concatenate([x[:, :2], x[:, :2] + x[:, 2:]], axis=1) for x in (a, b)))


EXERCISE = Exercise(
    "iou",
    "overlap of boxes",
    tasks=(
        Task(
            "iou",
            {"overlap": PAIRS},
            cases,
            engine.iou,
            mistakes={
                "overlap": (
                    plus_one,
                    distances_multiplied,
                    product_clamped,
                    shared_counted_twice,
                    dice,
                    over_smaller,
                    over_a,
                    over_b,
                    over_enclosing,
                    shared_alone,
                    nothing_by_nothing,
                    corner_and_sides,
                )
            },
        ),
    ),
    hints=(
        "What two boxes share is a box, too. Where does it begin, if one begins at 3 and the other "
        "at 5? Where does it end?",
        "It begins at the larger of the two beginnings and ends at the smaller of the two ends, "
        "along each axis. Where the end comes first, the side is 0: np.maximum(..., 0).",
        "a[:, None] has shape (N, 1, 4); with b of (M, 4) NumPy makes all pairs. The union is the "
        "two areas less the shared one; divide only where it is above 0.",
    ),
    after="This number decides which anchors are trained as objects, which of two detections goes, "
    "and which detection counts as right.",
)
