"""Arrays for results and scratch space for chunks.

Fresh memory is slow: the system clears every page at the first access. That takes about 0.25 ms per
megabyte, as long as a convolution takes to fill it. The C library returns large arrays to the
system when they are freed, so each training step would pay again. `keep_freed_memory` prevents
that.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..dtypes import FLOAT32, is_bfloat16
from .compiling import helper
from .simd import pointer

Array = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer]
Shape = Sequence[int]

LINE = 16  # floats in a cache line
# for arguments left out
NO_FLOATS, NO_DOUBLES = np.empty(0, np.float32), np.empty((0, 0))
NO_BITS: Any = np.empty(0, np.uint16)  # instead of maps


def empty(shape: Shape, dtype: np.dtype[Any] = FLOAT32) -> Array:
    """An uninitialised array at the start of a cache line, so that no vector crosses two lines."""
    size, line = math.prod(shape) * dtype.itemsize, 4 * LINE
    buffer: Any = np.empty(size + line, np.uint8)
    # the array's own `ctypes.data` takes five times as long; a step comes here hundreds of times
    skip = -ctypes.addressof(ctypes.c_char.from_buffer(buffer)) % line
    return buffer[skip : skip + size].view(dtype).reshape(shape)


def flat(array: Array) -> Any:
    """The array as kernels take it: one axis, and bfloat16, unknown to Numba, as its bits."""
    line = array.reshape(-1)
    return line.view(np.uint16) if is_bfloat16(array.dtype) else line


def no_map(dtype: np.dtype[Any]) -> Any:
    """For a map that is left out, where kernels take others of this dtype."""
    return NO_BITS if is_bfloat16(dtype) else NO_FLOATS


@helper
def scratch(size):
    """`empty` for kernels: scratch space of a chunk, in floats."""
    buffer = np.empty(size + LINE, np.float32)
    skip = (-(buffer.ctypes.data // 4)) % LINE
    return buffer[skip : skip + size]


@helper
def part(room, start):
    """Pointer to float `start` of scratch space."""
    return pointer(room[start:])


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # names and numbers from glibc's malloc.h


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next arrays of this process; glibc only."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
        is_glibc = hasattr(ctypes.CDLL(None), "gnu_get_libc_version")
    except (AttributeError, OSError, TypeError):
        return
    if is_glibc:
        mallopt(M_MMAP_MAX, 0)  # large arrays come from the heap, not from fresh pages
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)  # and the heap does not shrink when they are freed
