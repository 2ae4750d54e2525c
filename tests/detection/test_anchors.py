"""Anchors: the numbers of torchvision and of the paper's program, and how well they fit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minires.detection.anchors import best_iou, grid, paper_shapes, shapes
from minires.detection.boxes import iou
from minires.detection.matching import inside

TORCHVISION = [
    (-91, -45, 91, 45),
    (-181, -91, 181, 91),
    (-362, -181, 362, 181),
    (-64, -64, 64, 64),
    (-128, -128, 128, 128),
    (-256, -256, 256, 256),
    (-45, -91, 45, 91),
    (-91, -181, 91, 181),
    (-181, -362, 181, 362),
]
PAPER = [
    (-84, -40, 99, 55),
    (-176, -88, 191, 103),
    (-360, -184, 375, 199),
    (-56, -56, 71, 71),
    (-120, -120, 135, 135),
    (-248, -248, 263, 263),
    (-36, -80, 51, 95),
    (-80, -168, 95, 183),
    (-168, -344, 183, 359),
]


def test_torchvisions_nine():
    np.testing.assert_array_equal(shapes(), TORCHVISION)


def test_the_papers_nine():
    np.testing.assert_array_equal(paper_shapes(), PAPER)


def test_a_grid_goes_row_by_row_and_then_through_the_shapes():
    made = grid(shapes(), 38, 63)
    assert made.shape == (21_546, 4)
    np.testing.assert_array_equal(made[:9], TORCHVISION)
    np.testing.assert_array_equal(made[9:18] - made[:9], [[16, 0, 16, 0]] * 9)
    np.testing.assert_array_equal(made[63 * 9] - made[0], [0, 16, 0, 16])


@given(st.integers(0, 2**32 - 1), st.sampled_from([shapes((8, 24)), paper_shapes((1, 3))]))
def test_the_best_overlap_is_that_of_the_whole_grid(seed, anchors):
    rng = np.random.default_rng(seed)
    maps = rng.integers(1, 6, (12, 2))
    corners = rng.integers(-20, 90, (12, 2)) + rng.choice([0, 0.5])
    boxes = np.concatenate([corners, corners + rng.integers(0, 60, (12, 2))], axis=1)
    expected = [
        iou(box[None], grid(anchors, *size, stride=8)).max()
        for box, size in zip(boxes, maps, strict=True)
    ]
    np.testing.assert_allclose(best_iou(boxes, maps, anchors, stride=8), expected, rtol=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_the_best_overlap_of_anchors_inside_the_image(seed):
    rng, anchors = np.random.default_rng(seed), shapes((8, 24))
    maps = rng.integers(1, 6, (12, 2))
    images = 8 * maps - rng.integers(0, 8, (12, 2))
    corners = rng.integers(0, 30, (12, 2))
    boxes = np.concatenate([corners, corners + rng.integers(1, 30, (12, 2))], axis=1)
    grids = [grid(anchors, *size, stride=8) for size in maps]
    allowed = [g[inside(g, *image)] for g, image in zip(grids, images, strict=True)]
    pairs = zip(boxes, allowed, strict=True)
    expected = [iou(box[None], some).max(initial=0) for box, some in pairs]
    made = best_iou(boxes, maps, anchors, 8, images)
    np.testing.assert_allclose(made, expected, rtol=1e-12)
