"""Branch against shortcut, where theory or a second computation gives the answer."""

import numpy as np
import pytest

from minires import Tensor
from minires.analysis import branch_to_skip
from minires.analysis.branches import BranchStudy, draw, tell
from minires.analysis.identity import LossCurve
from minires.analysis.surgery import skip_init, stack, without_batch_norm, zero_gamma
from minires.analysis.watching import blocks_by_name
from minires.models import cifar_resnet

from .networks import backward_pass, batch, network


def noise(seed=0):
    return np.random.default_rng(seed).standard_normal((16, 8, 8, 16))


def test_with_batch_norm_the_ratio_falls_like_one_over_the_block():
    """A branch's variance is 1, by batch norm, and the shortcut's grows with every block."""
    ratios = branch_to_skip(stack(80, shortcut="A", dtype=np.float64), noise())
    blocks = np.arange(10, 41)
    slope = np.polyfit(np.log(blocks), np.log(ratios[9:]), 1)[0]
    assert slope == pytest.approx(-1, abs=0.25)


def test_without_batch_norm_every_branch_is_as_large_as_its_shortcut():
    model = without_batch_norm(stack(40, shortcut="A", dtype=np.float64))
    ratios = branch_to_skip(model, noise())
    assert 0.3 < np.median(ratios) < 3
    assert ratios[-1] > 0.3


@pytest.mark.parametrize("change", [skip_init, zero_gamma])
def test_a_branch_that_starts_at_zero_adds_nothing(change):
    model = change(cifar_resnet(14, dtype=np.float64))
    assert branch_to_skip(model, batch(3)[0]).tolist() == [0] * 6
    x = Tensor(np.abs(noise()[:, :, :, :16]))
    np.testing.assert_array_equal(model.layer1[0](x).data, x.data)


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_skip_init_multiplies_the_branch(alpha):
    model, twin = (
        change(stack(4, shortcut="A", dtype=np.float64))
        for change in (lambda m: skip_init(m, alpha), without_batch_norm)
    )
    np.testing.assert_allclose(
        branch_to_skip(model, noise())[0], alpha**2 * branch_to_skip(twin, noise())[0], rtol=1e-9
    )


def test_skip_inits_number_learns():
    model = skip_init(cifar_resnet(8, dtype=np.float64))
    images, labels = batch(4)
    backward_pass(model, images, labels)
    assert all(block.bn2.alpha.grad.shape == (1,) for block in blocks_by_name(model).values())
    assert all(block.bn2.alpha.grad[0] != 0 for block in blocks_by_name(model).values())


def test_a_ratio_is_that_of_the_blocks_two_ways():
    model = network(8).train()
    x = Tensor(batch(4)[0])
    h = model.relu(model.bn1(model.conv1(x)))
    expected = []
    for block in blocks_by_name(model).values():
        branch = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(h))))).data
        skip = block.downsample(h).data
        expected.append(branch.var((0, 1, 2)).mean() / skip.var((0, 1, 2)).mean())
        h = Tensor(np.maximum(branch + skip, 0))
    np.testing.assert_allclose(branch_to_skip(model, batch(4)[0]), expected, rtol=1e-9)


def test_ratios_are_told_stage_by_stage():
    ratios = {"batch norm": np.array([2.8, 1.4, 0.9, 1.2, 0.6, 0.5, 0.8, 0.4, 0.3])}
    text = tell(BranchStudy(ratios, {}, {}, "made up"))[0]
    assert "goes from 2.80 to 0.90, from 1.20 to 0.50, from 0.80 to 0.30 (first to last" in text
    text = tell(BranchStudy({"no batch norm, SkipInit 0": np.zeros(9)}, {}, {}, "made up"))[0]
    assert text.endswith("over the shortcut's is 0 in every block.")


def test_nothing_is_cut_off_and_the_legend_has_room():
    """Ratios and losses far from those of any training here."""
    steps = np.array([5, 10, 15])
    ratios = {"batch norm": np.array([0.5, 1.0, 90.0]), "no batch norm": np.array([1.0, 1.0, 1.0])}
    curves = {name: LossCurve(steps, np.array([800.0, 3.0, 0.01])) for name in ratios}
    left, right = draw(BranchStudy(ratios, curves, {}, "made up")).axes
    assert left.get_ylim()[0] < 0.5
    assert left.get_ylim()[1] > 1.3 * 90
    assert right.get_ylim()[0] < 0.01
    assert right.get_ylim()[1] > 800
