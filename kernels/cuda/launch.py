"""Launching kernels from Python: compiled at the first use, kept, and launched without waiting.

CuPy converts no arguments, so each must have exactly the type that the kernel declares: arrays and
None are pointers, whole numbers 64-bit integers, and `scalar` makes numbers of the array's dtype;
`bool` stays `bool`.
"""

from __future__ import annotations

import functools
import os
from typing import Any

from .. import precision
from ..devices import namespace
from ..dtypes import FLOAT32, is_bfloat16
from . import source

THREADS = 256
MOST_BESIDE_TILES = 8 << 10  # bytes of dynamic shared memory
TYPE_NAMES = {"f": "float", "d": "double", "E": "bfloat16"}  # by dtype.char
PACKS = {"float": 4, "double": 1, "bfloat16": 8}  # values of 16 bytes; doubles move one by one


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
    ready = module(cupy, module_name, variant).get_function(kernel)
    if tiles := source.dynamic_memory(kernel):
        ready.max_dynamic_shared_size_bytes = tiles + MOST_BESIDE_TILES
    return ready


def launch(
    module_name: str,
    kernel: str,
    grid: tuple[int, ...],
    *arguments: Any,
    threads: int = THREADS,
    shared: int = 0,
) -> None:
    """Launch a kernel, with `shared` bytes of shared memory besides its tiles; returns at once.

    An empty grid launches nothing.
    """
    if all(grid):
        ready = function(cupy_of(arguments), module_name, kernel)
        tiles = source.dynamic_memory(kernel)
        ready(grid, (threads,), arguments, shared_mem=tiles + shared)


def launch_over(count: int, module_name: str, kernel: str, *arguments: Any) -> None:
    """Launch a kernel with a thread for each of `count` items."""
    launch(module_name, kernel, (blocks(count, THREADS),), *arguments)


def cupy_of(arguments: tuple[Any, ...]) -> Any:
    """The CuPy that these arrays belong to."""
    return next(namespace(a) for a in arguments if hasattr(a, "flags"))


def blocks(count: int, each: int) -> int:
    """The number of blocks of `each` that hold `count`."""
    return -(-count // each)


def type_name(array: Any) -> str:
    """The array's dtype as C++ calls it."""
    return TYPE_NAMES[array.dtype.char]


def computed(array: Any) -> Any:
    """The dtype that kernels compute with: float32 for maps in bfloat16, else the array's."""
    return FLOAT32 if is_bfloat16(array.dtype) else array.dtype


def scalar(value: float, array: Any) -> Any:
    """A number of the dtype that kernels compute with, for this array."""
    return computed(array).type(value)


def empty(shape: tuple[int, ...], like: Any) -> Any:
    """A fresh array on the GPU, of the dtype of another."""
    return namespace(like).empty(shape, like.dtype)


def empty_numbers(shape: tuple[int, ...], like: Any) -> Any:
    """The same, of the dtype that kernels compute with: for what is no map."""
    return namespace(like).empty(shape, computed(like))


def vector(*arrays: Any, sizes: tuple[int, ...] = ()) -> int:
    """Values that a thread moves at once: 16 bytes of the first array, or 1 value.

    All arrays must lie at multiples of 16 bytes. `sizes` are the lengths of the lines that packs
    must not cross: the channels.
    """
    given = [array for array in arrays if array is not None]
    pack = PACKS[type_name(given[0])]
    fits = all(size % pack == 0 for size in sizes) and all(a.data.ptr % 16 == 0 for a in given)
    return pack if fits else 1


# ------------------------------------------------------------------- arithmetic


def arithmetic(array: Any) -> str:
    """The arithmetic of products of this array: a variant of `source`.

    `MINIRES_TENSOR_CORES=0` uses the threads' multiply-adds instead, for comparison.
    """
    if (name := type_name(array)) != "float":
        return name
    if os.environ.get("MINIRES_TENSOR_CORES") == "0" or not has_tensor_cores(namespace(array)):
        return "float"
    return "tf32x3" if precision.current() == "float32" else "tf32"


def refuse_bfloat16(name: str, array: Any) -> None:
    """Refuse maps in bfloat16 where there is no kernel for them."""
    if is_bfloat16(array.dtype):
        raise ValueError(
            f'{name} takes no bfloat16: convolve with algorithm "auto", and at most 15 x 15 taps, '
            "or convert with .astype(np.float32)"
        )


@functools.cache
def has_tensor_cores(cupy: Any) -> bool:
    """Whether the GPU multiplies in TF32: Ampere and newer."""
    return int(cupy.cuda.Device().compute_capability) >= 80


# ------------------------------------------------------------------- sums over all blocks

COUNTERS = 1 << 16


@functools.cache
def counters_of_stream(cupy: Any, stream: int) -> Any:
    """Arrival counters for the kernels of a stream, which run one after the other.

    They are zero between launches: see `arrival.cuh`.
    """
    return cupy.zeros(COUNTERS, "uint32")


def counters(like: Any, sums: int, parts: int, group: int = 32) -> Any:
    """Arrival counters for `sums` sums, each over `parts` parts in groups of `group`."""
    cupy = namespace(like)
    if (wanted := sums * (1 + blocks(parts, group))) > COUNTERS:
        return cupy.zeros(wanted, "uint32")
    return counters_of_stream(cupy, cupy.cuda.get_current_stream().ptr)
