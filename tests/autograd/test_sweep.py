"""The backward sweep: its order, what it adds up, who owns the sums, hooks and a second call."""

import numpy as np
import pytest

from minires import Function, Tensor, no_grad
from tests.helpers import leaf

# ---------------------------------------------------------------------------- order and sums


def test_a_result_used_twice_gets_both_gradients_before_it_hands_them_on():
    a = leaf(3.0)
    b = a + a
    c = b + b
    c.backward()
    assert a.grad == 4


def test_a_late_use_of_an_early_result_is_not_forgotten():
    a = leaf(2.0)
    b = a * a  # 4
    c = b * b  # 16
    (c + b + a).backward()
    assert a.grad == 4 * 2**3 + 2 * 2 + 1


@pytest.mark.parametrize("late_first", [False, True])
def test_uneven_branches_are_complete_in_whichever_order_they_are_visited(late_first):
    a = leaf(2.0)
    b = a * 1
    long = ((b * 3) * 5) * 7
    (b + long if late_first else long + b).backward()
    assert a.grad == 106


def test_sixty_diamonds_are_not_two_to_the_sixty_paths():
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = y + y
    y.backward()
    assert x.grad == 2**60


def test_gradients_of_several_calls_add_up_until_they_are_forgotten():
    x = leaf([1.0, 2.0])
    for _ in range(2):
        (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [4, 8])
    x.grad = None
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [2, 4])


def test_the_gradient_of_a_leaf_with_respect_to_itself_is_the_seed():
    x = leaf([1.0, 2.0])
    x.backward([5.0, 6.0])
    np.testing.assert_array_equal(x.grad, [5, 6])


def test_only_what_requires_a_gradient_gets_one():
    image, weight = Tensor(np.ones(3)), leaf(np.ones(3))
    (image * weight).sum().backward()
    assert image.grad is None
    np.testing.assert_array_equal(weight.grad, np.ones(3))


def test_backward_is_not_asked_for_gradients_that_nobody_needs():
    asked = []

    class Spy(Function):
        @staticmethod
        def forward(ctx, a, b):
            return a * b

        @staticmethod
        def backward(ctx, grad):
            asked.append(ctx.needs_grad)
            return None, grad

    Spy.apply(Tensor(np.ones(2)), leaf(np.ones(2))).backward(np.ones(2))
    assert asked == [(False, True)]


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)], ids=str)
def test_a_gradient_is_an_array_of_the_shape_and_dtype_of_its_tensor(shape):
    x = leaf(np.ones(shape))
    seen = []
    y = x * 2.0
    y.register_hook(seen.append)
    for _ in range(2):  # the second call adds to what is there
        y = x * x + x
        y.register_hook(seen.append)
        y.backward(np.ones(shape))
        seen.append(x.grad)
    assert all(type(g) is np.ndarray and g.shape == shape and g.dtype == x.dtype for g in seen)


# ---------------------------------------------------------------------------------- ownership


def test_branches_that_share_a_gradient_array_do_not_spoil_each_other():
    """An addition hands one array to both sides; here a side gets more, in place, before it is
    used by the other."""
    x, y = leaf([1.0, 1.0]), leaf([1.0, 1.0])
    a, b = x * 2, y * 3
    total = a + b  # the same gradient array for a and b
    more = total + a + a
    more.backward([1.0, 10.0])
    np.testing.assert_array_equal(x.grad, [6, 60])
    np.testing.assert_array_equal(y.grad, [3, 30])


def test_a_chain_of_skip_connections_has_the_gradient_of_its_polynomial():
    x = leaf([1.0, -2.0])
    y = x
    for scale in (0.5, -3.0, 2.0):
        y = y + y * scale
    y.backward([1.0, 10.0])
    np.testing.assert_allclose(x.grad, 1.5 * -2.0 * 3.0 * np.array([1, 10]))


def test_two_leaves_of_one_addition_do_not_share_a_gradient_array():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (x + y).sum().backward()
    assert not np.shares_memory(x.grad, y.grad)
    x.grad *= 100
    np.testing.assert_array_equal(y.grad, [1, 1])


def test_a_gradient_that_the_user_holds_is_not_changed_by_a_later_backward():
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    held = x.grad
    (x * x).sum().backward()
    np.testing.assert_array_equal(held, [2, 4])
    np.testing.assert_array_equal(x.grad, [4, 8])


def test_the_seed_is_neither_kept_nor_changed():
    x, seed = leaf([1.0, 2.0]), np.array([1.0, 10.0])
    y = x + x
    (y + y + x).backward(seed)
    np.testing.assert_array_equal(seed, [1, 10])
    assert not np.shares_memory(x.grad, seed)
    np.testing.assert_array_equal(x.grad, [5, 50])


