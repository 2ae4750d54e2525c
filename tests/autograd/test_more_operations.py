"""The further operations: values against NumPy's, gradients against differences and PyTorch's."""

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, mutually_broadcastable_shapes

import minires
from minires import Tensor, gradcheck
from tests.helpers import distinct, generators, leaf

shapes = array_shapes(min_dims=0, max_dims=3, max_side=4)
AXES = [None, 0, -1, (0, 2), (1, 2), ()]


def logistic(a):
    return 1 / (1 + np.exp(-a))


UNARY = {
    "relu": (lambda x: x.relu(), lambda a: np.maximum(a, 0)),
    "abs": (abs, np.abs),
    "sqrt": (lambda x: (x * x).sqrt(), np.abs),
    "tanh": (lambda x: x.tanh(), np.tanh),
    "sigmoid": (lambda x: x.sigmoid(), logistic),
    "clip": (lambda x: x.clip(-0.7, 0.9), lambda a: np.clip(a, -0.7, 0.9)),
    "clip below": (lambda x: x.clip(0.3), lambda a: np.maximum(a, 0.3)),
    "clip above": (lambda x: x.clip(high=0.3), lambda a: np.minimum(a, 0.3)),
    "flatten": (lambda x: x.flatten(), np.ravel),
    "view": (lambda x: x.view(-1, 1), lambda a: a.reshape(-1, 1)),
}


def clear_of_kinks(rng, shape):
    """Numbers near none of -0.7, 0, 0.3 and 0.9."""
    return rng.choice([-1.2, -0.4, 0.15, 0.6, 1.3], shape) + rng.uniform(-0.1, 0.1, shape)


@pytest.mark.parametrize(("operation", "in_numpy"), UNARY.values(), ids=UNARY.keys())
@given(shape=shapes, rng=generators)
def test_unary_operations(operation, in_numpy, shape, rng):
    x = clear_of_kinks(rng, shape)
    np.testing.assert_allclose(operation(Tensor(x)).data, in_numpy(x), rtol=1e-14)
    gradcheck(operation, x, rng=rng)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("name", ["max", "min"])
def test_extremes_over_any_axes(name, axis, keepdims, rng):
    x = distinct(rng, (2, 3, 4))

    def reduce(x):
        return getattr(x, name)(axis, keepdims=keepdims)

    np.testing.assert_array_equal(reduce(Tensor(x)).data, reduce(x))
    gradcheck(reduce, x, rng=rng)


@given(rng=generators, count=st.integers(1, 3), axis=st.integers(-3, 2))
def test_concatenations(rng, count, axis):
    sizes = rng.integers(0, 4, count) + np.arange(count)  # an empty part at most
    parts = [rng.standard_normal(tuple(np.where(np.arange(3) == axis % 3, n, 2))) for n in sizes]
    together = minires.concatenate([Tensor(part) for part in parts], axis)
    np.testing.assert_array_equal(together.data, np.concatenate(parts, axis))
    assert together.data.flags.c_contiguous
    gradcheck(lambda *parts: minires.concatenate(parts, axis), *parts, rng=rng)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_stacks(axis, rng):
    parts = rng.standard_normal((3, 2, 4))
    result = minires.stack([Tensor(part) for part in parts], axis)
    np.testing.assert_array_equal(result.data, np.stack(list(parts), axis))
    gradcheck(lambda *parts: minires.stack(parts, axis), *parts, rng=rng)


@pytest.mark.parametrize("widths", [1, (2, 1), ((0, 0), (1, 2), (0, 3))], ids=str)
def test_paddings(widths, rng):
    x = rng.standard_normal((2, 3, 4))
    result = minires.pad(Tensor(x), widths, 0.5)
    np.testing.assert_array_equal(result.data, np.pad(x, widths, constant_values=0.5))
    gradcheck(lambda x: minires.pad(x, widths), x, rng=rng)


@given(shapes=mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3), rng=generators)
def test_choices_broadcast_as_numpys_and_undo_it(shapes, rng):
    condition, a, b = (rng.standard_normal(shape) for shape in shapes.input_shapes)
    chosen = condition > 0
    result = minires.where(chosen, Tensor(a), Tensor(b))
    np.testing.assert_array_equal(result.data, np.where(chosen, a, b))
    gradcheck(lambda a, b: minires.where(chosen, a, b), a, b, rng=rng)


def test_a_choice_between_a_tensor_and_a_number():
    x = leaf([-1.0, 2.0], dtype=np.float32)
    y = minires.where(x > 0, x, 0.5)
    y.backward([3.0, 4.0])
    np.testing.assert_array_equal(y.data, [0.5, 2])
    assert y.dtype == np.float32
    np.testing.assert_array_equal(x.grad, [0, 4])


