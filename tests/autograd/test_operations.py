"""Every operation of the calculus: its value against NumPy's, its gradient against differences."""

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices, mutually_broadcastable_shapes

from minires import Tensor, gradcheck
from minires.autograd.ops import unbroadcast
from tests.helpers import away_from_zero, generators, leaf, relative_error

shapes = array_shapes(min_dims=0, max_dims=3, max_side=4)
shape_pairs = mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3)

BINARY = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
}
UNARY = {
    "exp": (lambda x: x.exp(), np.exp),
    "log": (lambda x: x.log(), np.log),
    "cube": (lambda x: x**3, lambda a: a**3),
    "root": (lambda x: x**0.5, np.sqrt),
    "reciprocal": (lambda x: 1 / x, lambda a: 1 / a),
    "negative": (lambda x: -x, np.negative),
    "difference from 2": (lambda x: 2 - x, lambda a: 2 - a),
}


@pytest.mark.parametrize("operation", BINARY.values(), ids=BINARY.keys())
@given(pair=shape_pairs, rng=generators)
def test_binary_operations_broadcast_as_numpy_does_and_undo_it(operation, pair, rng):
    a, b = (away_from_zero(rng, shape, margin=0.5) for shape in pair.input_shapes)
    np.testing.assert_array_equal(operation(Tensor(a), Tensor(b)).data, operation(a, b))
    gradcheck(operation, a, b, rng=rng)


@pytest.mark.parametrize("operation", BINARY.values(), ids=BINARY.keys())
def test_a_tensor_used_as_both_operands_gets_both_gradients(operation, rng):
    gradcheck(lambda x: operation(x, x) * x, away_from_zero(rng, (3, 2)), rng=rng)


@pytest.mark.parametrize(("operation", "in_numpy"), UNARY.values(), ids=UNARY.keys())
@given(shape=shapes, rng=generators)
def test_unary_operations(operation, in_numpy, shape, rng):
    x = rng.uniform(0.5, 2, shape)
    np.testing.assert_allclose(operation(Tensor(x)).data, in_numpy(x), rtol=1e-15)
    gradcheck(operation, x, rng=rng)


@pytest.mark.parametrize("exponent", [-1.5, -1, 0, 1, 2, 3])
def test_powers_of_negative_and_positive_numbers(exponent, rng):
    x = away_from_zero(rng, 5, margin=0.5)
    x = np.abs(x) if exponent == -1.5 else x
    gradcheck(lambda x: x**exponent, x, rng=rng)


@pytest.mark.parametrize(("exponent", "slope"), [(0, 0), (0.0, 0), (1, 1), (2, 0)])
def test_powers_of_zero(exponent, slope):
    x = leaf(np.zeros(3))
    (x**exponent).sum().backward()
    np.testing.assert_array_equal(x.grad, np.full(3, slope))


@pytest.mark.parametrize(
    "shapes",
    [((2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)), ((5, 2, 3), (3, 4)), ((1, 2, 3), (5, 3, 1))],
    ids=str,
)
def test_matrix_products_and_their_broadcast_stacks(shapes, rng):
    a, b = (rng.standard_normal(shape) for shape in shapes)
    np.testing.assert_array_equal((Tensor(a) @ Tensor(b)).data, a @ b)
    gradcheck(operator.matmul, a, b, rng=rng)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (1, 2), ()], ids=str)
@pytest.mark.parametrize("name", ["sum", "mean"])
def test_sums_and_means_over_any_axes(name, axis, keepdims, rng):
    x = rng.standard_normal((2, 3, 4))

    def reduce(x):
        return getattr(x, name)(axis, keepdims=keepdims)

    np.testing.assert_allclose(reduce(Tensor(x)).data, reduce(x), rtol=1e-14)
    gradcheck(reduce, x, rng=rng)


