# mypy: disable-error-code="misc"
# (self is a Tensor, whose base this class is)
"""What a tensor can do besides the calculus of `ops.py`: numbers, comparisons, more operations.

`Tensor` inherits it. Nothing here is part of the engine, which works without.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..from_pytorch import sentence
from ..kernels.devices import is_array, to_host
from . import more_ops
from .accepting import is_tensor, must_hold_values
from .function import Array

if TYPE_CHECKING:
    from .tensor import Tensor

Axes = int | tuple[int, ...] | None
SHOWN = 12  # of more values, repr shows the first and the last


class Methods:
    """The methods that need nothing but a tensor's data and the operations."""

    __slots__ = ()

    # -- as text, a number or an array -----------------------------------------------------

    def __repr__(self: Tensor) -> str:
        made_by = f", made by {self.context.function.__name__}" if self.context else ""
        label = f" {self.name}" if self.name else ""
        values = np.array2string(to_host(self.data).ravel(), threshold=SHOWN, edgeitems=3)
        return f"<Tensor{label} {self.shape} {self.dtype}{made_by}: {values}>"

    def item(self: Tensor) -> float:
        """The value of a tensor of one element, as a Python number."""
        if self.data.size != 1:
            raise ValueError(
                f"a tensor of shape {self.shape} is not one number: reduce it first (.mean(), "
                ".sum()), or take .numpy()"
            )
        return self.data.item()

    def numpy(self: Tensor) -> np.ndarray:
        """The tensor's own array; refused on a GPU: nothing is copied between devices unasked."""
        if not isinstance(self.data, np.ndarray):
            raise TypeError(f'this tensor is on "{self.device}": write x.to("cpu").numpy()')
        return self.data

    def __array__(self: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype, copy=copy)

    def __float__(self: Tensor) -> float:
        return float(self.item())

    def __int__(self: Tensor) -> int:
        return int(self.item())

    def __bool__(self: Tensor) -> bool:
        return bool(self.item())

    def __format__(self: Tensor, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __iter__(self: Tensor) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("a tensor without axes can't be iterated: .item() is its value")
        caller = sys._getframe(1)
        refuse_unpacking(len(self), *caller.f_code.co_code[caller.f_lasti : caller.f_lasti + 2])
        return (self[i] for i in range(len(self)))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(sentence("Tensor", name))

    # -- comparisons, whose results are plain arrays of bools ------------------------------

    def __gt__(self: Tensor, other: Any) -> Array:
        return self.data > self.beside(other)

    def __ge__(self: Tensor, other: Any) -> Array:
        return self.data >= self.beside(other)

    def __lt__(self: Tensor, other: Any) -> Array:
        return self.data < self.beside(other)

    def __le__(self: Tensor, other: Any) -> Array:
        return self.data <= self.beside(other)

    def __eq__(self: Tensor, other: Any) -> Any:
        return self.data == self.beside(other) if is_comparable(other) else NotImplemented

    def __ne__(self: Tensor, other: Any) -> Any:
        return self.data != self.beside(other) if is_comparable(other) else NotImplemented

    __hash__ = object.__hash__  # a tensor is a node of the graph, whatever it holds

    def argmax(self: Tensor, axis: int | None = None) -> Any:
        """Where the largest value is (the first of equal ones), as a plain array: no gradient."""
        must_hold_values("argmax", self.data, axis)
        return self.data.argmax(axis)

    # -- more operations: see more_ops.py --------------------------------------------------

    def mean(self: Tensor, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
        """Mean over some axes, or all."""
        total = self.sum(axis, keepdims=keepdims)
        must_hold_values("mean", self.data, axis)
        return total * (total.data.size / max(1, self.data.size))

    def max(self: Tensor, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
        """Largest value over some axes, or all; equal ones share the gradient evenly."""
        return more_ops.Max.apply(self, axis=axis, keepdims=keepdims)

    def min(self: Tensor, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
        """Smallest value over some axes, or all; equal ones share the gradient evenly."""
        return -(-self).max(axis, keepdims=keepdims)

    def relu(self: Tensor) -> Tensor:
        """max(x, 0); the gradient at 0 is 0."""
        return more_ops.Rectify.apply(self)

    def sqrt(self: Tensor) -> Tensor:
        """Square root of every element; the slope at 0 is infinite."""
        return more_ops.Sqrt.apply(self)

    def abs(self: Tensor) -> Tensor:
        """Size of every element; the gradient at 0 is 0."""
        return more_ops.Abs.apply(self)

    __abs__ = abs

    def tanh(self: Tensor) -> Tensor:
        """Hyperbolic tangent of every element."""
        return more_ops.Tanh.apply(self)

    def sigmoid(self: Tensor) -> Tensor:
        """1 / (1 + e ** -x) of every element."""
        return more_ops.Sigmoid.apply(self)

    def clip(self: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
        """Every element, but at least `low` and at most `high`, numbers; None for no limit."""
        limits = {"low": low, "high": high}
        if low is None and high is None:
            raise ValueError("clip: give low, high or both")
        return more_ops.Clip.apply(
            self, **{name: None if v is None else float(v) for name, v in limits.items()}
        )

    def view(self: Tensor, *shape: int | tuple[int, ...]) -> Tensor:
        """PyTorch's name for `reshape`."""
        return self.reshape(*shape)

    def flatten(self: Tensor, start: int = 0) -> Tensor:
        """All axes from `start` on become one: `x.flatten(1)` keeps the images apart."""
        return self.reshape(*self.shape[:start], int(np.prod(self.shape[start:])))


def is_comparable(other: Any) -> bool:
    """Whether `==` asks about values; of anything else, whether it is the same object."""
    return is_array(other) or is_tensor(other) or isinstance(other, int | float | np.generic)


def refuse_unpacking(rows: int, instruction: int, count: int) -> None:
    """Refuse `values, places = x.max(1)` of Python code that unpacks other than all rows.

    PyTorch's `max` gives a pair, and Python's own words would not say that this one doesn't.
    """
    if dis.opname[instruction] == "UNPACK_SEQUENCE" and count != rows:
        raise ValueError(
            f"a tensor of {rows} rows can't be unpacked into {count}: if it comes from x.max(axis) "
            "or x.min(axis), these are values alone, and x.argmax(axis) says where they are"
        )