# -------------------------------------------------------------------------------------- hooks


def test_a_hook_sees_the_complete_gradient_once():
    x = leaf(2.0)
    y = x * 3
    seen = []
    y.register_hook(lambda grad: seen.append(float(grad)))
    (y * y + y).backward()
    assert seen == [2 * 6 + 1]


def test_a_hook_on_a_leaf_sees_this_call_and_not_the_sum_of_calls():
    x = leaf(2.0)
    seen = []
    x.register_hook(lambda grad: seen.append(float(grad)))
    for _ in range(2):
        (x * x).backward()
    assert seen == [4, 4]
    assert x.grad == 8


def test_a_removed_hook_is_not_called():
    x = leaf(2.0)
    y = x * 3
    kept, removed = [], []
    handle = y.register_hook(removed.append)
    y.register_hook(kept.append)
    handle.remove()
    y.backward()
    assert (len(kept), removed) == (1, [])


@pytest.mark.parametrize("make", [lambda x: x, lambda x: x * 3], ids=["leaf", "result"])
def test_hooks_may_remove_themselves_and_one_another(make):
    """The next one is not skipped, one that is gone is not called."""
    x, calls = leaf(2.0), []
    y = make(x)

    def once(_):
        calls.append("once")
        first.remove()

    def remove_the_last(_):
        calls.append("second")
        last.remove()

    first = y.register_hook(once)
    y.register_hook(remove_the_last)
    last = y.register_hook(lambda _: calls.append("last"))
    y.register_hook(lambda _: calls.append("third"))
    for _ in range(2):
        y.backward(retain_graph=True)
    assert calls == ["once", "second", "third", "second", "third"]


def test_a_handle_ends_with_its_block():
    x, seen = leaf(2.0), []
    with x.register_hook(seen.append):
        (x * 1).backward()
    (x * 1).backward()
    assert len(seen) == 1


def test_a_hook_that_returns_something_learns_that_it_would_be_lost():
    x = leaf(2.0)
    x.register_hook(lambda grad: grad * 2)
    with pytest.raises(TypeError, match=r"a hook returned \w+, but hooks only look on"):
        (x * 1).backward()


def test_a_hook_on_a_tensor_without_gradient_is_refused():
    with pytest.raises(RuntimeError, match=r"register_hook: this tensor gets no gradient"):
        Tensor([1.0]).register_hook(print)


# -------------------------------------------------------------------------- no_grad and detach


def test_no_grad_records_nothing_and_ends_with_its_block():
    x = leaf([1.0, 2.0])
    with no_grad():
        y = x * x
        with no_grad():
            pass
        z = x + x
    assert not y.requires_grad
    assert not z.requires_grad
    assert y.context is None
    assert (x * x).requires_grad


def test_no_grad_ends_when_its_block_fails():
    with pytest.raises(ZeroDivisionError), no_grad():
        raise ZeroDivisionError
    assert (leaf(1.0) * 2).requires_grad


def test_detach_cuts_the_history_and_shares_the_values():
    x = leaf([2.0])
    y = (x * x).detach()
    (x * y).sum().backward()
    assert x.grad == 4
    assert np.shares_memory(y.data, y.detach().data)


def test_backward_needs_something_that_requires_a_gradient():
    with pytest.raises(RuntimeError, match="requires_grad=True, and compute outside no_grad"):
        (Tensor(2.0) * 3).backward()


# ------------------------------------------------------------------------------ a second call


def test_a_second_backward_is_refused_and_changes_no_gradient():
    x = leaf(3.0)
    y = (x * x).exp()
    y.backward()
    before = x.grad
    with pytest.raises(RuntimeError, match=r"freed at Exp, by an earlier backward\(\)"):
        y.backward()
    assert x.grad is before


def test_a_second_loss_on_a_freed_trunk_is_refused_before_anything_is_added():
    x, w = leaf(3.0), leaf(2.0)
    trunk = x * x
    (trunk * 5).backward()
    with pytest.raises(RuntimeError, match=r"freed at Multiply.*retain_graph=True"):
        (trunk * w).backward()
    assert w.grad is None
    assert x.grad == 30


def test_retain_graph_allows_a_second_call_which_then_frees():
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad == 12
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()


def test_losses_that_share_a_trunk_equal_their_sum():
    x = leaf([1.0, 2.0])
    trunk = x.exp()
    (trunk * 2).sum().backward(retain_graph=True)
    (trunk * trunk).sum().backward()
    apart, x.grad = x.grad, None
    trunk = x.exp()
    ((trunk * 2).sum() + (trunk * trunk).sum()).backward()
    np.testing.assert_allclose(apart, x.grad, rtol=1e-15)