@given(shape=shapes, rng=generators, data=st.data())
def test_transposes(shape, rng, data):
    axes = data.draw(st.permutations(range(len(shape))))
    axes = [axis - len(shape) if data.draw(st.booleans()) else axis for axis in axes]
    x = rng.standard_normal(shape)
    result = Tensor(x).transpose(*axes)
    np.testing.assert_array_equal(result.data, x.transpose(*axes) if axes else x.T)
    assert result.data.flags.c_contiguous
    gradcheck(lambda x: x.transpose(*axes), x, rng=rng)


def test_transpose_without_axes_reverses_them(rng):
    x = rng.standard_normal((2, 3, 4))
    np.testing.assert_array_equal(Tensor(x).transpose().data, x.T)


@pytest.mark.parametrize("shape", [(12,), (3, 4), (2, -1), (1, 2, 1, 6)], ids=str)
def test_reshapes(shape, rng):
    x = rng.standard_normal((2, 6))
    np.testing.assert_array_equal(Tensor(x).reshape(*shape).data, x.reshape(shape))
    gradcheck(lambda x: x.reshape(*shape), x, rng=rng)


@given(rng=generators, index=basic_indices((3, 4, 2), allow_newaxis=True))
def test_slices(rng, index):
    x = rng.standard_normal((3, 4, 2))
    np.testing.assert_array_equal(Tensor(x)[index].data, x[index])
    if x[index].size:
        gradcheck(lambda x: x[index], x, rng=rng)


def test_elements_that_are_picked_twice_get_both_gradients():
    x = leaf([1.0, 2.0, 3.0])
    x[np.array([0, 2, 0])].backward(np.array([1.0, 10.0, 100.0]))
    np.testing.assert_array_equal(x.grad, [101.0, 0.0, 10.0])


def test_a_pick_of_one_element_per_row(rng):
    rows, columns = np.arange(4), np.array([2, 0, 0, 1])
    gradcheck(lambda x: x[rows, columns], rng.standard_normal((4, 3)), rng=rng)


@given(pair=shape_pairs, rng=generators)
def test_unbroadcast_is_the_transpose_of_broadcasting(pair, rng):
    """<broadcast(a), g> = <a, unbroadcast(g)>, for every a and g: what defines a transpose."""
    shape = pair.input_shapes[0]
    a, g = rng.standard_normal(shape), rng.standard_normal(pair.result_shape)
    back = unbroadcast(g, shape)
    assert back.shape == shape
    np.testing.assert_allclose(
        (np.broadcast_to(a, g.shape) * g).sum(), (a * back).sum(), rtol=1e-12, atol=1e-12
    )


def test_unbroadcast_sums_rather_than_averages():
    np.testing.assert_array_equal(unbroadcast(np.ones((4, 2, 3)), (2, 1)), [[12.0], [12.0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_operation_changes_the_dtype_of_its_result_or_gradient(dtype):
    for operation in [op for op, _ in UNARY.values()] + [
        lambda x: x * 2.0 + 1,
        lambda x: x.mean(),
        lambda x: x @ x.transpose(),
        lambda x: x[0, :1],
        lambda x: x.reshape(4) / 3,
    ]:
        x = leaf([[1.0, 2.0], [3.0, 4.0]], dtype=dtype)
        y = operation(x)
        y.backward(np.ones(y.shape))
        assert y.dtype == x.grad.dtype == dtype


def test_a_composite_expression_is_right_as_a_whole(rng):
    """Layer normalisation, written out: every kind of operation in one graph."""

    def layer_norm(x, scale):
        centred = x - x.mean(1, keepdims=True)
        return centred / ((centred**2).mean(1, keepdims=True) + 1e-3) ** 0.5 * scale

    gradcheck(layer_norm, rng.standard_normal((3, 5)), rng.standard_normal(5), rng=rng)


def test_arrays_numbers_and_lists_mix_with_tensors_from_both_sides():
    x, array = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    for result in (array * x, x * array, x * [3.0, 4.0]):
        assert isinstance(result, Tensor)
        np.testing.assert_array_equal(result.data, [3.0, 8.0])
    assert relative_error((3 / x).data, [3.0, 1.5]) == 0
