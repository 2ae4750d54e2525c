"""What maps are stored as, in the precision that is in force; see `kernels/precision.py`.

In bfloat16 a network's images become maps where its first convolution reads them, and numbers again
where they are averaged, or where a linear layer or the loss reads them.
"""

from __future__ import annotations

from typing import Any

from ..autograd import Context, Function, Tensor
from ..autograd.function import Array
from ..kernels import precision
from ..kernels.dtypes import FLOAT32, bfloat16, is_bfloat16


class Convert(Function):
    """The same values, to rounding, as another dtype."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, dtype: Any) -> Array:
        return x.astype(dtype)

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        return grad.astype(ctx.dtypes[0])


def as_map(x: Tensor) -> Tensor:
    """x as maps are stored. ValueError where the precision in force can't be had."""
    in_bfloat16 = precision.current() == "bfloat16"
    if not in_bfloat16 or not isinstance(x, Tensor) or x.dtype != FLOAT32:
        return x
    if reason := precision.why_no_bfloat16(x.device):
        raise ValueError(reason)
    return Convert.apply(x, dtype=bfloat16())


def as_numbers(x: Tensor) -> Tensor:
    """x for operations that read no maps: float32 instead of bfloat16."""
    is_map = isinstance(x, Tensor) and is_bfloat16(x.dtype)
    return Convert.apply(x, dtype=FLOAT32) if is_map else x
