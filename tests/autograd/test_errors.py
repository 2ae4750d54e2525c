"""What is refused, and the sentence that says what was expected and what to do."""

import numpy as np
import pytest

from minires import Function, Tensor
from tests.helpers import leaf

BAD_DATA = {
    "whole numbers": (np.arange(3), r"float32 or float64, but got int64: convert with \.astype"),
    "half floats": (np.ones(3, np.float16), "but got float16"),
    "a tensor": (Tensor([1.0]), r"takes an array, but got a Tensor: .* or \.detach"),
}


@pytest.mark.parametrize(("data", "sentence"), BAD_DATA.values(), ids=BAD_DATA.keys())
def test_a_tensor_holds_nothing_but_float32_and_float64(data, sentence):
    with pytest.raises(TypeError, match=sentence):
        Tensor(data)


def test_numbers_and_lists_become_float32():
    assert Tensor(1).dtype == Tensor([1, 2]).dtype == np.float32


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
