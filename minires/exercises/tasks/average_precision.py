"""What is checked of average precision."""

import numpy as np

from ...detection.voc_metric import PrecisionRecall
from ..task import Case, Exercise, Task

DETECTION = ("detection",)


def hit_cases(rng):
    """Random overlaps; then an object found twice, the threshold itself, equal scores."""
    for detections, objects in ((6, 3), (1, 2), (9, 4)):
        scores = rng.permutation(detections) / detections
        yield Case({"overlap": rng.uniform(0.2, 0.9, (detections, objects)), "scores": scores})
    twice = np.array([[0.8, 0.6], [0.9, 0.7], [0.1, 0.55]])
    note = "the second one of an object also overlaps another"
    yield Case({"overlap": twice, "scores": np.array([0.9, 0.8, 0.7])}, note)
    exact = np.array([[0.5, 0.1], [0.2, 0.49]])
    yield Case({"overlap": exact, "scores": np.array([0.3, 0.4])}, "an overlap of 0.5 exactly")
    low = np.array([[0.6, 0.2], [0.7, 0.3], [0.3, 0.4]])
    yield Case({"overlap": low, "scores": np.array([0.5, 0.5, 0.5])}, "equal scores")


def precision_cases(rng):
    """Random hits; few of many objects; exact tenths of them; none, all."""
    for detections, objects in ((8, 5), (12, 7), (5, 9)):
        hit = (rng.random(detections) < 0.5).astype(float)
        hit[: detections - objects] = 0  # never more hits than objects
        scores = rng.permutation(detections) / detections
        yield Case({"hit": rng.permutation(hit), "scores": scores, "objects": objects})
    tenths = np.array([1.0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1])
    falling = np.linspace(1, 0.1, 11)
    note = "recalls of exactly 0.3, 0.6 and 0.7"
    yield Case({"hit": tenths, "scores": falling, "objects": 10}, note)
    yield Case({"hit": np.zeros(3), "scores": np.array([0.3, 0.2, 0.1]), "objects": 2}, "no hits")
    rising = np.array([0.1, 0.2, 0.3])
    yield Case({"hit": np.array([1.0, 0, 0]), "scores": rising, "objects": 4}, "the hit comes last")


def assigned(
    overlap, scores, *, order=None, strict=False, again=False, free=False, next_best=False
):
    """The rule, with changes."""
    order = np.argsort(-scores, kind="stable") if order is None else order
    hit, taken = np.zeros(len(scores)), set()
    for place in order:
        row = overlap[place].copy()
        if next_best:
            row[list(taken)] = -1
        best = int(row.argmax())
        enough = row[best] > 0.5 if strict else row[best] >= 0.5
        hit[place] = enough and (again or best not in taken)
        if hit[place] or free:
            taken.add(best)
    return hit


def expected_hits(overlap, scores):
    """VOC's rule."""
    return assigned(overlap, scores)


def found_twice(overlap, scores):
    """An object counts as found each time: after the first hit it is taken, and further detections
    of it are false."""
    return assigned(overlap, scores, again=True)


def next_free(overlap, scores):
    """A detection whose best object is taken goes on to the next best one: by VOC's rules it is
    false (COCO's differ)."""
    return assigned(overlap, scores, next_best=True)


def above_threshold(overlap, scores):
    """An overlap of exactly 0.5 is not enough here: it should be."""
    return assigned(overlap, scores, strict=True)


def in_their_order(overlap, scores):
    """The scores are not used: the best detection of an object should have it, not the first in
    the arrays."""
    return assigned(overlap, scores, order=np.arange(len(scores)))


def worst_first(overlap, scores):
    """The detections come by rising score: the highest comes first."""
    return assigned(overlap, scores, order=np.argsort(scores, kind="stable"))


def reversed_order(overlap, scores):
    """Of equal scores the last in the arrays comes first here, as argsort(scores)[::-1] has it: use
    np.argsort(-scores, kind="stable")."""
    return assigned(overlap, scores, order=np.argsort(scores, kind="stable")[::-1])


def taken_by_anybody(overlap, scores):
    """An object is taken by every detection whose best it is, even by less than 0.5: only a hit
    takes it."""
    return assigned(overlap, scores, free=True)


def best_of_objects(overlap, scores):
    """Each object takes the detection that overlaps it most: detections choose, by falling
    score."""
    hit = np.zeros(len(scores))
    for column in overlap.T:
        hit[column.argmax()] = hit[column.argmax()] or column.max() >= 0.5
    return hit


def by_falling_score(overlap, scores):
    """The answers are in the order of falling scores: put them back into that of the arrays."""
    return expected_hits(overlap, scores)[np.argsort(-scores, kind="stable")]


def curve(hit, scores, objects, order=None):
    """Precision and recall down the detections."""
    order = np.argsort(-scores, kind="stable") if order is None else order
    hit = hit[order].astype(int)
    return PrecisionRecall(objects, hit.cumsum(), (1 - hit).cumsum())


def expected(hit, scores, objects):
    """The engine's two."""
    right = curve(hit, scores, objects)
    return right.average_precision_11(), right.average_precision()


def area(recall, precision):
    """Of steps."""
    return float(np.sum(np.diff(recall, prepend=0) * precision))


def points(recall, precision, at):
    """The mean of the highest precision from each recall on."""
    return float(np.mean([precision[recall >= r].max(initial=0) for r in at]))


def in_floating_point(hit, scores, objects):
    """Right, but where a recall is exactly a tenth such as 3 of 10: in floating point 3 * 0.1 is
    more than 0.3. Compare whole numbers, 10 * hits >= i * objects."""
    of = curve(hit, scores, objects)
    return points(of.recall, of.precision, np.arange(11) * 0.1)


