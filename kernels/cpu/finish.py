"""What batch norm does to a convolution's result while it is in cache.

A convolution may take a `Finish`. It is applied to each chunk of the result, a run of pixels,
before the chunk leaves the cache: the chunk's moments are gathered (training), or it is normalised
(evaluation). That saves reading the result from memory again.
"""

from __future__ import annotations

from typing import NamedTuple

from .batch_norm import chunk_moments, normalise_chunk
from .compiling import helper
from .memory import NO_DOUBLES, NO_FLOATS, Array, Doubles
from .simd import LANES, pointer


class Finish(NamedTuple):
    """What is done to the chunks of a result; see `chunk_moments` and `normalise_chunk`."""

    moments: bool = False
    means: Doubles = NO_DOUBLES  # (chunks, C), filled
    squares: Doubles = NO_DOUBLES
    normalise: bool = False
    mean: Array = NO_FLOATS
    scale: Array = NO_FLOATS
    beta: Array = NO_FLOATS
    residual: Array = NO_FLOATS
    has_residual: bool = False
    relu: bool = False


NOTHING = Finish()


@helper
def finish_chunk(finish, chunk, y, channels, first, last, begin, end):
    """Finish channels begin .. end of pixels first .. last; `chunk` is the number of the chunk."""
    if finish.moments:
        for c in range(begin, end, LANES):
            chunk_moments(y, channels, first, last, c, finish.means[chunk], finish.squares[chunk])
    if finish.normalise:
        normalise_chunk(
            y,
            pointer(finish.mean),
            pointer(finish.scale),
            pointer(finish.beta),
            pointer(finish.residual),
            finish.has_residual,
            finish.relu,
            y,
            channels,
            first,
            last,
            begin,
            end,
        )
