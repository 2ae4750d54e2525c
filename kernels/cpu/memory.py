"""Arrays for results and scratch space for chunks.

Fresh memory is slow: the system clears every page at the first touch, about 0.25 ms a megabyte,
as long as a convolution takes to fill it. The C library gives large arrays back to the system when
they are freed, so each training step would pay again. `keep_freed_memory` tells it not to.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .compiling import helper
from .simd import pointer

Array = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer]
Shape = Sequence[int]

LINE = 16  # floats in a cache line
NO_FLOATS, NO_DOUBLES = np.empty(0, np.float32), np.empty((0, 0))  # for what a kernel is not given


def empty(shape: Shape) -> Array:
    """A float32 array, not filled, from a cache line's start: no vector lies across two."""
    size = math.prod(shape)
    buffer = np.empty(size + LINE, np.float32)
    skip = -(buffer.__array_interface__["data"][0] // buffer.itemsize) % LINE
    return buffer[skip : skip + size].reshape(shape)


@helper
def scratch(size):
    """`empty` for kernels: floats for a chunk to work in."""
    buffer = np.empty(size + LINE, np.float32)
    skip = (-(buffer.ctypes.data // 4)) % LINE
    return buffer[skip : skip + size]


@helper
def part(room, start):
    """Pointer to the floats of scratch space from `start`."""
    return pointer(room[start:])


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # names and numbers from glibc's malloc.h


def keep_freed_memory() -> None:
    """Let the C library keep what this process frees, for its next arrays; only glibc can."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
        is_glibc = hasattr(ctypes.CDLL(None), "gnu_get_libc_version")
    except (AttributeError, OSError, TypeError):
        return
    if is_glibc:
        mallopt(M_MMAP_MAX, 0)  # large arrays come from the heap, not from fresh pages
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)  # and the heap is not cut when they are freed
