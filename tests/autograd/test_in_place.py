"""Changes in place between forward and backward are noticed wherever they would do harm."""

import numpy as np
import pytest

from minires import Tensor
from minires.nn import Parameter
from minires.nn.fused import ConvolveNormalise
from minires.optim import SGD
from tests.helpers import leaf

CHANGES = {
    "item assignment": lambda t: t.__setitem__(0, 5.0),
    "+=": lambda t: t.__iadd__(1.0),
    "-=": lambda t: t.__isub__(Tensor(np.ones(2))),
    "*=": lambda t: t.__imul__(np.array([2.0, 3.0])),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_saved_array_that_was_changed_is_named(change):
    x = leaf([1.0, 2.0], name="speed")
    y = x**3
    change(x)
    with pytest.raises(RuntimeError, match=r"Power saved a \(speed\) for its backward, but .* 1 t"):
        y.backward([1.0, 1.0])
    assert x.grad is None


def test_the_changes_do_what_they_say():
    x = leaf([1.0, 2.0])
    x += 1.0
    x *= np.array([2.0, 3.0])
    x -= Tensor(np.ones(2))
    x[0] = 7.0
    np.testing.assert_array_equal(x.data, [7, 8])


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.reshape(4, 1),
        lambda x: x.reshape(4).reshape(2, 2),
        lambda x: x.detach(),
        lambda x: x.detach().reshape(4),
    ],
    ids=["reshape", "reshape twice", "detach", "detach and reshape"],
)
def test_a_change_through_a_view_is_noticed(view):
    x = Tensor(np.ones((2, 2)))
    w = leaf(np.ones((2, 2)))
    y = (w * x).sum()
    seen = view(x)
    seen += 1.0
    with pytest.raises(RuntimeError, match="Multiply saved b"):
        y.backward()


def test_a_change_of_the_original_is_noticed_by_what_saved_a_view():
    x = leaf(np.ones((2, 2)))
    y = (x.reshape(4) ** 2).sum()
    x += 1.0
    with pytest.raises(RuntimeError, match="Power saved a"):
        y.backward()


def test_a_saved_result_is_guarded_too():
    y = leaf([1.0, 2.0]).exp()
    detached = y.detach()
    detached *= 2.0
    with pytest.raises(RuntimeError, match="Exp saved result"):
        y.backward([1.0, 1.0])


def test_a_change_of_what_a_record_holds_is_noticed():
    x, weight = Tensor(np.ones((1, 2, 2, 3))), leaf(np.ones((1, 1, 3, 3)))
    affine, settings = (leaf(np.ones(3)), leaf(np.ones(3))), {"relu": False, "running": None}
    settings |= {"eps": 1e-5, "stride": 1, "padding": 0}
    y, *_ = ConvolveNormalise.apply(x, weight, *affine, None, **settings)
    weight += 1.0
    with pytest.raises(RuntimeError, match=r"ConvolveNormalise saved layer\.weight"):
        y.backward(np.ones(y.shape))


def test_an_optimiser_step_between_forward_and_backward_is_noticed():
    w = Parameter(np.ones((2, 2)))
    loss = (Tensor(np.ones((3, 2))) @ w @ w).sum()
    w.grad = np.ones((2, 2))
    SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="MatMul saved b for its backward"):
        loss.backward()


def test_a_change_that_harms_nothing_is_allowed():
    """An addition saves nothing; a copy is another array; a backward that is over is over."""
    x = leaf([1.0, 2.0])
    y, picked = (x + x).sum(), (x[:1] ** 2).sum()
    x += 1.0
    y.backward()
    picked.backward()
    np.testing.assert_array_equal(x.grad, [4, 2])
    z = (x * x).sum()
    z.backward()
    x += 1.0


def test_a_change_before_the_forward_pass_is_no_harm():
    x = leaf([1.0, 2.0])
    x += 1.0
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [4, 6])


def test_slices_are_copies_that_a_change_does_not_reach():
    x = Tensor(np.zeros(3))
    part = x[:2]
    part += 1.0
    np.testing.assert_array_equal(x.data, np.zeros(3))


def test_what_an_operation_made_cannot_be_changed_in_place():
    y = leaf([1.0]) * 2
    with pytest.raises(RuntimeError, match=r"write y = y \+ x instead of y \+= x"):
        y += 1.0
    np.testing.assert_array_equal(y.data, [2])
