"""COCO's numbers, against a slow program, pycocotools' recorded numbers, and pycocotools."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minires.detection import evaluate_coco, overlaps
from tests.detection import slow
from tests.detection.sets import coco, random_set, read_both, result

RECORD = Path(__file__).with_name("pycocotools.json")
ONE = pytest.approx(1, abs=1e-15)  # COCO adds a tiny number to each denominator


def evaluate(content, found, *more):
    return evaluate_coco(*read_both(content, found), *more)


def checksum(array):
    """Of the bits. No sum is in them, so they are the same on every machine."""
    return zlib.crc32(np.ascontiguousarray(array, "<f8").tobytes())


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 2))
def test_it_is_the_slow_program(seed, images, classes):
    content, found = random_set(seed, images, classes)
    made = evaluate(content, found, (1, 3, 10))
    precision, recall = slow.coco(content, found, (1, 3, 10))
    np.testing.assert_array_equal(made.precision, precision)
    np.testing.assert_array_equal(made.recall, recall)


def test_it_is_what_pycocotools_said():
    """Recorded by `record_pycocotools.py`; the arrays to the last bit."""
    for case in json.loads(RECORD.read_text()):
        made = evaluate(case["annotations"], case["detections"])
        np.testing.assert_allclose([*made.twelve.values()], case["twelve"], rtol=0, atol=1e-14)
        assert checksum(made.precision) == case["precision"]
        assert checksum(made.recall) == case["recall"]


@pytest.mark.slow
def test_it_is_pycocotools_itself():
    pytest.importorskip(
        "pycocotools", reason="pip install pycocotools: the oracle of COCO's numbers"
    )
    from tests.detection.record_pycocotools import evaluate as oracle

    for seed in range(200):
        content, found = random_set(seed, images=1 + seed % 7, classes=1 + seed % 4)
        precision, recall, twelve = oracle(content, found)
        made = evaluate(content, found)
        np.testing.assert_array_equal(made.precision, precision)
        np.testing.assert_array_equal(made.recall, recall)
        np.testing.assert_array_equal([*made.twelve.values()], twelve)


def test_the_twelve_have_names():
    names = ["AP", "AP50", "AP75", "AP small", "AP medium", "AP large", "AR 1", "AR 10", "AR 100"]
    made = evaluate(*random_set(0)).twelve
    assert [*made] == [*names, "AR small", "AR medium", "AR large"]


def perfect(count, first_id=1, **fields):
    """So many objects, each found."""
    boxes = [[20 * i, 0, 10, 10] for i in range(count)]
    content = coco(annotations=[(1, 1, box, fields) for box in boxes])
    for entry in content["annotations"]:
        entry["id"] += first_id - 1
    return content, [result(1, 1, box, 0.9) for box in boxes]


class TestByHand:
    @pytest.mark.parametrize("count", [1, 2])
    def test_ids_from_zero_are_ids(self, count):
        """pycocotools says 0 for one object, 0.2525 for two: to it a match with 0 is none."""
        twelve = evaluate(*perfect(count, first_id=0)).twelve
        assert (twelve["AP"], twelve["AR 100"]) == (ONE, 1)

    def test_image_and_class_of_id_zero(self):
        content = coco([0], [(0, "dog"), (1, "cat")], [(0, 0, [0, 0, 10, 10], {})])
        made = evaluate(content, [result(0, 0, [0, 0, 10, 10], 0.5)])
        assert made.average_precision(label=1) == ONE
        assert made.average_precision(label=2) == -1

    def test_an_overlap_on_the_threshold_is_enough(self):
        content = coco(annotations=[(1, 1, [0, 0, 10, 10], {})])
        made = evaluate(content, [result(1, 1, [0, 0, 10, 5], 0.5)])
        assert made.average_precision(iou=0.5) == ONE
        assert made.average_precision(iou=0.55) == 0

    def test_a_crowd_swallows_any_number_and_counts_neither_way(self):
        crowd, one = [0, 0, 50, 50], [60, 0, 10, 10]
        content = coco(annotations=[(1, 1, crowd, {"iscrowd": 1}), (1, 1, one, {})])
        inside = [result(1, 1, [5 * i, 0, 10, 10], 0.9) for i in range(4)]
        assert evaluate(content, [*inside, result(1, 1, one, 0.1)]).twelve["AP"] == ONE

    def test_an_object_that_counts_comes_before_a_crowd(self):
        frame = [0, 0, 10, 10]
        content = coco(annotations=[(1, 1, frame, {"iscrowd": 1}), (1, 1, frame, {})])
        made = evaluate(content, [result(1, 1, [0, 0, 10, 9], 0.5)])
        assert made.average_recall() == pytest.approx(
            0.9
        )  # up to the threshold of .9; the crowd takes it beyond

    def test_the_area_is_the_masks(self):
        twelve = evaluate(*perfect(1, area=40 * 40)).twelve
        assert (twelve["AP small"], twelve["AP medium"], twelve["AP large"]) == (-1, ONE, -1)

    @pytest.mark.parametrize(("area", "sizes"), [(32**2, (ONE, ONE, -1)), (96**2, (-1, ONE, ONE))])
    def test_both_ends_of_a_range_belong_to_it(self, area, sizes):
        twelve = evaluate(*perfect(1, area=area)).twelve
        assert tuple(twelve[f"AP {size}"] for size in ("small", "medium", "large")) == sizes

    def test_only_so_many_detections_of_an_image_and_class(self):
        content, found = perfect(12)
        twelve = evaluate(content, found).twelve
        recalls = [twelve["AR 1"], twelve["AR 10"], twelve["AR 100"]]
        np.testing.assert_allclose(recalls, [1 / 12, 10 / 12, 1])
        content, found = perfect(120)
        assert evaluate(content, found).twelve["AR 100"] == pytest.approx(100 / 120)
        assert evaluate(content, found, (1, 10, 300)).twelve["AP"] == ONE

    def test_of_equal_scores_the_first_counts(self):
        content = coco(annotations=[(1, 1, [0, 0, 10, 10], {})])
        good, bad = result(1, 1, [0, 0, 10, 10], 0.5), result(1, 1, [30, 0, 10, 10], 0.5)
        assert evaluate(content, [good, bad]).twelve["AP"] == ONE
        assert evaluate(content, [bad, good]).twelve["AP"] == pytest.approx(0.5)

    def test_of_objects_that_overlap_alike_the_last(self):
        """So the second detection still finds the first object."""
        boxes, between = [[0, 0, 10, 10], [4, 0, 10, 10]], result(1, 1, [2, 0, 10, 10], 0.9)
        content = coco(annotations=[(1, 1, box) for box in boxes])
        made = [evaluate(content, [between, result(1, 1, box, 0.8)]).recall[0] for box in boxes]
        np.testing.assert_array_equal([recall[0, 0, -1] for recall in made], [1, 0.5])

    def test_nothing_found_and_nothing_there(self):
        content, found = perfect(2)
        assert evaluate(content, []).twelve["AP"] == 0
        empty = coco(annotations=[])
        assert set(evaluate(empty, found).twelve.values()) == {-1}
        assert set(evaluate(coco(categories=[]), []).twelve.values()) == {-1}


def test_pairs_in_blocks_are_all_pairs(monkeypatch):
    content, found = random_set(5, images=6)
    whole = evaluate(content, found)
    monkeypatch.setattr(overlaps, "BLOCK", 3)
    np.testing.assert_array_equal(evaluate(content, found).precision, whole.precision)
