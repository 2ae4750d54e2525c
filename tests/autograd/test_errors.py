"""What is refused, and the sentence that says what was expected and what to do."""

import numpy as np
import pytest

from minires import Function, Tensor, pad, where
from minires.autograd import ops
from tests.helpers import leaf

BAD_DATA = {
    "whole numbers": (np.arange(3), r"float32 or float64, but got int64: convert with \.astype"),
    "half floats": (np.ones(3, np.float16), "but got float16"),
    "a tensor": (Tensor([1.0]), r"takes an array, but got a Tensor: .* or \.detach"),
    "nothing": (None, r"expected a Tensor, an array or numbers, but got NoneType \(None\)"),
    "a list with nothing in it": ([1.0, None], r"but got list \(\[1\.0, None\]\)"),
    "text": ("3", r"but got str \('3'\)"),
    "a list of texts": (["1", "2"], "but got list"),
    "an object": (object(), "but got object"),
    "a complex number": (1j, "but got complex"),
    "a dictionary": ({"a": 1}, "but got dict"),
    "a generator": ((i for i in range(3)), "but got generator"),
    "tensors": ([Tensor([1.0]), Tensor([2.0])], r"minires\.stack\(tensors\) makes one"),
}


@pytest.mark.parametrize(("data", "sentence"), BAD_DATA.values(), ids=BAD_DATA.keys())
def test_a_tensor_holds_nothing_but_float32_and_float64(data, sentence):
    with pytest.raises(TypeError, match=sentence):
        Tensor(data)


def test_numbers_and_lists_become_float32():
    assert Tensor(1).dtype == Tensor([1, 2]).dtype == np.float32
    assert Tensor([True, 2.5]).data.tolist() == [1, 2.5]
    assert Tensor([]).shape == (0,)


IN_OPERATIONS = {
    "x + y": lambda x, y: x + y,
    "y + x": lambda x, y: y + x,
    "x - y": lambda x, y: x - y,
    "y - x": lambda x, y: y - x,
    "x * y": lambda x, y: x * y,
    "y * x": lambda x, y: y * x,
    "x / y": lambda x, y: x / y,
    "y / x": lambda x, y: y / x,
    "x @ y": lambda x, y: x @ y,
    "x ** y": lambda x, y: x**y,
    "x += y": lambda x, y: x.__iadd__(y),
    "x -= y": lambda x, y: x.__isub__(y),
    "x *= y": lambda x, y: x.__imul__(y),
    "x[0] = y": lambda x, y: x.__setitem__(0, y),
    "x > y": lambda x, y: x > y,
    "x <= y": lambda x, y: x <= y,
    "where": lambda x, y: where(x > 0, x, y),
}


@pytest.mark.parametrize(
    "stranger", [None, "3", object(), {}, 1j, [None]], ids=lambda value: type(value).__name__
)
@pytest.mark.parametrize("operation", IN_OPERATIONS.values(), ids=IN_OPERATIONS.keys())
def test_operations_name_what_is_no_number(operation, stranger):
    x = Tensor([1.0, 2.0])
    with pytest.raises(TypeError, match=type(stranger).__name__):
        operation(x, stranger)
    np.testing.assert_array_equal(x.data, [1, 2])


def test_a_power_of_a_tensor_says_what_to_write():
    with pytest.raises(
        TypeError, match=r"exponent must be a number, but is Tensor: .*\(x\.log\(\) \*"
    ):
        leaf([1.0]) ** leaf([2.0])


def test_a_tensor_deep_in_a_list_does_not_lose_its_history():
    with pytest.raises(TypeError, match=r"a list of tensors is not a tensor: minires\.stack"):
        Tensor([[leaf(1.0), leaf(2.0)]])


@pytest.mark.parametrize("seed", ["1", {}, 1j])
def test_a_gradient_that_is_no_number_is_named(seed):
    with pytest.raises(TypeError, match=f"but got {type(seed).__name__}"):
        leaf(1.0).backward(seed)


@pytest.mark.parametrize("given", [np.ones(3), [1.0], 2.0], ids=["array", "list", "number"])
def test_an_operation_takes_tensors(given):
    with pytest.raises(TypeError, match=f"Add takes tensors, but got {type(given).__name__}: make"):
        ops.Add.apply(leaf([1.0]), given)


