"""What tensors and operations accept, and the sentences for everything else."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from ..kernels.devices import as_array, is_array, may_share_memory, shared_device
from ..kernels.dtypes import FLOAT32, is_bfloat16


def is_tensor(value: Any) -> bool:
    """Whether it is a Tensor. That class needs this module, so it is imported at the call."""
    from .tensor import Tensor

    return isinstance(value, Tensor)


def float_array(data: Any) -> np.ndarray:
    """Numbers and lists as float32; arrays as they are, if they hold float32 or float64."""
    if not is_array(data) and not isinstance(data, np.generic):
        if is_tensor(data):
            raise TypeError(
                "Tensor(...) takes an array, but got a Tensor: use it as it is, or .detach()"
            )
        return np.asarray(numeric(data), np.float32)
    if data.dtype not in (np.float32, np.float64) and not is_bfloat16(data.dtype):
        raise TypeError(
            f"a Tensor holds float32 or float64, but got {data.dtype}: "
            "convert with .astype(np.float32) (labels stay plain integer arrays)"
        )
    return as_array(data)


def numeric(value: Any) -> Any:
    """A number or a list of numbers as it is; TypeError that names anything else."""
    if isinstance(value, int | float):
        return value
    if holds_tensors(value):
        raise TypeError("a list of tensors is not a tensor: minires.stack(tensors) makes one")
    if array_of(value).dtype.kind not in "biuf":
        raise TypeError(
            f"expected a Tensor, an array or numbers, but got {type(value).__name__} "
            f"({value!r:.60})"
        )
    return value


def array_of(value: Any) -> np.ndarray:
    """A list as an array; ValueError for one whose rows differ in length."""
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(
            f"a list must have rows of one length, but got {value!r:.60}: pad the "
            "shorter ones, or make a Tensor of each"
        ) from None


def must_hold_values(name: str, array: Any, axis: Any) -> None:
    """Refuse a choice among nothing, or its mean: along these axes (None: all) is no value."""
    along = range(array.ndim) if axis is None else np.atleast_1d(axis)
    if not array.size and not all(array.shape[one] for one in along):
        raise ValueError(f"{name}: there is no value in {array.shape}: is the batch empty?")


def holds_tensors(value: Any) -> bool:
    """Whether it is a tensor, or a list with tensors in it, however deep."""
    nested = isinstance(value, list | tuple)
    return any(map(holds_tensors, value)) if nested else is_tensor(value)


def exponent(value: Any) -> float:
    """The exponent of a power as a number of Python's, which changes no dtype."""
    if not isinstance(value, numbers.Real):
        raise TypeError(
            f"a power's exponent must be a number, but is {type(value).__name__}: for a tensor b "
            "write (x.log() * b).exp()"
        )
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def one_by_one(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes or axes, given one by one or as one tuple."""
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes


def arrays_of(
    name: str, inputs: tuple[Any, ...], takes_parameters: bool = False
) -> list[np.ndarray | None]:
    """The arrays of tensors, which share dtype and device: nothing is cast or copied silently.

    None stands for an input left out. An operation that `takes_parameters` takes float32 beside
    maps in bfloat16; its kernels look which is which.
    """
    from .tensor import Tensor  # as in is_tensor, but once for all inputs

    for t in inputs:
        if not isinstance(t, Tensor) and t is not None:
            raise TypeError(
                f"{name} takes tensors, but got {type(t).__name__}: make one of an array, "
                "Tensor(array)"
            )
    arrays = [None if t is None else t.data for t in inputs]
    given = [array for array in arrays if array is not None]
    shared_device(name, *given)
    dtypes = [array.dtype for array in given]
    if takes_parameters and is_bfloat16(dtypes[0]):
        dtypes = [dtype for dtype in dtypes if dtype != FLOAT32]
    if len(set(dtypes)) > 1:
        raise TypeError(
            f"{name}: all tensors must share a dtype, but have {', '.join(map(str, dtypes))}: "
            "make them with the same dtype"
        )
    return arrays


def result_of(what: str, result: Any) -> np.ndarray:
    """What an operation's forward returned; TypeError if it is not an array."""
    if not is_array(result) and not isinstance(result, np.generic):
        missing = ": is its `return` missing?" if result is None else ""
        raise TypeError(
            f"{what} must return an array, but returned {type(result).__name__}{missing}"
        )
    return result  # type: ignore[return-value]


def shared_version(data: np.ndarray, inputs: tuple[Any, ...]) -> Any:
    """The version counter of the input that the result is a view of, if it is one."""
    if is_array(data) and (data.base is not None or not data.flags.owndata):
        for tensor in inputs:
            if tensor is not None and may_share_memory(data, tensor.data):
                return tensor.version
    return None