@given(shape=array_shapes(min_dims=1, max_dims=3, max_side=4), rng=generators)
def test_softmax_and_its_logarithm(shape, rng):
    x = rng.standard_normal(shape)
    for axis in (0, -1):
        probabilities = np.exp(x) / np.exp(x).sum(axis, keepdims=True)
        for f, expected in (
            (minires.nn.functional.softmax, probabilities),
            (minires.nn.functional.log_softmax, np.log(probabilities)),
        ):
            np.testing.assert_allclose(f(Tensor(x), axis).data, expected, rtol=1e-12, atol=1e-14)
            gradcheck(lambda x, f=f, axis=axis: f(x, axis), x, rng=rng)


def test_nothing_overflows_where_exponentials_would():
    x = Tensor([-1000.0, 0.0, 1000.0])
    np.testing.assert_array_equal(x.sigmoid().data, [0, 0.5, 1])
    np.testing.assert_array_equal(x.tanh().data, [-1, 0, 1])
    np.testing.assert_array_equal(minires.nn.functional.log_softmax(x).data, [-2000, -1000, 0])


# ------------------------------------------------------------------------ beside PyTorch's


TORCH = {
    "relu": (lambda x, t: x.relu(), lambda x, t: x.relu()),
    "abs": (lambda x, t: x.abs(), lambda x, t: x.abs()),
    "sqrt": (lambda x, t: (x * x + 1).sqrt(), lambda x, t: (x * x + 1).sqrt()),
    "tanh": (lambda x, t: x.tanh(), lambda x, t: x.tanh()),
    "sigmoid": (lambda x, t: x.sigmoid(), lambda x, t: x.sigmoid()),
    "clip": (lambda x, t: x.clip(-1, 1), lambda x, t: x.clip(-1, 1)),
    "max": (lambda x, t: x.max(), lambda x, t: x.max()),
    "max of rows": (lambda x, t: x.max(1), lambda x, t: x.amax(1)),
    "max of two axes": (lambda x, t: x.max((0, 1)), lambda x, t: x.amax((0, 1))),
    "min of rows": (lambda x, t: x.min(1), lambda x, t: x.amin(1)),
    "flatten": (lambda x, t: x.flatten(1), lambda x, t: x.flatten(1)),
    "concatenate": (lambda x, t: minires.concatenate([x, x], 1), lambda x, t: t.cat([x, x], 1)),
    "stack": (lambda x, t: minires.stack([x, x], 1), lambda x, t: t.stack([x, x], 1)),
    "where": (
        lambda x, t: minires.where(x > 0, x * 2, x * 3),
        lambda x, t: t.where(x > 0, x * 2, x * 3),
    ),
    "pad": (
        lambda x, t: minires.pad(x, ((0, 0), (2, 1)), 7.0),
        lambda x, t: t.nn.functional.pad(x, (2, 1), value=7.0),
    ),
    "softmax": (
        lambda x, t: minires.nn.functional.softmax(x, 1),
        lambda x, t: t.nn.functional.softmax(x, 1),
    ),
    "log_softmax": (
        lambda x, t: minires.nn.functional.log_softmax(x, 1),
        lambda x, t: t.nn.functional.log_softmax(x, 1),
    ),
}
# whole numbers: ties everywhere, zeros at the kinks, values on both limits of clip
POINTS = np.array([[1.0, 1.0, -1.0, 0.0], [0.0, 0.0, 0.0, 0.0], [-2.0, -1.0, -2.0, 2.0]])


@pytest.mark.parametrize(("ours", "theirs"), TORCH.values(), ids=TORCH.keys())
def test_values_and_gradients_are_pytorchs_even_at_ties_and_kinks(ours, theirs, rng):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    x, other = leaf(POINTS), torch.tensor(POINTS, requires_grad=True)
    y, expected = ours(x, torch), theirs(other, torch)
    dy = rng.standard_normal(y.shape)
    y.backward(dy)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(y.data, expected.detach().numpy(), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(x.grad, other.grad.numpy(), rtol=1e-13, atol=1e-15)


def test_equal_maxima_share_the_gradient_evenly():
    x = leaf([[3.0, 3.0, 1.0], [2.0, 5.0, 5.0]])
    x.max(1).backward([1.0, 10.0])
    np.testing.assert_array_equal(x.grad, [[0.5, 0.5, 0], [0, 5, 5]])


def test_the_loss_is_the_mean_of_the_negative_log_softmax(rng):
    logits, labels = rng.standard_normal((4, 3)), np.array([0, 2, 1, 1])
    by_hand = -minires.nn.functional.log_softmax(Tensor(logits))[np.arange(4), labels].mean()
    loss = minires.nn.CrossEntropyLoss()(Tensor(logits), labels)
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-14)


