"""Partial sums of a weight gradient, which is a sum over all pixels: threads make them.

They are added in order, and the shape alone decides their number. So the result has the same bits
for any number of threads.
"""

from __future__ import annotations

from .compiling import helper
from .simd import load, pointer

MAX_PARTS = 16
PART_FLOATS = 1 << 20  # of all parts together: 4 MB, unless one alone is larger


def at_most(size: int) -> int:
    """The most partial sums of `size` floats: at least two, unless they are large."""
    return max(2 if size <= PART_FLOATS else 1, min(MAX_PARTS, PART_FLOATS // max(size, 1)))


@helper
def sum_of_parts(parts, at):
    """The sum over all parts, in order, of the vector at `at`."""
    total = load(pointer(parts), at)
    for i in range(1, len(parts)):
        total += load(pointer(parts), i * parts.shape[1] + at)
    return total
