"""A shallow plain network inside a deep one computes the same."""

import numpy as np
import pytest

from minires import Tensor, no_grad
from minires.analysis import embed

from .networks import backward_pass, batch, network


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-4)])
def test_the_deep_network_computes_what_the_shallow_one_does(dtype, tolerance):
    small = network(14, shortcut=None, dtype=dtype)
    large = embed(small, 32, batch(6, dtype=dtype)[0])
    unseen = Tensor(batch(9, dtype=dtype, seed=5)[0])
    small.eval()
    large.eval()
    with no_grad():
        expected, actual = small(unseen).data, large(unseen).data
    assert np.abs(expected - actual).max() < tolerance * np.abs(expected).max()
    assert large.depth == 32
    assert large.name == "plain-32"


def test_in_training_mode_the_batch_that_it_was_made_with_is_nearly_the_same():
    """Batch norm then uses that batch's statistics, which are those that it undoes."""
    small = network(8, shortcut=None)
    images = batch(6)[0]
    large = embed(small, 20, images)
    large.eval()
    with no_grad():
        expected = large(Tensor(images)).data
        for name in ("layer1", "layer2", "layer3"):
            for block in list(getattr(large, name))[1:]:
                block.train()
        actual = large(Tensor(images)).data
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)


def test_every_parameter_of_the_deep_network_can_learn():
    small = network(8, shortcut=None, dtype=np.float32)
    images, labels = batch(6, dtype=np.float32)
    large = embed(small, 14, images)
    backward_pass(large.train(), images, labels)
    assert all(np.abs(p.grad).max() > 0 for p in large.parameters())


@pytest.mark.parametrize(("shortcut", "depth"), [("A", 32), (None, 14), (None, 8)])
def test_only_a_deeper_plain_network_can_hold_a_plain_one(shortcut, depth):
    with pytest.raises(ValueError, match="takes a plain network and a larger depth"):
        embed(network(14, shortcut=shortcut), depth, batch(2)[0])
