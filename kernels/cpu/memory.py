"""Arrays for results and scratch space for chunks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .compiling import helper

Array = npt.NDArray[np.float32]
Ints = npt.NDArray[np.integer]
Shape = Sequence[int]

LINE = 16  # floats in a cache line


def empty(shape: Shape) -> Array:
    """A float32 array, not filled."""
    return np.empty(shape, np.float32)


@helper
def scratch(size):
    """Floats for a chunk to work in, from a cache line's start: no vector lies across two."""
    buffer = np.empty(size + LINE, np.float32)
    skip = (-(buffer.ctypes.data // 4)) % LINE
    return buffer[skip : skip + size]
