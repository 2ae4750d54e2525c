"""The GPU that tests run on: the stand-in of `tests/cuda`, or with `pytest -m gpu` a real one.

`pytest -m gpu` runs the tests marked `cuda`, the same ones, through the real CuPy.
"""

from __future__ import annotations

import importlib
import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from minires.kernels import cuda, devices
from minires.kernels.cuda import launch

from .cuda import fake_cupy
from .cuda.emulator import compiler

BACKEND = "MINIRES_TEST_BACKEND"  # "cupy": the real one
IN_PLACE = ("sgd_step", "tally", "update_running_statistics")
ORDERS = itertools.cycle(range(4))  # of the threads: forward, backward, two random ones


def is_real() -> bool:
    """Whether tests run on real hardware."""
    return os.environ.get(BACKEND) == "cupy"


def why_not() -> str:
    """Why tests on this GPU can't run, or an empty string."""
    if is_real():
        return devices.why_no_cuda()
    return "" if compiler() else "no C++ compiler: install g++"


@contextmanager
def gpu(mode: str = "fast", *, order: int = 0) -> Iterator[Any]:
    """A GPU, and the CuPy that reaches it; `mode` and `order` are the stand-in's."""
    if is_real():
        yield importlib.import_module("cupy")
        return
    with fake_cupy.installed(mode, order=order) as cupy:
        try:
            yield cupy
        except Exception:
            launch.counters_of_stream.cache_clear()  # a kernel that stopped leaves them as they are
            raise


class OnDevice:
    """The CUDA kernels for the tests of all kernels: NumPy arrays in, NumPy arrays out.

    On the stand-in every access to memory is checked. About half of all calls get arrays that do
    not lie at multiples of 16 bytes. Products of float32 run on tensor cores, or on threads.
    """

    def __init__(self, *, tensor_cores: bool = True) -> None:
        self.tensor_cores = tensor_cores

    def __getattr__(self, name: str) -> Any:
        if name not in cuda.__all__:
            raise AttributeError(name)

        def call(*arrays: Any, **settings: Any) -> Any:
            with products_on(self.tensor_cores), gpu("check", order=next(ORDERS)) as cupy:
                offset = 64 if size_of(arrays) % 2 else 19
                moved = [place(cupy, a, offset) for a in arrays]
                named = {key: place(cupy, a, offset) for key, a in settings.items()}
                results = getattr(cuda, name)(*moved, **named)
                if name in IN_PLACE:
                    copy_back(arrays, moved)
                copy_back(settings.get("running"), named.get("running"))
                return to_host(results)

        return call


def same_kind(value: tuple, items: Iterable[Any]) -> Any:
    """The items as a tuple, or as the record that the value is."""
    return type(value)(*items) if hasattr(value, "_fields") else tuple(items)


def size_of(value: Any) -> int:
    """Elements of an array, or of all that a tuple holds."""
    if isinstance(value, tuple):
        return sum(map(size_of, value))
    return value.size if isinstance(value, np.ndarray) else 0


@contextmanager
def products_on(tensor_cores: bool) -> Iterator[None]:
    """Within, products of float32 run on tensor cores, or on threads as on older GPUs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIRES_TENSOR_CORES", str(int(tensor_cores)))
        yield


@contextmanager
def quick_gpu() -> Iterator[Any]:
    """A GPU for tests of what lies above the kernels.

    The stand-in multiplies on threads: its tensor cores take ten times as long.
    """
    with gpu() as cupy, products_on(is_real()):
        yield cupy


def place(cupy: Any, value: Any, offset: int = 64) -> Any:
    """A copy on the device, of an array or several, with NaNs around it."""
    if isinstance(value, tuple):
        return same_kind(value, (place(cupy, item, offset) for item in value))
    if not isinstance(value, np.ndarray):
        return value
    outside = np.nan if value.dtype.kind in "fV" else 0  # V: bfloat16
    buffer = np.full(value.size + offset + 64, outside, value.dtype)
    turned = value.ndim > 1 and not value.flags.c_contiguous
    stored = value.swapaxes(-1, -2) if turned else value
    buffer[offset : offset + value.size] = stored.ravel()
    copy = cupy.asarray(buffer)[offset : offset + value.size].reshape(stored.shape)
    return copy.swapaxes(-1, -2) if turned else copy


def copy_back(arrays: Any, changed: Any) -> None:
    """Put what a kernel has changed in place into the arrays that its own are copies of."""
    if isinstance(arrays, tuple):
        for pair in zip(arrays, changed, strict=True):
            copy_back(*pair)
    elif isinstance(arrays, np.ndarray):
        arrays[...] = changed.get()


def to_host(results: Any) -> Any:
    """Arrays of a result, and of records in it, as NumPy's."""
    if isinstance(results, tuple):
        return same_kind(results, map(to_host, results))
    return devices.to_host(results)
