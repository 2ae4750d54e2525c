"""The dtypes of arrays. For maps in bfloat16 see `precision.py`.

NumPy has no such dtype: it comes from `ml_dtypes`, which is loaded at the first use.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

import numpy as np

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


@functools.cache
def bfloat16() -> np.dtype[Any]:
    """The dtype of 16 bits with the exponent of a float32. ImportError without `ml_dtypes`."""
    return np.dtype(importlib.import_module("ml_dtypes").bfloat16)


def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    """Whether it is that dtype; NumPy has none with this character of its own."""
    return dtype.char == "E"
