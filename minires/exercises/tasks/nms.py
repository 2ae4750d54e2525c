"""What is checked of non-maximum suppression."""

import numpy as np

from ...detection import boxes as engine
from ..task import Case, Exercise, Task
from .iou import over_smaller as of_the_smaller
from .iou import plus_one as overlap_plus_one
from .iou import random_boxes

CHAIN = np.array([[0.0, 0, 10, 4], [4, 0, 14, 4], [8, 0, 18, 4], [12, 0, 22, 4], [40, 0, 50, 4]])
HALVES = np.array([[0.0, 0, 4, 4], [0, 0, 4, 2], [9, 9, 13, 13], [9, 9, 13, 12]])  # .5 and .75


def crowd(rng, count):
    """Around three places, several boxes each."""
    places = random_boxes(rng, 3)
    return places[rng.integers(0, 3, count)] + rng.uniform(-1.5, 1.5, (count, 4)) * 0.4


def cases(rng):
    """Crowds; a chain in which each overlaps the next alone; the threshold itself; equal scores."""
    for count, threshold in ((12, 0.5), (1, 0.5), (20, 0.2)):
        scores = rng.permutation(count) / count + rng.uniform(0, 1e-3, count)
        yield Case({"boxes": crowd(rng, count), "scores": scores, "threshold": threshold})
    order = np.array([0.9, 0.8, 0.7, 0.6, 0.95])
    yield Case({"boxes": CHAIN, "scores": order, "threshold": 0.3}, "each overlaps the next")
    back = np.array([0.8, 0.9, 0.2, 0.3, 0.5])
    yield Case({"boxes": CHAIN, "scores": back, "threshold": 0.3}, "each overlaps the next")
    scores = np.array([0.9, 0.8, 0.4, 0.7])
    yield Case({"boxes": HALVES, "scores": scores, "threshold": 0.5}, "an overlap of 0.5 exactly")
    equal = np.array([0.5, 0.5, 0.5, 0.5, 0.5])
    yield Case({"boxes": CHAIN + 1, "scores": equal, "threshold": 0.3}, "all scores are equal")


def suppressed(
    boxes, scores, threshold, *, order=None, overlap=None, equal=False, gone=False, last=False
):
    """The rule, with changes: 1 for what stays."""
    order = np.argsort(-scores, kind="stable") if order is None else order
    overlap = engine.iou(boxes, boxes) if overlap is None else overlap
    kept, seen = np.zeros(len(boxes)), []
    for place in order:
        over = overlap[place, seen[-1:] if last else seen]
        kept[place] = not (np.any(over >= threshold) if equal else np.any(over > threshold))
        if kept[place] or gone:
            seen.append(place)
    return kept


def expected(boxes, scores, threshold):
    """The engine's rule, in the boxes' order."""
    return suppressed(boxes, scores, threshold)


def at_the_threshold(boxes, scores, threshold):
    """Right, but where an overlap is exactly the threshold: a box goes only if it overlaps by
    more."""
    return suppressed(boxes, scores, threshold, equal=True)


def lowest_first(boxes, scores, threshold):
    """The boxes are taken from the lowest score to the highest: the best one should stay."""
    return suppressed(boxes, scores, threshold, order=np.argsort(scores, kind="stable"))


def lowest_first_of_equals(boxes, scores, threshold):
    """The boxes are taken from the lowest score to the highest: the best one should stay."""
    return suppressed(boxes, scores, threshold, order=np.argsort(-scores, kind="stable")[::-1])


def as_they_come(boxes, scores, threshold):
    """The scores are not used: sort by them first."""
    return suppressed(boxes, scores, threshold, order=np.arange(len(scores)))


def last_of_equals(boxes, scores, threshold):
    """Right where all scores differ. Of equal ones the last in the arrays comes first here, as
    argsort(scores)[::-1] has it: use np.argsort(-scores, kind="stable")."""
    return suppressed(boxes, scores, threshold, order=np.argsort(scores, kind="stable")[::-1])


def gone_ones_suppress(boxes, scores, threshold):
    """A box that has gone still suppresses others: only those that stay should. In a row of boxes,
    each overlapping the next, every second one stays."""
    return suppressed(boxes, scores, threshold, gone=True)


def last_kept_alone(boxes, scores, threshold):
    """Each box is compared with the last one that has stayed: compare it with all of them."""
    return suppressed(boxes, scores, threshold, last=True)


def neighbours_alone(boxes, scores, threshold):
    """Each box is compared with the one before it alone, by score: compare it with all that have
    stayed."""
    return suppressed(boxes, scores, threshold, last=True, gone=True)


def of_smaller(boxes, scores, threshold):
    """The overlap is the shared area over the smaller box's: divide by the union."""
    return suppressed(boxes, scores, threshold, overlap=of_the_smaller(boxes, boxes))


def one_more_pixel(boxes, scores, threshold):
    """One pixel is added to widths and heights. Here boxes are continuous: x2 - x1."""
    return suppressed(boxes, scores, threshold, overlap=overlap_plus_one(boxes, boxes))


def in_order_of_scores(boxes, scores, threshold):
    """The answers are in the order of falling scores: put them back into the order of boxes, with
    kept[order] = ... for an order = np.argsort(...)."""
    return expected(boxes, scores, threshold)[np.argsort(-scores, kind="stable")]


def the_other_way_round(boxes, scores, threshold):
    """1 and 0 are exchanged: 1 is for a box that stays."""
    return 1 - expected(boxes, scores, threshold)


def everything(boxes, scores, threshold):
    """All boxes stay."""
    return np.ones(len(boxes))


EXERCISE = Exercise(
    "nms",
    "non-maximum suppression",
    tasks=(
        Task(
            "nms",
            {"kept": ("box",)},
            cases,
            expected,
            mistakes={
                "kept": (
                    at_the_threshold,
                    lowest_first,
                    lowest_first_of_equals,
                    as_they_come,
                    last_of_equals,
                    gone_ones_suppress,
                    last_kept_alone,
                    neighbours_alone,
                    of_smaller,
                    one_more_pixel,
                    in_order_of_scores,
                    the_other_way_round,
                    everything,
                )
            },
        ),
    ),
    hints=(
        "Keep a list of the places that have stayed, empty at first, and ask of each box in turn: "
        "does it overlap one of them too much?",
        'The turn: np.argsort(-scores, kind="stable"). Reversing an argsort of scores would put '
        "the last of equal ones first.",
        "Begin with zeros, one for each box, and for each place of that order kept[place] = 1 if "
        "no place with kept == 1 overlaps it by more than the threshold.",
    ),
    after="Greedy, and quadratic: the engine asks the question for 64 boxes at a time, with a bit "
    "for each answer (kernels/cpu). In a crowd of people a right box goes for the sake of another "
    "right box; so the threshold trades misses for doubles.",
)
