"""From Python to a kernel: compiled at its first use, kept, and launched without waiting.

What a launch passes has exactly the type that the kernel declares, since CuPy converts nothing:
arrays and None as pointers, whole numbers as 64-bit integers, `bool`, and scalars of the array's
dtype made by `scalar`.
"""

from __future__ import annotations

import functools
import os
from typing import Any

from .. import precision
from ..devices import namespace
from . import source

THREADS = 256
TYPE_NAMES = {"f": "float", "d": "double"}  # by dtype.char


@functools.cache
def module(cupy: Any, name: str, variant: str) -> Any:
    """A compiled file; CuPy keeps the machine code on disk for the next time."""
    return cupy.RawModule(
        code=source.text(name),
        options=source.OPTIONS,
        name_expressions=source.kernels_of(name, variant),
    )


@functools.cache
def function(cupy: Any, module_name: str, kernel: str) -> Any:
    """A kernel, ready to launch."""
    variant = source.variant_of(module_name, kernel)
    return module(cupy, module_name, variant).get_function(kernel)


def launch(
    module_name: str,
    kernel: str,
    grid: tuple[int, ...],
    *arguments: Any,
    threads: int = THREADS,
    shared: int = 0,
) -> None:
    """Start a kernel, with `shared` bytes of memory whose size it does not know; returns at once.

    An empty grid starts nothing.
    """
    if all(grid):
        ready = function(cupy_of(arguments), module_name, kernel)
        ready(grid, (threads,), arguments, shared_mem=shared)


def launch_over(count: int, module_name: str, kernel: str, *arguments: Any) -> None:
    """Start a kernel that gives a thread to each of `count` items."""
    launch(module_name, kernel, (blocks(count, THREADS),), *arguments)


def cupy_of(arguments: tuple[Any, ...]) -> Any:
    """The CuPy that these arrays belong to."""
    return next(namespace(a) for a in arguments if hasattr(a, "flags"))


def blocks(count: int, each: int) -> int:
    """How many blocks of `each` hold `count`."""
    return -(-count // each)


def type_name(array: Any) -> str:
    """The array's dtype as C++ calls it."""
    return TYPE_NAMES[array.dtype.char]


def scalar(value: float, array: Any) -> Any:
    """A number of the array's dtype, as kernels of it expect."""
    return array.dtype.type(value)


def empty(shape: tuple[int, ...], like: Any) -> Any:
    """A fresh array on the GPU, of the dtype of another."""
    return namespace(like).empty(shape, like.dtype)


def vector(*arrays: Any, sizes: tuple[int, ...] = ()) -> int:
    """How many values a thread moves at once: 4 where float32 lies at whole multiples of 16 bytes.

    `sizes` are the lengths of the lines that must not be split: the channels.
    """
    given = [array for array in arrays if array is not None]
    fits = all(size % 4 == 0 for size in sizes) and all(a.data.ptr % 16 == 0 for a in given)
    return 4 if fits and type_name(given[0]) == "float" else 1


# ------------------------------------------------------------------- arithmetic


def arithmetic(array: Any) -> str:
    """How products of these arrays are computed: a variant of `source`.

    `MINIRES_TENSOR_CORES=0` leaves them to the threads, for comparison.
    """
    if type_name(array) == "double":
        return "double"
    if os.environ.get("MINIRES_TENSOR_CORES") == "0" or not has_tensor_cores(namespace(array)):
        return "float"
    return "tf32" if precision.current() == "tf32" else "tf32x3"


@functools.cache
def has_tensor_cores(cupy: Any) -> bool:
    """Whether the GPU multiplies in TF32: Ampere and newer."""
    return int(cupy.cuda.Device().compute_capability) >= 80


# ------------------------------------------------------------------- sums over all blocks

COUNTERS = 1 << 16


@functools.cache
def counters_of_stream(cupy: Any, stream: int) -> Any:
    """Counters of arrivals for the kernels of a stream, which run one after the other.

    They are zero between launches: see `arrival.cuh`.
    """
    return cupy.zeros(COUNTERS, "uint32")


def counters(like: Any, sums: int, parts: int, group: int = 32) -> Any:
    """Counters for so many sums, each over so many parts, in groups."""
    cupy = namespace(like)
    if (wanted := sums * (1 + blocks(parts, group))) > COUNTERS:
        return cupy.zeros(wanted, "uint32")
    return counters_of_stream(cupy, cupy.cuda.get_current_stream().ptr)