@pytest.mark.parametrize("result", [None, [1.0], 2.0, Tensor([1.0])])
def test_a_function_that_returns_no_array_is_named(result):
    class Forgetful(Function):
        @staticmethod
        def forward(ctx, a):
            return result

    with pytest.raises(TypeError, match=r"Forgetful\.forward must return an array, but") as error:
        Forgetful.apply(leaf([1.0]))
    assert ("is its `return` missing?" in str(error.value)) == (result is None)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x: where([1, 0], x, x), "condition must be an array of bools"),
        (lambda x: where([True, False], 1.0, 2.0), "a or b must be a Tensor"),
        (lambda x: pad(x, -1), "widths must be whole numbers, at least 0, but are -1"),
        (lambda x: pad(x, (0.5, 1)), r"widths must be whole numbers, .* but are \(0\.5, 1\)"),
        (lambda x: x.clip(), "give low, high or both"),
        (lambda x: Tensor([[1.0], [2.0, 3.0]]), r"rows of one length, but got \[\[1\.0\], \[2\.0"),
        (lambda x: x * [[1.0], [2.0, 3.0]], "rows of one length"),
        (lambda x: x[:0].mean(), r"mean: there is no value in \(0,\): is the batch empty"),
        (lambda x: x[:0].max(), "max: there is no value"),
        (lambda x: x[:0].argmax(), "argmax: there is no value"),
        (lambda x: x.reshape(2, 1)[:, :0].mean(1), r"mean: there is no value in \(2, 0\)"),
        (lambda x: iter(Tensor(1.0)), "a tensor without axes can't be iterated"),
        (lambda x: x.register_hook(None), "a hook must be a function, but is NoneType"),
        (lambda x: x.permute(1, 0), r"no attribute 'permute': x.transpose\(0, 3, 1, 2\) takes"),
        (lambda x: x.colour, "^Tensor has no attribute 'colour'$"),
    ],
)
def test_other_sentences(call, sentence):
    with pytest.raises((TypeError, ValueError, AttributeError), match=sentence):
        call(leaf([1.0, 2.0]))


def test_dtypes_are_never_mixed():
    with pytest.raises(TypeError, match="Multiply: all tensors must share a dtype, but have float"):
        leaf([1.0], dtype=np.float32) * leaf([1.0], dtype=np.float64)


def test_a_number_takes_the_dtype_of_the_tensor_beside_it():
    assert (leaf([1.0], dtype=np.float32) * 2.5 + 1).dtype == np.float32


def test_backward_of_many_elements_needs_a_gradient():
    with pytest.raises(ValueError, match=r"needs a scalar, but this tensor has shape \(2, 3\)"):
        leaf(np.ones((2, 3))).backward()


def test_a_tensor_of_one_element_needs_none():
    x = leaf([[3.0]])
    (x * x).backward()
    assert x.grad == 6


def test_a_seed_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"the gradient must have shape \(3,\), not \(1, 3\)"):
        leaf(np.ones(3)).backward(np.ones((1, 3)))


def test_a_matrix_product_of_vectors_is_refused():
    with pytest.raises(ValueError, match=r"matmul takes matrices, but got shapes \(3,\)"):
        leaf(np.ones(3)) @ leaf(np.ones((3, 2)))


def function_returning(gradients):
    class Buggy(Function):
        @staticmethod
        def forward(ctx, a, b):
            return a * b

        @staticmethod
        def backward(ctx, grad):
            return gradients

    return Buggy


GOOD = np.ones((2, 3))
BAD_GRADIENTS = {
    "another shape": ((GOOD, np.ones(3)), r"input 1 must be \(2, 3\) float64, but is \(3,\)"),
    "one that would broadcast": ((np.ones((1, 3)), GOOD), r"input 0 must be \(2, 3\)"),
    "a scalar": ((np.float64(1), GOOD), r"input 0 must be \(2, 3\) float64, but is \(\) float64"),
    "another dtype": ((GOOD, GOOD.astype(np.float32)), "input 1 .* float64, but is .* float32"),
    "none where one is needed": ((None, GOOD), "input 0 .* but is None"),
    "too few": (GOOD, "returned 1 gradients for 2 inputs"),
    "too many": ((GOOD, GOOD, GOOD), "returned 3 gradients for 2 inputs"),
}


@pytest.mark.parametrize(("gradients", "sentence"), BAD_GRADIENTS.values(), ids=BAD_GRADIENTS)
def test_a_function_that_returns_wrong_gradients_is_named(gradients, sentence):
    y = function_returning(gradients).apply(leaf(np.ones((2, 3))), leaf(np.ones((2, 3))))
    with pytest.raises(ValueError, match=f"Buggy.backward.*{sentence}"):
        y.backward(np.ones((2, 3)))
