"""Unpickling without trust: plain values and numeric NumPy arrays, and nothing that can run."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np


def arrays_only(content: bytes) -> Any:
    """The object in a pickle of dicts, lists, tuples, numbers, text, bytes and numeric arrays.

    A pickle is a program that may call any function it can name. Here it can name three, those
    that rebuild an array, and they are ours. Text written by Python 2 comes as bytes. Raises
    ValueError for a pickle that names anything else and for bytes that are no pickle.
    """
    try:
        return _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise ValueError(f"not a pickle of plain arrays ({error})") from error


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray"):  # NumPy 1, 2
            module = "multiarray"
        try:
            return _REBUILD[module, name]
        except KeyError:
            raise ValueError(f"it asks for {module}.{name}, which is refused") from None


def _array(subtype: object, shape: object, typecode: object) -> np.ndarray:
    """An empty array: the pickle fills in its shape, dtype and data next."""
    return np.empty(0, np.uint8)


def _dtype(code: bytes | str, *_: object) -> np.dtype:
    plain = np.dtype(code.decode() if isinstance(code, bytes) else code, copy=True)
    if plain.kind not in "biuf":
        raise ValueError(f"it holds an array of {plain}, not of numbers")
    return plain


_REBUILD: dict[tuple[str, str], Any] = {
    ("multiarray", "_reconstruct"): _array,
    ("numpy", "ndarray"): None,  # only ever handed to _reconstruct, which needs no subtype
    ("numpy", "dtype"): _dtype,
}
