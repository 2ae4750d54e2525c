"""Average precision by VOC's rules."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minires.detection import evaluate_voc, read_detections, read_voc
from minires.detection.voc_metric import PrecisionRecall
from tests.detection import slow
from tests.detection.sets import voc_folder, write, xml

DIFFICULT = "<difficult>1</difficult>"
A, B = (1, 1, 10, 10), (21, 21, 30, 30)


def evaluate(root, objects, found, threshold=0.5):
    """Evaluate through files: objects (image, box, difficult) and found (image, box, score)."""
    images = {place for place, *_ in [*objects, *found]} | {"none"}
    files = {
        image: xml(*(("dog", *b, DIFFICULT * hard) for i, b, hard in objects if i == image))
        for image in images
    }
    annotations = read_voc(voc_folder(root, files, pictures=False), classes=["dog", "cat"])
    lines = [f"{image} {score} {' '.join(map(str, box))}" for image, box, score in found]
    results = write(root / "comp4_det_test_dog.txt", "\n".join(lines))
    return evaluate_voc(annotations, read_detections(results, annotations), threshold)


def both(result):
    curve = result.curves["dog"]
    return curve.average_precision_11(), curve.average_precision()


box = st.tuples(*[st.integers(1, 6)] * 2, *[st.integers(7, 14)] * 2)
image = st.sampled_from(["a", "b"])
objects = st.lists(st.tuples(image, box, st.booleans()), max_size=6)
found = st.lists(st.tuples(image, box, st.sampled_from([0.2, 0.4, 0.6, 0.8])), max_size=12)


@given(objects, found, st.sampled_from([0.25, 0.5, 0.75]))
def test_it_is_the_development_kits_with_plus_one(tmp_path_factory, objects, found, threshold):
    """Among ties of scores and overlaps, difficult objects, several hits of one."""
    made = both(evaluate(tmp_path_factory.mktemp("voc"), objects, found, threshold))
    expected = slow.voc(objects, found, threshold)
    np.testing.assert_allclose(made, expected, rtol=0, atol=1e-14)


class TestByHand:
    def test_perfect(self, tmp_path):
        result = evaluate(
            tmp_path, [("a", A, False), ("b", B, False)], [("a", A, 1), ("b", B, 0.1)]
        )
        assert both(result) == (1, 1)
        assert (result.mean_11, result.mean) == (1, 1)  # the class without objects is left out

    def test_the_second_detection_of_an_object_is_false(self, tmp_path):
        result = evaluate(
            tmp_path, [("a", A, False), ("a", B, False)], [("a", A, 0.9), ("a", A, 0.8)]
        )
        assert both(result) == pytest.approx((6 / 11, 0.5))

    def test_an_overlap_of_exactly_one_half_is_enough(self, tmp_path):
        result = evaluate(tmp_path, [("a", (1, 1, 10, 10), False)], [("a", (1, 1, 10, 5), 1)])
        assert both(result) == (1, 1)
        result = evaluate(tmp_path / "b", [("a", (1, 1, 10, 9), False)], [("a", (1, 1, 10, 4), 1)])
        assert both(result) == (0, 0)

    def test_difficult_objects_count_neither_way_however_often_they_are_hit(self, tmp_path):
        found = [("a", B, 0.9), ("a", B, 0.8), ("a", A, 0.7)]
        result = evaluate(tmp_path, [("a", A, False), ("a", B, True)], found)
        assert both(result) == (1, 1)
        assert result.curves["dog"].objects == 1

    def test_a_class_of_difficult_objects_alone_is_not_a_number(self, tmp_path):
        result = evaluate(tmp_path, [("a", A, True)], [("a", A, 0.9)])
        assert all(map(math.isnan, (*both(result), result.mean, result.mean_11)))

    def test_the_best_object_counts_although_it_is_taken(self, tmp_path):
        """The second detection does not go on to an object that it overlaps less."""
        near = (1, 1, 10, 14)
        found = [("a", A, 0.9), ("a", (1, 1, 10, 11), 0.8)]
        result = evaluate(tmp_path, [("a", A, False), ("a", near, False)], found)
        np.testing.assert_array_equal(result.curves["dog"].true, [1, 1])

    def test_no_detection_and_none_of_the_images(self, tmp_path):
        assert both(evaluate(tmp_path, [("a", A, False)], [])) == (0, 0)

    def test_precision_and_recall_from_counts(self):
        """One wrong, one right, one wrong, of two objects."""
        curve = PrecisionRecall(2, np.array([0, 1, 1]), np.array([1, 1, 2]))
        np.testing.assert_allclose(curve.precision, [0, 0.5, 1 / 3])
        np.testing.assert_allclose(curve.recall, [0, 0.5, 0.5])
        assert curve.average_precision() == 0.25
        assert curve.average_precision_11() == pytest.approx(0.5 * 6 / 11)

    def test_precision_is_the_best_from_there_on(self):
        """One wrong, then two right: 1/2 at the first object, 2/3 at the second, counts as 2/3."""
        curve = PrecisionRecall(2, np.array([0, 1, 2]), np.array([1, 1, 1]))
        assert curve.average_precision() == pytest.approx(2 / 3)
        assert curve.average_precision_11() == pytest.approx(2 / 3)

    def test_of_two_objects_that_overlap_alike_the_first(self, tmp_path):
        """So the second detection, of the first object, is false."""
        objects = [("a", (1, 1, 10, 10), False), ("a", (5, 1, 14, 10), False)]
        found = [("a", (3, 1, 12, 10), 0.9), ("a", (1, 1, 10, 10), 0.8)]
        np.testing.assert_array_equal(evaluate(tmp_path, objects, found).curves["dog"].true, [1, 1])
        swapped = evaluate(tmp_path / "b", objects[::-1], found)
        np.testing.assert_array_equal(swapped.curves["dog"].true, [1, 2])

    def test_three_of_ten_reach_a_recall_of_three_tenths(self):
        curve = PrecisionRecall(10, np.array([1, 2, 3]), np.array([0, 0, 0]))
        assert curve.average_precision_11() == pytest.approx(4 / 11)
