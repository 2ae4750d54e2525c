"""A leaf whose gradient has a place: on a GPU the gradients of all parameters lie side by side."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from ..autograd.function import Array


class LeafWithBuffer(Tensor):
    """A leaf whose gradient is written into `grad_buffer`, where an optimiser has given it one.

    A backward pass lends the buffer to one operation, whose kernel writes the gradient there. The
    gradients of other operations that use the leaf are added to it. On a CPU there is no buffer.
    """

    __slots__ = ("buffer_is_lent", "grad_buffer")

    def __init__(self, data: Any, **options: Any) -> None:
        super().__init__(data, **options)
        self.grad_buffer: Array | None = None
        self.buffer_is_lent = False

    def lend_grad_buffer(self) -> Array | None:
        """The buffer; None if a gradient is there already, or another operation has borrowed it."""
        if self.buffer_is_lent or self.grad is not None or self.grad_buffer is None:
            return None
        self.buffer_is_lent = True
        return self.grad_buffer

    def accumulate(self, grad: Array) -> None:
        """Add to the gradient, which starts in the buffer."""
        self.buffer_is_lent = False
        if self.grad is None and self.grad_buffer is not None:
            if grad is not self.grad_buffer:
                self.grad_buffer[...] = grad
            self.grad = self.grad_buffer
        else:
            super().accumulate(grad)
