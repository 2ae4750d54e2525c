"""Boxes: overlap, coding, clipping, sizes of images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minires.detection.boxes import (
    HEAD_WEIGHTS,
    area,
    clip,
    clip_each,
    decode,
    encode,
    iou,
    resized,
)
from tests.detection import slow

coordinates = st.integers(0, 12)
pixels = st.tuples(coordinates, coordinates, coordinates, coordinates)
seeds = st.integers(0, 2**32 - 1)


def random_boxes(seed, count=9, dtype=np.float64):
    rng = np.random.default_rng(seed)
    corners, sides = rng.uniform(-50, 50, (count, 2)), rng.uniform(0.5, 80, (count, 2))
    return np.concatenate([corners, corners + sides], axis=1).astype(dtype)


class TestIoU:
    @given(st.lists(pixels, min_size=1, max_size=4), st.lists(pixels, min_size=1, max_size=4))
    def test_it_is_what_counting_pixels_gives(self, some, others):
        """Boxes that end before they begin are empty."""
        expected = [[slow.iou(a, b) for b in others] for a in some]
        np.testing.assert_array_equal(iou(np.array(some, float), np.array(others, float)), expected)

    @given(seeds)
    def test_properties(self, seed):
        a, b = random_boxes(seed), random_boxes(seed + 1, 5)
        made = iou(a, b)
        assert made.shape == (9, 5)
        assert ((made >= 0) & (made <= 1)).all()
        np.testing.assert_array_equal(made, iou(b, a).T)
        np.testing.assert_allclose(iou(a + 7, b + 7), made, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(np.diag(iou(a, a)), 1, rtol=1e-12)

    def test_no_pixel_is_added(self):
        """With "+ 1" in some places these two have .704."""
        voc = np.array([[1.0, 1, 10, 10], [2, 2, 11, 11]])  # counted from 1, ends included
        [[made]] = iou(voc[:1] - [1, 1, 0, 0], voc[1:] - [1, 1, 0, 0])
        assert made == 81 / 119

    def test_none_and_float32(self):
        assert iou(np.empty((0, 4)), random_boxes(0)).shape == (0, 9)
        assert (
            iou(random_boxes(0, dtype=np.float32), random_boxes(1, dtype=np.float32)).dtype == "f4"
        )

    def test_area_of_an_inverted_box_is_zero(self):
        np.testing.assert_array_equal(area(np.array([[5.0, 5, 1, 1], [0, 0, 3, 2]])), [0, 6])


class TestCoding:
    @pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), HEAD_WEIGHTS])
    def test_a_box_comes_back(self, weights):
        boxes, anchors = random_boxes(1), random_boxes(2)
        codes = encode(boxes, anchors, weights)
        np.testing.assert_allclose(decode(codes, anchors, weights), boxes, rtol=0, atol=1e-12)

    def test_the_papers_formula(self):
        """A box moved by half a width, a quarter of a height, twice as wide."""
        anchor, box = np.array([[0.0, 0, 20, 40]]), np.array([[0.0, 10, 40, 50]])
        expected = [0.5, 0.25, np.log(2), 0]
        np.testing.assert_allclose(encode(box, anchor)[0], expected, atol=1e-15)
        scaled = np.multiply(expected, (10, 10, 5, 5))
        np.testing.assert_allclose(encode(box, anchor, HEAD_WEIGHTS)[0], scaled, atol=1e-14)

    def test_wild_predictions_stay_finite(self):
        anchor = np.array([[0.0, 0, 16, 16]])
        made = decode(np.array([[0.0, 0, 1e6, 100]]), anchor)
        np.testing.assert_allclose(made, [[-492, -492, 508, 508]], atol=1e-9)
        shrunk = decode(np.array([[0.0, 0, -1e6, -100]]), anchor)
        assert (shrunk[0, 2:] - shrunk[0, :2] < 1e-12).all()

    def test_float32_stays_float32(self):
        boxes, anchors = random_boxes(1, dtype=np.float32), random_boxes(2, dtype=np.float32)
        codes = encode(boxes, anchors, HEAD_WEIGHTS)
        assert codes.dtype == decode(codes, anchors, HEAD_WEIGHTS).dtype == np.float32

    @pytest.mark.parametrize("wrong", [(5, 5, 5, 9), (5, 5, 4, 9), (5, 5, np.nan, 9)])
    def test_a_box_without_area_gets_a_sentence(self, wrong):
        box, good = np.array([wrong], float), np.array([[0.0, 0, 1, 1]])
        with pytest.raises(ValueError, match=r"encode: a box of .* x 4 pixels has no area"):
            encode(box, good)
        with pytest.raises(ValueError, match="encode: an anchor of"):
            encode(good, box)


class TestClipping:
    def test_to_the_edges_of_the_image(self):
        boxes = np.array([[-5.0, 3, 70, 45], [1, 1, 2, 2]], np.float32)
        clipped = clip(boxes, height=40, width=60)
        np.testing.assert_array_equal(clipped, [[0, 3, 60, 40], [1, 1, 2, 2]])
        assert clipped.dtype == np.float32

    def test_each_to_an_image_of_its_own(self):
        boxes = np.array([[-5.0, 3, 70, 45], [-5.0, 3, 70, 45]])
        clipped = clip_each(boxes, np.array([[40, 60], [20, 10]]))
        np.testing.assert_array_equal(clipped, [[0, 3, 60, 40], [0, 3, 10, 20]])


class TestResizing:
    @pytest.mark.parametrize(
        ("size", "expected"),
        [
            ((375, 500), (600, 800)),
            ((500, 334), (898, 600)),
            ((300, 1000), (300, 1000)),
            ((500, 375), (800, 600)),
            ((1000, 600), (1000, 600)),
            ((1, 100_000), (1, 1000)),
        ],
    )
    def test_shorter_side_600_but_longer_at_most_1000(self, size, expected):
        assert tuple(resized(np.array([size]))[0]) == expected

    @given(st.integers(1, 5000), st.integers(1, 5000))
    def test_one_side_is_met_exactly(self, height, width):
        new = resized(np.array([[height, width]]))[0]
        assert min(new) == 600 or max(new) == 1000
        assert max(new) <= 1000
