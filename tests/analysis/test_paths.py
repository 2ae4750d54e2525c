"""Paths: their gradients sum up to the whole one, and their lengths are binomial."""

from itertools import chain, combinations

import numpy as np
import pytest

from minires.analysis import measure_paths, path_gradient
from minires.analysis.paths import Paths, count_shares, gradient_behind_stem
from minires.analysis.watching import blocks_by_name
from minires.training.norms import norm

from .networks import batch, network

BATCH = batch(3)


def subsets(names):
    return chain.from_iterable(combinations(names, k) for k in range(len(names) + 1))


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_all_paths_together_are_the_gradient(shortcut):
    model = network(8, shortcut=shortcut)
    names = list(blocks_by_name(model))
    total = sum(path_gradient(model, *BATCH, through) for through in subsets(names))
    expected = gradient_behind_stem(model.train(), *BATCH)
    np.testing.assert_allclose(total, expected, atol=1e-11 * np.abs(expected).max())


def test_paths_of_length_none_and_all_are_what_they_say():
    model = network(8)
    names = list(blocks_by_name(model))
    result = measure_paths(model, *BATCH, samples=2)
    for length, through in ((0, ()), (3, names)):
        expected = norm(path_gradient(model, *BATCH, through))
        assert result.norm[length] == pytest.approx(expected, rel=1e-9)


def test_a_path_through_a_silent_branch_carries_nothing():
    model = network(8)
    model.layer2[0].bn2.weight[...] = 0
    assert norm(path_gradient(model, *BATCH, {"layer2.0"})) == 0
    assert norm(path_gradient(model, *BATCH, {"layer1.0"})) > 0


def test_54_blocks_have_paths_of_27_branches_on_average():
    """Veit et al.'s 110 layers: almost all of the paths have 19 to 35."""
    share = count_shares(54)
    assert share @ np.arange(55) == pytest.approx(27)
    assert share[19:36].sum() == pytest.approx(0.98, abs=0.005)


def test_shares_of_the_gradient_weigh_norms_by_numbers():
    study = Paths(count_shares(2), np.array([4.0, 1.0, 0.0]))
    np.testing.assert_allclose(study.gradient_share, [2 / 3, 1 / 3, 0])
    assert study.middle(study.gradient_share) == (0, 1)
