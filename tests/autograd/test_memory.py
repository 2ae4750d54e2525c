"""What a graph keeps, and when it lets go of it."""

import gc
import weakref

import numpy as np
import pytest

from minires import Tensor, no_grad
from minires.nn import BatchNorm2d, Conv2d, Flatten, Linear, ReLU, Sequential
from minires.nn.functional import cross_entropy
from minires.optim import SGD
from tests.helpers import leaf, live_contexts, no_garbage_collector, traced_memory

SIZE = 100_000  # elements: 0.8 MB in float64, against which Python's objects do not count
MB = SIZE * 8


def test_additions_keep_no_array():
    """The gradient of a sum needs none of its terms: 50 of them take as much as 2."""
    x = leaf(np.ones(SIZE))
    with traced_memory() as memory:
        y = x
        for _ in range(50):
            y = y + x
        y.backward(np.ones(SIZE))
    assert memory.peak < 6 * MB
    np.testing.assert_array_equal(x.grad[:3], [51, 51, 51])


def test_an_array_that_no_operation_saved_is_freed_while_the_graph_lives():
    x = leaf(np.ones(5))
    y = x + 1.0
    z = y + 1.0
    died = weakref.ref(y.data)
    del y
    assert died() is None
    z.backward(np.ones(5))


@pytest.mark.parametrize(
    ("operation", "kept"),
    [
        (lambda x, w: x + w, 1),
        (lambda x, w: x - w, 1),
        (lambda x, w: (x + 0.0).sum(0), 0),
        (lambda x, w: (x + 0.0) * 2.0, 1),  # the result; only 2.0's gradient would need the sum
        (lambda x, w: (x + 0.0).exp(), 1),
        (lambda x, w: (x + 0.0) ** 2, 2),
    ],
    ids=["add", "subtract", "sum", "multiply by a number", "exp", "power"],
)
def test_an_operation_keeps_its_result_and_what_it_saved_and_no_more(operation, kept):
    x, w = leaf(np.ones(SIZE)), leaf(np.ones(SIZE))
    with traced_memory() as memory:
        y = operation(x, w)
    assert y.requires_grad
    assert memory.kept < (kept + 0.1) * MB
    assert memory.kept > (kept - 0.1) * MB


def test_the_graph_is_freed_as_it_is_walked():
    x = leaf(np.ones(5))
    first = x.exp()
    second = first.exp()
    third = second.exp()
    later = [weakref.ref(t.data) for t in (second, third)]
    alive_when_first_is_complete = []
    first.register_hook(lambda _: alive_when_first_is_complete.extend(ref() for ref in later))
    total = third.sum()
    del second, third
    total.backward()
    assert alive_when_first_is_complete == [None, None]


def test_backward_adds_a_few_arrays_to_the_peak_and_not_one_per_operation():
    x = leaf(np.zeros(SIZE))
    y = x
    for _ in range(30):
        y = (y * 0.1).exp()
    with traced_memory() as memory:
        y.backward(np.ones(SIZE))
    assert memory.peak < 5 * MB


def a_loss_and_its_input():
    """The loss, and a weak reference to the array that it was computed from."""
    y = leaf(np.ones(5)).exp()
    return y.sum(), weakref.ref(y.data)


def test_after_backward_the_loss_keeps_nothing_of_the_graph():
    loss, summed = a_loss_and_its_input()
    loss.backward()
    assert summed() is None
    assert loss.item() == pytest.approx(5 * np.e)


def test_retain_graph_keeps_what_a_second_call_needs():
    loss, summed = a_loss_and_its_input()
    loss.backward(retain_graph=True)
    assert summed() is not None


def test_no_grad_keeps_nothing():
    x = leaf(np.ones(SIZE))
    with traced_memory() as memory, no_grad():
        y = x
        for _ in range(20):
            y = y.exp() * 0.1
    assert memory.peak < 4 * MB


def test_a_graph_without_backward_goes_with_its_last_result():
    with no_garbage_collector():
        before = live_contexts()
        y = leaf(np.ones(3)).exp().exp().sum()
        assert live_contexts() == before + 3
        del y
        assert live_contexts() == before


def test_training_does_not_grow():
    """Fifty steps leave no recorded operation and no memory behind, without a garbage collector."""
    rng = np.random.default_rng(0)
    model = Sequential(
        Conv2d(3, 4, 3, padding=1, rng=rng),
        BatchNorm2d(4),
        ReLU(),
        Flatten(),
        Linear(4 * 6 * 6, 10, rng=rng),
    )
    optimiser = SGD(model.parameters(), lr=0.01)
    images = rng.standard_normal((8, 6, 6, 3)).astype(np.float32)
    labels = rng.integers(0, 10, 8)
    total = 0.0

    def step():
        loss = cross_entropy(model(Tensor(images)), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    def kept():
        gc.collect()  # empties Python's own store of small tuples
        return memory.now()

    with no_garbage_collector(), traced_memory() as memory:
        for _ in range(50):  # Python's and NumPy's own stores of small objects fill up meanwhile
            total += step()
        contexts, before = live_contexts(), kept()
        for _ in range(50):
            total += step()
        assert live_contexts() == contexts
        assert kept() - before < 50 * 1000  # bytes; a graph left behind would be 40 kB a step


def test_a_running_total_of_tensors_is_what_grows():
    """The well-known mistake, so that the test above is seen to notice it."""
    x, total = leaf(1.0), leaf(0.0)
    with no_garbage_collector():
        before = live_contexts()
        for _ in range(50):
            total = total + x * 2
        assert live_contexts() == before + 100
