"""Elements picked by an index, and the way back, on a GPU with the same bits each time.

CuPy's `add.at` adds what meets in one element in any order. Here nothing meets on a GPU: elements
picked once are assigned, and where some are picked several times the host adds, in order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..kernels.devices import device_of, is_cuda, move, namespace, to_host
from .function import Array

Index = tuple[Any, ...]


def parts_of(index: Any) -> Index:
    """What an index says of each axis."""
    return index if isinstance(index, tuple) else (index,)


def beside(array: Array, index: Any) -> Index:
    """An index whose arrays of NumPy are where `array` is."""
    device = device_of(array)
    return tuple(move(p, device) if isinstance(p, np.ndarray) else p for p in parts_of(index))


def put_back(grad: Array, index: Any, shape: tuple[int, ...]) -> Array:
    """Zeros of this shape to which the gradient of picked elements was added."""
    on_host = tuple(map(to_host, parts_of(index)))
    if is_cuda(grad) and picks_once(on_host, shape):
        there = namespace(grad).zeros(shape, grad.dtype)
        there[beside(grad, index)] = grad
        return there
    total = np.zeros(shape, grad.dtype)
    np.add.at(total, on_host, to_host(grad))
    return move(total, device_of(grad))


def picks_once(parts: Index, shape: tuple[int, ...]) -> bool:
    """Whether an index picks no element of an array of this shape twice."""
    if all(part is None or part is ... or isinstance(part, int | slice) for part in parts):
        return True
    axes = axes_read(parts, len(shape))
    rows = np.arange(math.prod(shape[:axes])).reshape(shape[:axes])[parts]
    return len(np.unique(rows)) == rows.size


def axes_read(parts: Index, axes: int) -> int:
    """How many axes an index reads; all, where it does not read them in order."""
    if any(part is None or part is ... for part in parts):
        return axes
    arrays = [np.asarray(part) for part in parts if not isinstance(part, slice)]
    return len(parts) + sum(array.ndim - 1 for array in arrays if array.dtype == bool)
