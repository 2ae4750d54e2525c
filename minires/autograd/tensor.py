"""The tensor: an array, its gradient, and the operation that made it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..kernels.checks import writable
from ..kernels.devices import alike, as_array, choose, device_of, is_array, shared_device
from . import accepting, ops
from .accepting import float_array, numeric, one_by_one
from .backward import backward
from .function import Array, Context, Version
from .hooks import HookHandle, Hooks
from .methods import Methods


class Tensor(Methods):
    """A float32 or float64 array, on the CPU or a GPU, that remembers how it was computed.

    Maps (N, H, W, C), what goes from layer to layer, may be bfloat16: `minires.precision`.

    Attributes:
        data: the array. Change its values through the tensor (`t[...] = v`, `t += v`), which is
            noticed by operations that saved it; writing into `t.data` is not.
        grad: after `backward()`, the gradient (an array of the same shape) of a leaf that
            `requires_grad`; calls add up until you set it to None.
        requires_grad: whether gradients flow to this tensor.
        context: the operation that made it (its node of the graph), or None: then it is a leaf.
        name: what error messages call it.
    """

    __slots__ = (
        "__weakref__",
        "context",
        "data",
        "grad",
        "hooks",
        "name",
        "requires_grad",
        "version",
    )
    __array_ufunc__ = None  # so that `array * tensor` asks the tensor

    def __init__(
        self,
        data: Any,
        *,
        requires_grad: bool = False,
        name: str = "",
        version: Version | None = None,
    ) -> None:
        self.data = float_array(data)
        self.grad: Array | None = None
        self.requires_grad = requires_grad
        self.name = name
        self.context: Context | None = None
        self.hooks = Hooks()
        self.version = version or Version()

    # -- what it is ------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        """Dtype of the array: float32, float64, or bfloat16 for maps."""
        return self.data.dtype

    @property
    def device(self) -> str:
        """Where the array is: "cpu" or "cuda"."""
        return device_of(self.data)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.data.ndim

    def __len__(self) -> int:
        return len(self.data)

    def to(self, device: str) -> Tensor:
        """The tensor on a device, "cpu", "cuda" or "auto"; itself if it is there already.

        Raises: ValueError that says why the device can't be used.
        """
        device = choose(device)
        return self if device == self.device else ops.Move.apply(self, device=device)

    def detach(self) -> Tensor:
        """The same array in a tensor that has no history."""
        return Tensor(self.data, name=self.name, version=self.version)

    # -- gradients -------------------------------------------------------------------------

    def backward(self, grad: Any = None, *, retain_graph: bool = False) -> None:
        """Add the gradient of this tensor with respect to every leaf to the leaf's `grad`.

        `grad` (as this tensor) weights the elements; it may be left out for a scalar, a loss. The
        graph is freed on the way, so a second call raises RuntimeError unless the first one set
        `retain_graph`.
        """
        backward(self, self.first_gradient(grad), retain_graph=retain_graph)

    def first_gradient(self, grad: Any) -> Array:
        """The gradient that a sweep from here starts with."""
        if grad is None:
            if self.data.size != 1:
                raise ValueError(
                    f"backward() without a gradient needs a scalar, but this tensor has shape "
                    f"{self.shape}: pass one of that shape, or reduce it first (.mean(), .sum())"
                )
            return np.ones_like(self.data)
        grad = grad.data if isinstance(grad, Tensor) else grad
        grad = alike(grad if is_array(grad) else numeric(grad), self.data)
        if grad.shape != self.shape:
            raise ValueError(
                f"backward: the gradient must have shape {self.shape}, not {grad.shape}"
            )
        return grad

    def register_hook(self, hook: Callable[[Array], None]) -> HookHandle:
        """Call `hook(gradient)` when this tensor's gradient is complete, until it is removed."""
        if not self.requires_grad:
            raise RuntimeError("register_hook: this tensor gets no gradient (requires_grad=False)")
        return (self.context or self).hooks.add(hook)

    def accumulate(self, grad: Array) -> None:
        """Add to the gradient of this leaf."""
        self.grad = grad.copy() if self.grad is None else as_array(self.grad + grad)

    # -- changes in place ------------------------------------------------------------------

    def __setitem__(self, index: Any, value: Any) -> None:
        value = self.beside(value)
        self.changes_in_place()
        self.data[index] = value

    def __iadd__(self, other: Any) -> Tensor:
        self[...] = self.data + self.beside(other)
        return self

    def __isub__(self, other: Any) -> Tensor:
        self[...] = self.data - self.beside(other)
        return self

    def __imul__(self, other: Any) -> Tensor:
        self[...] = self.data * self.beside(other)
        return self

    def beside(self, other: Any) -> Any:
        """The other operand of a change or comparison, as a number or array: no graph is made."""
        other = other.data if isinstance(other, Tensor) else other
        if not is_array(other):
            return numeric(other)
        shared_device("a change in place or a comparison", self.data, other)
        return other

    def changes_in_place(self) -> None:
        """Note that the array is about to change: graphs that saved it can't be used any more.

        Raises: RuntimeError if an operation made it; ValueError if the array is read-only.
        """
        if self.context is not None:
            raise RuntimeError(
                "a tensor that an operation made can't be changed in place, the graph would not "
                "see it: write y = y + x instead of y += x, or change y.detach()"
            )
        writable(self.data)
        self.version.count += 1

    # -- the calculus: see ops.py ----------------------------------------------------------

    def __add__(self, other: Any) -> Tensor:
        return ops.Add.apply(self, as_tensor(other, self))

    def __sub__(self, other: Any) -> Tensor:
        return ops.Subtract.apply(self, as_tensor(other, self))

    def __mul__(self, other: Any) -> Tensor:
        return ops.Multiply.apply(self, as_tensor(other, self))

    def __truediv__(self, other: Any) -> Tensor:
        return ops.Divide.apply(self, as_tensor(other, self))

    def __rsub__(self, other: Any) -> Tensor:
        return as_tensor(other, self) - self

    def __rtruediv__(self, other: Any) -> Tensor:
        return as_tensor(other, self) / self

    def __rmatmul__(self, other: Any) -> Tensor:
        return as_tensor(other, self) @ self

    __radd__, __rmul__ = __add__, __mul__

    def __matmul__(self, other: Any) -> Tensor:
        return ops.MatMul.apply(self, as_tensor(other, self))

    def __neg__(self) -> Tensor:
        return ops.Multiply.apply(self, as_tensor(-1.0, self))

    def __pow__(self, exponent: float) -> Tensor:
        return ops.Power.apply(self, exponent=accepting.exponent(exponent))

    def __getitem__(self, index: Any) -> Tensor:
        return ops.GetItem.apply(self, index=index)

    def exp(self) -> Tensor:
        """e to the power of every element."""
        return ops.Exp.apply(self)

    def log(self) -> Tensor:
        """Natural logarithm of every element."""
        return ops.Log.apply(self)

    def sum(self, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> Tensor:
        """Sum over some axes, or all."""
        return ops.Sum.apply(self, axis=axis, keepdims=keepdims)

    def reshape(self, *shape: int | tuple[int, ...]) -> Tensor:
        """The same elements in another shape; one -1 is worked out."""
        return ops.Reshape.apply(self, shape=one_by_one(shape))

    def transpose(self, *axes: int | tuple[int, ...]) -> Tensor:
        """The axes in another order; reversed if none are given."""
        return ops.Transpose.apply(self, axes=one_by_one(axes) or tuple(reversed(range(self.ndim))))


def as_tensor(value: Any, like: Tensor) -> Tensor:
    """A tensor as it is; numbers and lists become constants of the other operand's dtype."""
    if isinstance(value, Tensor):
        return value
    return Tensor(value if is_array(value) else alike(numeric(value), like.data))
