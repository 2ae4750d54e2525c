"""Recomputation: the same bits, less memory, nothing counted twice."""

import numpy as np
import pytest

from minires import Tensor, gradcheck, no_grad, recompute
from minires.models import cifar_resnet
from minires.nn.functional import cross_entropy
from minires.optim import SGD
from tests.helpers import leaf, traced_memory


def gradients(f, data):
    x = leaf(data)
    y = f(x)
    y.backward(np.cos(np.arange(y.data.size)).reshape(y.shape))
    return y.data, x.grad


def test_value_and_gradient_are_the_same(rng):
    data = rng.standard_normal((3, 4))
    f = lambda x: (x * x).exp() @ x.transpose()  # noqa: E731
    plain, again = gradients(f, data), gradients(lambda x: recompute(f, x), data)
    assert all(np.array_equal(a, b) for a, b in zip(plain, again, strict=True))
    gradcheck(lambda x: recompute(f, x), data, rng=rng)


def test_parameters_used_inside_get_their_gradient(rng):
    weight, x = leaf(rng.standard_normal((4, 4))), leaf(rng.standard_normal((3, 4)))
    recompute(lambda x: x @ weight, x).sum().backward()
    np.testing.assert_allclose(weight.grad, x.data.T @ np.ones((3, 4)))


def test_it_is_run_twice_with_a_gradient_and_once_without():
    runs = []

    def f(x):
        runs.append(1)
        return x * 2.0

    recompute(f, leaf(np.ones(3))).sum().backward()
    assert len(runs) == 2
    recompute(f, Tensor(np.ones(3)))
    with no_grad():
        recompute(f, leaf(np.ones(3)))
    assert len(runs) == 4


def test_nothing_is_kept_but_the_input():
    size = 100_000

    def f(x):
        for _ in range(10):
            x = x.exp() * 0.1
        return x

    x = leaf(np.ones(size))
    with traced_memory() as memory:
        y = recompute(f, x)
    assert memory.kept < 2 * x.data.nbytes
    del y


@pytest.mark.parametrize("shortcut", ["A", "B", None])
def test_a_network_trains_alike_bit_for_bit(shortcut):
    """Three steps: losses, parameters, and running statistics, which must move once a step."""
    rng = np.random.default_rng(0)
    batches = [
        (rng.standard_normal((16, 32, 32, 3), np.float32), rng.integers(0, 10, 16))
        for _ in range(3)
    ]
    states = []
    for again in (False, True):
        model = cifar_resnet(20, shortcut=shortcut, recompute=again)
        optimiser = SGD(model.parameters(), lr=0.1)
        losses = []
        for images, labels in batches:
            loss = cross_entropy(model(Tensor(images)), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        states.append({"losses": np.array(losses), **model.state_dict()})
    for name, array in states[0].items():
        assert np.array_equal(array, states[1][name]), name


def test_what_has_changed_in_between_is_noticed(rng):
    """Gradients of another function than the one that was run would be wrong."""
    weight, x = leaf(rng.standard_normal((4, 4))), leaf(rng.standard_normal((3, 4)))
    y = recompute(lambda x: x @ weight, x).sum()
    weight += 1.0
    with pytest.raises(RuntimeError, match="the second run gave another result"):
        y.backward()
    model = cifar_resnet(8, shortcut="C", recompute=True)
    y = model(Tensor(rng.standard_normal((4, 32, 32, 3)).astype(np.float32))).sum()
    model.eval()
    with pytest.raises(RuntimeError, match="the second run gave another result"):
        y.backward()


def test_backward_works_where_nothing_else_is_recorded(rng):
    x = leaf(rng.standard_normal((3, 4)))
    y = recompute(lambda x: x * x, x).sum()
    with no_grad():
        y.backward()
    np.testing.assert_allclose(x.grad, 2 * x.data)