# ----------------------------------------------------------------- numbers, arrays, comparisons


def test_a_tensor_of_one_element_is_a_number():
    loss = Tensor([[2.5]])
    assert float(loss) == loss.item() == 2.5
    assert int(loss) == 2
    assert f"{loss:.3f}" == "2.500"
    assert bool(loss)
    assert not Tensor(0.0)
    assert f"{Tensor([1.0, 2.0])}" == repr(Tensor([1.0, 2.0]))


@pytest.mark.parametrize("use", [float, int, bool, "{:.3f}".format, lambda t: t.item()])
def test_several_elements_are_no_number(use):
    with pytest.raises(ValueError, match=r"of shape \(2, 3\) is not one number: reduce it first"):
        use(Tensor(np.ones((2, 3))))


def test_numpy_takes_a_tensor_for_an_array(rng):
    x = leaf(rng.standard_normal((2, 3)))
    assert x.numpy() is x.data
    assert np.asarray(x) is x.data
    assert np.asarray(x, np.float32).dtype == np.float32
    assert not np.shares_memory(np.array(x), x.data)
    assert np.linalg.norm(x) == pytest.approx(((x * x).sum() ** 0.5).item(), rel=1e-14)


def test_comparisons_are_arrays_of_bools():
    x = leaf([1.0, 2.0, 3.0])
    for result, expected in (
        (x > 2, [False, False, True]),
        (x >= 2, [False, True, True]),
        (x < Tensor([2.0, 2.0, 4.0]), [True, False, True]),
        (x <= np.array([0, 2, 2]), [False, True, False]),
        (x == 2, [False, True, False]),
        (x != 2, [True, False, True]),
    ):
        assert isinstance(result, np.ndarray)
        np.testing.assert_array_equal(result, expected)
    assert (x.argmax(), leaf([[1.0, 1.0], [0.0, 2.0]]).argmax(1).tolist()) == (2, [0, 1])


def test_a_tensor_is_itself_in_a_dictionary_and_nothing_else():
    x, y = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    assert {x: "x", y: "y"}[x] == "x"
    assert len({x, y, x}) == 2
    assert x != "text"
    assert x is not None
    assert not operator.eq(x, None)


def test_sizes_may_be_given_as_a_tuple(rng):
    x = Tensor(rng.standard_normal((2, 3, 4)))
    assert x.reshape((6, 4)).shape == x.reshape(6, 4).shape == x.view([6, 4]).shape
    assert x.transpose((2, 0, 1)).shape == x.transpose(2, 0, 1).shape
    assert x.flatten(1).shape == (2, 12)


def test_an_array_on_the_left_of_a_product(rng):
    a, b = rng.standard_normal((2, 3)), rng.standard_normal((3, 4))
    np.testing.assert_array_equal((a @ Tensor(b)).data, a @ b)


def test_a_large_tensor_has_a_short_repr():
    text = repr(leaf(np.ones((128, 32, 32, 3)), name="images") * 2)
    assert text == "<Tensor (128, 32, 32, 3) float64, made by Multiply: [2. 2. 2. ... 2. 2. 2.]>"
    assert repr(leaf([1.0], name="scale")) == "<Tensor scale (1,) float64: [1.]>"


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x: x.clip(0.0), [0, 0.25]),
        (lambda x: minires.where(np.array([False, True]), x, Tensor(np.zeros(2))), [0, 0.25]),
        (lambda x: minires.where(np.array([True, False]), Tensor(np.zeros(2)), x), [0, 0.25]),
    ],
)
def test_an_infinite_gradient_reaches_only_what_was_chosen(f, expected):
    """0 times it would be NaN."""
    x = leaf([-1.0, 4.0])
    with np.errstate(divide="ignore"):
        f(x).sqrt().sum().backward()
    np.testing.assert_array_equal(x.grad, expected)


@pytest.mark.parametrize("exponent", [2, 2.0, np.float64(2), np.int64(2), np.float32(2)])
def test_an_exponent_of_numpys_does_not_change_the_dtype(exponent):
    x = leaf([3.0], dtype=np.float32)
    (x**exponent).sum().backward()
    assert x.grad.dtype == np.float32
    assert x.grad == [6.0]
