"""A weight gradient is a sum over all pixels: threads make partial sums, which are added in order.

How many there are follows from the shape, so that the result has the same bits for any number of
threads.
"""

from __future__ import annotations

from .compiling import helper
from .simd import load, pointer

MAX_PARTS = 16
PART_FLOATS = 1 << 20  # of all parts together, 4 MB, unless one alone is larger


def at_most(size: int) -> int:
    """How many partial sums of `size` floats there may be; two for two threads, if it helps."""
    return max(2 if size <= PART_FLOATS else 1, min(MAX_PARTS, PART_FLOATS // max(size, 1)))


@helper
def sum_of_parts(parts, at):
    """The sum of a vector of all parts, in order."""
    total = load(pointer(parts), at)
    for i in range(1, len(parts)):
        total += load(pointer(parts), i * parts.shape[1] + at)
    return total
