"""A weight as the right-hand matrix of a product, in panels of 16 columns; see `tile.py`.

A panel holds all rows of 16 columns, one row after the other, so that a product reads it as one
stream. Element (k, c) of a matrix of `depth` rows is float (c // 16 * depth + k) * 16 + c % 16.
Zeros fill the last panel. A weight g (kh, kw, C_in, C_out) is a matrix whose rows are numbered
(kernel row, kernel column, input channel). Three matrices are made from it:

    panels       g itself: y = windows of x @ g
    turned       the kernel rotated by 180 degrees, channels exchanged: at stride 1
                 dx = windows of dy @ turned
    transposed   g.T: the gradient of the windows of x = dy @ g.T

The idea alone, in forty lines: `kernels/ladder/conv5_panels.py`.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numba import prange

from ..dtypes import FLOAT32, is_bfloat16
from .compiling import helper, parallel_kernel
from .dealing import dealt, divided
from .memory import Array, Ints, empty
from .simd import LANES, load_lanes, pointer, rounded, store, store_lanes
from .tile import COLUMNS, round_up
from .window import load_between

PACKED_ROWS = 32  # rows of the weight that are packed together
RUN = 1 << 12  # floats of it that are rounded together
Starts = Iterable[tuple[int, int]]


def once_for_constants(pack: Callable[[Array], Array]) -> Callable[..., Array]:
    """Let a function that reorders a weight keep its results for constant weights.

    An array is constant if it lies in a bytes object, such as a folded network's weight: nobody can
    make it writable, while the flag of other read-only arrays may be set and taken back. A result
    is dropped together with its weight. Called with the dtype of maps, the function gets the weight
    as their factor.
    """
    kept: dict[tuple[int, np.dtype[Any]], Array] = {}

    @functools.wraps(pack)
    def packed(weight: Array, dtype: np.dtype[Any] = FLOAT32) -> Array:
        if not isinstance(weight.base, bytes):
            return pack(as_factor(weight, dtype))
        key = id(weight), dtype
        if key not in kept:
            writable = weight.copy()  # kernels are compiled for writable arrays
            kept[key] = pack(as_factor(writable, dtype))
            weakref.finalize(weight, kept.pop, key, None)
        return kept[key]

    return packed


def as_factor(weight: Array, dtype: np.dtype[Any]) -> Array:
    """A weight as maps of this dtype are multiplied by it: in float32, rounded to their digits."""
    if not is_bfloat16(dtype):
        return weight
    rounded = empty(weight.shape)
    round_kernel(weight.ravel(), rounded.reshape(-1))
    return rounded


@once_for_constants
def panels(weight: Array) -> Array:
    """(kh, kw, C_in, C_out) -> [C_out / 16][kh * kw * C_in][16]."""
    channels = weight.shape[3]
    packed = empty((round_up.py_func(channels, COLUMNS) * (weight.size // channels),))
    pack_kernel(weight.ravel(), channels, packed)
    return packed


def turned(weight: Array) -> Array:
    """(kh, kw, C_in, C_out) -> [C_in / 16][kh * kw * C_out][16].

    The rotation reverses the order of the taps; the first row of each is a multiple of C_in.
    """
    rows, cols, before, _ = weight.shape
    taps = [tap * before for tap in reversed(range(rows * cols))]
    return packed_transposed(
        weight, ((tap + c, tap + before) for c in range(0, before, COLUMNS) for tap in taps)
    )


def transposed(weight: Array) -> Array:
    """(kh, kw, C_in, C_out) -> [kh * kw * C_in / 16][C_out][16]."""
    rows = weight.size // weight.shape[3]
    return packed_transposed(weight, ((k, rows) for k in range(0, rows, COLUMNS)))


def packed_transposed(weight: Array, starts: Starts) -> Array:
    """Pack 16 rows of a weight as 16 columns, for every `(first row, one past the last)`."""
    rows: Ints = np.array(list(starts), np.int64)
    packed = empty((len(rows) * weight.shape[3] * COLUMNS,))
    pack_transposed_kernel(weight.ravel(), rows, weight.shape[3], packed)
    return packed


@parallel_kernel
def round_kernel(weight, result):
    """A weight rounded to bfloat16; a chunk is a run of it."""
    work = divided((len(weight) + RUN - 1) // RUN)
    for thread in prange(len(work)):
        for chunk in dealt(work, thread):
            last = min(len(weight), (chunk + 1) * RUN)
            for i in range(chunk * RUN, last, LANES):
                value = rounded(load_lanes(pointer(weight), i, last - i))
                store_lanes(value, pointer(result), i, last - i)


@parallel_kernel
def pack_kernel(weight, channels, packed):
    """A chunk is so few rows that they stay in the L1 cache from one panel to the next."""
    depth = len(weight) // channels
    work = divided((depth + PACKED_ROWS - 1) // PACKED_ROWS)
    for thread in prange(len(work)):
        for i in dealt(work, thread):
            first, last = i * PACKED_ROWS, min(depth, (i + 1) * PACKED_ROWS)
            for c in range(0, round_up(channels, COLUMNS), LANES):
                panel = c // COLUMNS * depth
                for k in range(first, last):
                    row = load_between(pointer(weight), k * channels + c, 0, channels - c)
                    store(row, pointer(packed), (panel + k) * COLUMNS + c % COLUMNS)


@parallel_kernel
def pack_transposed_kernel(weight, rows, channels, packed):
    """A chunk is 16 rows of the weight: a run of rows of one panel."""
    work = divided(len(rows))
    for thread in prange(len(work)):
        for i in dealt(work, thread):
            first, end = rows[i]
            transpose_rows(
                pointer(weight),
                first,
                end - first,
                channels,
                pointer(packed),
                i * channels * COLUMNS,
            )


@helper
def transpose_rows(weight, first, count, channels, packed, at):
    """Write 16 rows of a weight, of which `count` exist, as 16 columns."""
    for j in range(COLUMNS):
        for c in range(channels):
            value = weight[(first + j) * channels + c] if j < count else np.float32(0)
            packed[at + c * COLUMNS + j] = value
