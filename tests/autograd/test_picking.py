"""Gradients of picked elements on a GPU: those of the host, in the same order."""

import numpy as np
import pytest

from minires import Tensor
from minires.autograd import picking

from ..device import gpu

SHAPE = (4, 5, 3)
MASK = np.arange(20).reshape(4, 5) % 3 == 0
INDICES = {
    "a number": (1, True),
    "slices": ((slice(1, 3), ..., 0), True),
    "a new axis": ((None, slice(0, 2)), True),
    "places": (np.array([3, 0, 2]), True),
    "places from behind": (np.array([-1, 0]), True),
    "the same place twice, once from behind": (np.array([3, -1, 0, 3]), False),
    "pairs": ((np.array([0, 0, 2]), np.array([1, 2, 1])), True),
    "a pair twice": ((np.array([0, 0, 0]), np.array([1, 2, 1])), False),
    "a mask": (MASK, True),
    "a mask, then a place": ((MASK, 1), True),
    "a list": ([0, 0, 1], False),
    "a slice between places": ((np.array([0, 1, 0]), slice(None), np.array([1, 1, 2])), True),
    "the last axis": ((..., np.array([0, 2, 0])), False),
    "nothing": (np.zeros(0, np.int64), True),
}


@pytest.mark.parametrize("name", INDICES)
def test_what_is_picked_twice_is_known(name):
    index, once = INDICES[name]
    parts = picking.parts_of(index)
    assert picking.picks_once(parts, SHAPE) == once
    counts = np.zeros(SHAPE)
    np.add.at(counts, parts, 1)
    assert (counts.max() <= 1) == once


@pytest.mark.cuda
@pytest.mark.parametrize("name", [name for name in INDICES if name != "a mask, then a place"])
def test_gradients_have_the_bits_of_the_host(name, rng):
    index, _ = INDICES[name]
    x = Tensor(rng.standard_normal(SHAPE).astype(np.float32), requires_grad=True)
    weights = rng.standard_normal(x.data[index].shape).astype(np.float32)
    (x[index] * Tensor(weights)).sum().backward()
    with gpu():
        there = Tensor(x.data).to("cuda").detach()
        there.requires_grad = True
        (there[index] * Tensor(weights).to("cuda")).sum().backward()
        np.testing.assert_array_equal(there.grad.get(), x.grad)