def in_linspace(hit, scores, objects):
    """Right, but where a recall is exactly a tenth such as 3 of 10: np.linspace's 0.3 is a little
    more. Compare whole numbers, 10 * hits >= i * objects."""
    of = curve(hit, scores, objects)
    return points(of.recall, of.precision, np.linspace(0, 1, 11))


def ten_points(hit, scores, objects):
    """The mean is over ten recalls, 0.1 .. 1: the eleventh is 0."""
    of = curve(hit, scores, objects)
    reached = of.true * 10 >= np.arange(1, 11)[:, None] * objects
    return float(np.where(reached, of.precision, 0).max(axis=1, initial=0).mean())


def precision_there(hit, scores, objects):
    """At each recall the precision of the first detection that reaches it is taken: take the
    highest from there on."""
    of = curve(hit, scores, objects)
    reached = of.true * 10 >= np.arange(11)[:, None] * objects
    there = of.precision[reached.argmax(axis=1)]
    return float(np.where(reached.any(axis=1), there, 0).mean())


def reached_alone(hit, scores, objects):
    """The mean is over the recalls that are reached: those that are not count as 0."""
    of = curve(hit, scores, objects)
    reached = (of.true * 10 >= np.arange(11)[:, None] * objects).any(axis=1)
    return of.average_precision_11() * 11 / reached.sum()


def points_unsorted(hit, scores, objects):
    """The detections are not sorted by score."""
    return curve(hit, scores, objects, np.arange(len(hit))).average_precision_11()


def points_worst_first(hit, scores, objects):
    """The detections come by rising score: the highest comes first."""
    return curve(hit, scores, objects, np.argsort(scores)).average_precision_11()


def points_of_found(hit, scores, objects):
    """Recall is over the objects that were found: divide by all of them, `objects`."""
    return curve(hit, scores, max(int(hit.sum()), 1)).average_precision_11()


def points_are_area(hit, scores, objects):
    """This is the area: take the mean over eleven recalls."""
    return expected(hit, scores, objects)[1]


def area_unsorted(hit, scores, objects):
    """The detections are not sorted by score."""
    return curve(hit, scores, objects, np.arange(len(hit))).average_precision()


def area_worst_first(hit, scores, objects):
    """The detections come by rising score: the highest comes first."""
    return curve(hit, scores, objects, np.argsort(scores)).average_precision()


def not_raised(hit, scores, objects):
    """The precision is taken as it is: raise each one to the highest from there on first."""
    of = curve(hit, scores, objects)
    return area(of.recall, of.precision)


def raised_from_the_left(hit, scores, objects):
    """Each precision is raised to the highest one before it: raise it to the highest from there
    on."""
    of = curve(hit, scores, objects)
    return area(of.recall, np.maximum.accumulate(of.precision))


def area_of_found(hit, scores, objects):
    """Recall is over the objects that were found: divide by all of them, `objects`."""
    return curve(hit, scores, max(int(hit.sum()), 1)).average_precision()


def trapezoids(hit, scores, objects):
    """The area is made of trapezoids: it consists of steps, (recall - recall before) *
    precision."""
    of = curve(hit, scores, objects)
    raised = np.maximum.accumulate(of.precision[::-1])[::-1]
    steps = np.diff(of.recall, prepend=0)
    return float(np.sum(steps * (raised + np.concatenate([raised[:1], raised[:-1]])) / 2))


def beginning_forgotten(hit, scores, objects):
    """The step to the first recall is left out: the recall before the first detection is 0."""
    of = curve(hit, scores, objects)
    raised = np.maximum.accumulate(of.precision[::-1])[::-1]
    return float(np.sum(np.diff(of.recall) * raised[1:]))


def area_is_points(hit, scores, objects):
    """This is the mean over eleven recalls: take the area."""
    return expected(hit, scores, objects)[0]


def mean_of_precisions(hit, scores, objects):
    """This is the mean of the precisions at all detections: weigh each by what recall grows by."""
    return float(curve(hit, scores, objects).precision.mean())


EXERCISE = Exercise(
    "average_precision",
    "average precision",
    tasks=(
        Task(
            "hits",
            {"hit": DETECTION},
            hit_cases,
            expected_hits,
            mistakes={
                "hit": (
                    found_twice,
                    next_free,
                    above_threshold,
                    in_their_order,
                    worst_first,
                    reversed_order,
                    taken_by_anybody,
                    best_of_objects,
                    by_falling_score,
                )
            },
        ),
        Task(
            "average_precision",
            {"by_points": (), "by_area": ()},
            precision_cases,
            expected,
            mistakes={
                "by_points": (
                    in_floating_point,
                    in_linspace,
                    ten_points,
                    precision_there,
                    reached_alone,
                    points_unsorted,
                    points_worst_first,
                    points_of_found,
                    points_are_area,
                ),
                "by_area": (
                    area_unsorted,
                    area_worst_first,
                    not_raised,
                    raised_from_the_left,
                    area_of_found,
                    trapezoids,
                    beginning_forgotten,
                    area_is_points,
                    mean_of_precisions,
                ),
            },
        ),
    ),
    hints=(
        'Both begin with order = np.argsort(-scores, kind="stable"). hits goes through it with a '
        "set of the objects that are taken.",
        "hit[order].cumsum() is the number of hits so far; divided by 1, 2, 3, .. it is the "
        "precision, divided by objects the recall.",
        "np.maximum.accumulate(precision[::-1])[::-1] raises each precision to the highest from "
        "there on. Its first element among those with 10 * hits so far >= i * objects is point i.",
    ),
    after="mAP is the mean of this over the classes; COCO's also takes the mean over the overlaps "
    "0.5, 0.55, .., 0.95, for which a hit must be more and more exact.",
)
