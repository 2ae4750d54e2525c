"""Functions of several tensors, or of a tensor and its surroundings; see `more_ops.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..common.expecting import expects, must_be
from ..kernels.devices import is_array, move
from . import more_ops
from .accepting import array_of
from .tensor import Tensor, as_tensor


@expects(tensors=Sequence, axis=int)
def concatenate(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Join tensors along an axis; their other axes must be equal."""
    if not len(tensors):
        raise ValueError("concatenate: there are no tensors to join")
    return more_ops.Concatenate.apply(*tensors, axis=axis)


@expects(tensors=Sequence, axis=int)
def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Join tensors of one shape along a new axis."""
    if not len(tensors):
        raise ValueError("stack: there are no tensors to join")
    for tensor in tensors:
        must_be(Tensor, tensor, "stack: each of the tensors")
    axis = range(tensors[0].ndim + 1)[axis]
    shapes = ((*t.shape[:axis], 1, *t.shape[axis:]) for t in tensors)
    return concatenate([t.reshape(*s) for t, s in zip(tensors, shapes, strict=True)], axis)


@expects(x=Tensor, value=float)
def pad(x: Tensor, widths: Any, value: float = 0.0) -> Tensor:
    """A border of `value`: `widths` as in NumPy, a (before, after) for each axis, or one for all.

    Images (N, H, W, C) get a border of one pixel by `((0, 0), (1, 1), (1, 1), (0, 0))`.
    """
    try:
        pairs = np.broadcast_to(widths, (x.ndim, 2)).tolist()
    except ValueError:
        pairs = [[None]]
    if any(type(width) is not int or width < 0 for pair in pairs for width in pair):
        raise ValueError(f"pad: widths must be whole numbers, at least 0, but are {widths}")
    return more_ops.Pad.apply(x, widths=list(map(tuple, pairs)), value=value)


def where(condition: Any, a: Tensor | float, b: Tensor | float) -> Tensor:
    """`a` where the condition, an array of bools, holds, else `b`; one of them is a tensor."""
    like = a if isinstance(a, Tensor) else b
    if not isinstance(like, Tensor):
        raise TypeError("where: a or b must be a Tensor (np.where works on arrays and numbers)")
    condition = move(condition if is_array(condition) else array_of(condition), like.device)
    if condition.dtype != bool:
        raise TypeError(
            f"where: the condition must be an array of bools, such as x > 0, but holds "
            f"{condition.dtype}"
        )
    return more_ops.Where.apply(as_tensor(a, like), as_tensor(b, like), condition=condition)
