"""Who is an example of what, and who is drawn."""

import numpy as np
import pytest

from minires.detection.matching import (
    IGNORED,
    NEGATIVE,
    inside,
    match,
    match_anchors,
    match_regions,
    sample,
)

FIXTURE = np.array([[0.15, 0.45, 0.2, 0.6], [0.3, 0.65, 0.05, 0.1], [0.05, 0.4, 0.25, 0.4]])


def test_the_best_box_of_each_object_is_positive():
    """torchvision's and detectron2's numbers."""
    found = match(FIXTURE, positive=0.7, negative=0.3, best_of_each=True)
    assert found.tolist() == [IGNORED, 1, NEGATIVE, 0]
    found = match(FIXTURE, positive=0.7, negative=0.3)
    assert found.tolist() == [IGNORED, IGNORED, NEGATIVE, IGNORED]


def test_thresholds_belong_to_the_upper_side():
    overlaps = np.array([[0.7, 0.3, 0.29]])
    found = match(overlaps, positive=0.7, negative=0.3)
    assert found.tolist() == [0, IGNORED, NEGATIVE]


def test_an_object_that_nothing_overlaps_makes_nothing_positive():
    """By the rule of ties all boxes would be its best."""
    overlaps = np.array([[0.0, 0, 0, 0], [0.5, 0.8, 0.1, 0.2]])
    found = match(overlaps, positive=0.7, negative=0.3, best_of_each=True)
    assert found.tolist() == [IGNORED, 1, NEGATIVE, NEGATIVE]


def test_ties_are_all_best():
    found = match(np.array([[0.4, 0.4, 0.1]]), positive=0.7, negative=0.3, best_of_each=True)
    assert found.tolist() == [0, 0, NEGATIVE]


def test_without_objects_all_are_background():
    assert match(np.zeros((0, 3)), positive=0.7, negative=0.3).tolist() == [NEGATIVE] * 3
    assert match_regions(np.ones((2, 4)), np.zeros((0, 4))).tolist() == [NEGATIVE] * 2


def test_anchors_across_the_edge_are_nobodys_best():
    anchors = np.array([[-1.0, 0, 9, 10], [5, 5, 15, 15]])
    usable = inside(anchors, 20, 20)
    assert usable.tolist() == [False, True]
    found = match_anchors(anchors, np.array([[0.0, 0, 9, 10]]), usable)
    assert found.tolist() == [IGNORED, 0]


def test_a_sample_has_at_most_its_share_of_positives(rng):
    matches = np.array([0] * 50 + [NEGATIVE] * 50 + [IGNORED] * 50)
    yes, no = sample(matches, 40, 0.25, rng)
    assert (len(yes), len(no)) == (10, 30)
    assert (matches[yes] == 0).all()
    assert (matches[no] == NEGATIVE).all()
    assert len(set(yes)) == 10


def test_negatives_fill_up_what_positives_lack(rng):
    matches = np.array([2] * 3 + [NEGATIVE] * 100)
    yes, no = sample(matches, 40, 0.5, rng)
    assert (len(yes), len(no)) == (3, 37)


def test_the_generator_decides():
    matches = np.array([0] * 50 + [NEGATIVE] * 50)
    drawn = [sample(matches, 20, 0.5, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_nothing_is_drawn_where_all_are_taken(rng):
    before = rng.bit_generator.state
    yes, no = sample(np.array([0, NEGATIVE, IGNORED]), 10**6, 0.5, rng)
    assert (yes.tolist(), no.tolist()) == ([0], [1])
    assert rng.bit_generator.state == before


@pytest.mark.parametrize(("overlap", "expected"), [(0.5, 0), (0.49, NEGATIVE)])
def test_proposals_are_objects_from_one_half(overlap, expected):
    found = match_regions(np.array([[0.0, 0, 1, overlap]]), np.array([[0.0, 0, 1, 1]]))
    assert found.tolist() == [expected]
