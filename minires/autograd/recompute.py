"""Memory for time: keep nothing between input and result, and compute it again for the gradient.

A residual network's memory is what its blocks keep for the backward pass. A block that is
recomputed keeps its input and its result, the next block's input: `recompute(block, x)` is
`block(x)`, bit for bit, with the same gradients, at the price of one more forward pass (Chen et al.
2016, "Training deep nets with sublinear memory cost").
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import numpy as np

from ..common.expecting import expects
from ..kernels.devices import is_cuda
from .function import Array, Context, Function, no_grad, recording
from .tensor import Tensor

_second_time: ContextVar[bool] = ContextVar("second_time", default=False)


def is_second_time() -> bool:
    """Whether a recomputed function runs again: counters and averages have moved already."""
    return _second_time.get()


@expects(f=Callable)
def recompute(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`f(x)`, run again in the backward pass instead of keeping what it computes on the way.

    `f` takes one tensor. Other tensors that it uses must be leaves, such as parameters, which get
    their gradients. Hooks inside of `f` are called both times. Where `x` needs no gradient, nothing
    is saved by this and `f(x)` is run as usual.

    Raises: TypeError if `x` is not a tensor. In backward: RuntimeError if the second result differs
        from the first, because something that `f` uses has been changed in between.
    """
    if isinstance(x, Tensor) and not x.requires_grad:
        return f(x)
    return Recompute.apply(x, f=f)


class Recompute(Function):
    """Any function of one tensor, forward without a graph, backward with one of its own."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, f: Callable[[Tensor], Tensor]) -> Array:
        """The result, and nothing of what leads to it."""
        with no_grad():
            y = f(Tensor(x)).data
        ctx.save(x=x, f=f, y=y)
        return y

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array | None:
        """The same again with a graph, and back through it; parameters get theirs on the way."""
        x = Tensor(ctx.saved.x, requires_grad=True)
        with second_time(), recording():
            y = ctx.saved.f(x)
            refuse_another_result(ctx.saved.y, y.data)
            y.backward(grad)
        return x.grad


def refuse_another_result(first: Array, second: Array) -> None:
    """Compare some values of both runs, which are the same bits if nothing has changed.

    Not on a GPU, where a look at every block would make host and device wait for each other.
    """
    if is_cuda(first):
        return
    some = slice(None, None, (first.size // 4096) | 1)  # odd: all channels take part
    if not np.array_equal(first.ravel()[some], second.ravel()[some], equal_nan=True):
        raise RuntimeError(
            "recompute: the second run gave another result than the first, so its gradients would "
            "be wrong: parameters, the mode (train or eval), hooks and everything else that it "
            "uses must stay as they are until backward() is done"
        )


@contextlib.contextmanager
def second_time() -> Iterator[None]:
    """Within, `is_second_time()` is true."""
    token = _second_time.set(True)
    try:
        yield
    finally:
        _second_time.reset(token)
