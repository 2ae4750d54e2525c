"""Depth and fan-out: no recursion, and time in proportion."""

import time

import numpy as np
import pytest

from minires import Tensor
from minires.models import cifar_resnet
from minires.nn.functional import cross_entropy
from tests.helpers import leaf, live_contexts, no_garbage_collector


def chain(x, length):
    for _ in range(length):
        x = x * 1.0
    return x


@pytest.mark.parametrize("length", [5_000, pytest.param(50_000, marks=pytest.mark.slow)])
def test_a_chain_far_deeper_than_the_recursion_limit(length):
    x = leaf(2.0)
    chain(x, length).backward(3.0)
    assert x.grad == 3


def test_a_deep_graph_can_be_dropped_without_a_backward():
    with no_garbage_collector():
        before = live_contexts()
        y = chain(leaf(1.0), 50_000)
        assert live_contexts() == before + 50_000
        del y
        assert live_contexts() == before


def fan_out(x, uses):
    """One tensor used many times, in a sum that grows by one term at a time."""
    total = x
    for _ in range(uses):
        total = total + x
    return total


def wide(x, uses):
    """Many results of one tensor, of which each is used twice."""
    total = x
    for _ in range(uses // 2):
        y = x * 2.0
        total = total + y + y
    return total


@pytest.mark.parametrize("graph", [chain, fan_out, wide])
def test_time_grows_in_proportion_to_the_graph(graph):
    """Ten times the nodes take about ten times as long; a quadratic sweep would take a hundred."""

    def seconds(size):
        root = graph(leaf(1.0), size)
        start = time.process_time()
        root.backward()
        return time.process_time() - start

    small, large = (min(seconds(size) for _ in range(3)) for size in (500, 5_000))
    assert large < 35 * small


@pytest.mark.slow
def test_resnet_1202_runs_forward_and_backward():
    model = cifar_resnet(1202)
    rng = np.random.default_rng(0)
    images = Tensor(rng.standard_normal((2, 8, 8, 3)).astype(np.float32))
    cross_entropy(model(images), np.array([1, 2])).backward()
    assert all(np.isfinite(p.grad).all() and p.grad.any() for p in model.parameters())
