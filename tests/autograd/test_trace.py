"""The record of operations."""

import numpy as np

from minires import Tensor, no_grad
from minires.autograd.trace import trace


def test_every_operation_is_recorded_in_order():
    x, w = Tensor([[1.0, 2.0]]), Tensor([[3.0], [4.0]], requires_grad=True)
    with trace() as steps:
        y = x @ w
        z = (y * y).sum(0, keepdims=True)
    assert [step.function.__name__ for step in steps] == ["MatMul", "Multiply", "Sum"]
    assert steps[0].inputs == (x, w)
    assert steps[0].output is y is steps[1].inputs[0]
    assert steps[2].settings == {"axis": 0, "keepdims": True}
    z.backward()
    np.testing.assert_array_equal(w.grad, [[22.0], [44.0]])


def test_nothing_is_recorded_outside_nor_after_an_error():
    x = Tensor([1.0])
    try:
        with trace() as steps, no_grad():
            _ = x + x
            raise RuntimeError
    except RuntimeError:
        _ = x + x
    assert len(steps) == 1
