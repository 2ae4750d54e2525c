"""Sizes of signals and gradients against a second computation, and against what is known."""

import numpy as np
import pytest

from minires import Tensor
from minires.analysis import propagate
from minires.analysis import propagation as P
from minires.analysis.surgery import (
    scale_shortcuts,
    scale_weights,
    stack,
    without_batch_norm,
    zero_gamma,
)

# measured with plain NumPy for such stacks: input gradient over output gradient, by layers
KNOWN = {
    "plain, no batch norm": {18: 0.33, 54: 0.070},
    "residual, no batch norm": {18: 10.8, 54: 4.8e3},
    "plain, batch norm": {18: 13.1, 54: 3.3e3},
    "residual, batch norm": {18: 5.6, 54: 18.0},
}


@pytest.fixture(scope="module")
def four_kinds():
    return P.measure_at_initialisation(depths=(18, 54), seeds=3)


@pytest.mark.parametrize("kind", KNOWN)
def test_gains_of_the_four_kinds_are_the_known_ones(kind, four_kinds):
    for depth, expected in KNOWN[kind].items():
        gain = four_kinds[kind][depth].gain
        assert abs(np.log(gain / expected)) < np.log(4), (kind, depth, gain)


def test_small_weights_make_the_gradient_vanish_by_their_factor_a_layer():
    """Without batch norm everything is homogeneous: 0.7 a layer, exactly."""

    def gain(factor):
        return P.propagate_noise(
            lambda seed: scale_weights(
                without_batch_norm(stack(20, shortcut=None, seed=seed, dtype=np.float64)), factor
            ),
            seeds=1,
        ).gain

    assert gain(0.7) == pytest.approx(gain(1) * 0.7**20, rel=1e-9)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.2])
def test_with_silent_branches_the_gradient_is_the_shortcuts_product(factor):
    """In a stack of n blocks: factor^n, of the half of the inputs that pass the first ReLU."""
    model = scale_shortcuts(zero_gamma(stack(12, shortcut="A", dtype=np.float64)), factor)
    x = np.random.default_rng(0).standard_normal((2, 5, 4, 16))
    cotangent = np.random.default_rng(1).standard_normal(x.shape)
    run = propagate(model, x, lambda y: y.backward(cotangent))
    passed = np.linalg.norm(cotangent[x > 0])
    assert run.gradient[0] == pytest.approx(factor**6 * passed, rel=1e-12)


@pytest.mark.parametrize("shortcut", ["A", None])
def test_every_gradient_is_that_of_the_rest_of_the_network_alone(shortcut):
    """The blocks behind each map, run by themselves from that map on."""
    model = stack(8, shortcut=shortcut, dtype=np.float64)
    rng = np.random.default_rng(3)
    x, cotangent = rng.standard_normal((2, 3, 5, 4, 16))
    run = propagate(model, x, lambda y: y.backward(cotangent))
    current = x
    for place in range(len(model) + 1):
        tensor = Tensor(current, requires_grad=True)
        y = tensor * 1.0
        for block in list(model)[place:]:
            y = block(y)
        y.backward(cotangent)
        assert run.signal[place] == pytest.approx(np.sqrt(np.mean(current**2)), rel=1e-12)
        assert run.gradient[place] == pytest.approx(np.linalg.norm(tensor.grad), rel=1e-9)
        if place < len(model):
            current = model[place](Tensor(current)).data


def test_without_batch_norm_leaves_none_and_adds_biases():
    model = without_batch_norm(stack(4, shortcut="C"))
    assert not [n for n, _ in model.named_parameters() if "bn" in n or "downsample.1" in n]
    assert all(block.conv1.bias is not None for block in model)
    x = np.random.default_rng(0).standard_normal((1, 4, 4, 16)).astype(np.float32)
    block = model[0]
    between = np.maximum(block.conv1(Tensor(x)).data, 0)
    expected = block.conv2(Tensor(between)).data + block.downsample[0](Tensor(x)).data
    np.testing.assert_allclose(block(Tensor(x)).data, np.maximum(expected, 0), rtol=1e-6)


def test_a_stacks_signal_begins_with_that_of_a_shallower_one(four_kinds):
    """So the picture draws it once."""
    for by_depth in four_kinds.values():
        assert np.array_equal(by_depth[18].signal, by_depth[54].signal[:10])


def test_the_first_steps_tell_of_the_image_and_of_the_blocks():
    run = P.Propagation(signal=np.ones(4), gradient=np.array([60.0, 2.0, 0.1, 3.0]))
    [text] = P.tell_first_steps(P.FirstSteps((0,), {"plain-8": [run]}, "made up"))
    assert "the gradient at the image is 20 times that behind the last block" in text
    assert "the largest behind a block is 30 times the smallest" in text
