"""Every engine that is timed computes what minires computes, from the same weights."""

import importlib

import numpy as np
import pytest
from engines import PEERS
from engines import minires as ours
from networks import initial_weights, random_batch
from shapes import Convolution

from tests.helpers import relative_error

NETWORK = "resnet8"
STEPS = 3  # the later ones see the gradients and the momentum of those before

SHAPES = [
    Convolution(9, 3, 5, 7, 2),
    Convolution(8, 16, 8, 3),
    Convolution(7, 4, 8, 3, 2),
    # not from 4 channels: without AVX-512 PyTorch 2.13's weight gradient is then wrong at times
    Convolution(8, 8, 16, 1, 2),
]


def engines(kind):
    """The peers that do this work, each skipped where it is not installed."""
    return [
        pytest.param(name, marks=pytest.mark.skipif(bool(missing), reason=f"no {missing}"))
        for name, peer in PEERS.items()
        if kind in peer.kinds
        for missing in [", ".join(peer.missing())]
    ]


def engine(name):
    return importlib.import_module(f"engines.{name}")


def losses(module, weights, images, labels):
    step = module.train(NETWORK, weights, images, labels)
    return np.array([step() for _ in range(STEPS)])


@pytest.mark.slow
@pytest.mark.parametrize("peer", engines("train"))
def test_the_losses_of_the_first_steps_agree(peer):
    weights, batch = initial_weights(NETWORK), random_batch(NETWORK, 8)
    expected = losses(ours, weights, *batch)
    assert np.abs(np.diff(expected)).min() > 0.01  # otherwise standing still would pass
    assert np.abs(losses(engine(peer), weights, *batch) - expected).max() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("peer", engines("infer"))
def test_the_logits_agree(peer):
    weights, (images, _) = initial_weights(NETWORK), random_batch(NETWORK, 8)
    expected = ours.infer(NETWORK, weights, images)()
    assert relative_error(engine(peer).infer(NETWORK, weights, images)(), expected) < 1e-4


@pytest.mark.slow
def test_the_logits_of_resnet50_agree():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    weights, (images, _) = initial_weights("resnet50"), random_batch("resnet50", 1)
    expected = ours.infer("resnet50", weights, images)()
    actual = engine("torch").infer("resnet50", weights, images)()
    assert relative_error(actual, expected) < 1e-4


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize("gradient", ["forward", "input", "weight"])
def test_convolutions_agree_with_pytorch(shape, gradient):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    expected = ours.convolution(shape, 2, gradient)()
    actual = engine("torch").convolution(shape, 2, gradient)()
    assert relative_error(actual, expected) < 1e-5
