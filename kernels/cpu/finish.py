"""What batch norm does to a convolution's result while it is in cache.

A convolution may take a `Finish`. It is applied to each chunk of the result, a run of pixels,
before the chunk leaves the cache: its moments are gathered (training), or it is normalised
(evaluation). That saves reading the result from memory again. A map in bfloat16 is rounded here,
and nowhere before; its moments are those of the rounded values.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .batch_norm import chunk_moments
from .compiling import helper
from .memory import NO_DOUBLES, NO_FLOATS, Array, Doubles, flat, no_map
from .simd import (
    LANES,
    broadcast,
    cut_below_zero,
    fma,
    load_lanes,
    pointer,
    rounds,
    store_lanes,
)


class Finish(NamedTuple):
    """What is done to the chunks of a result; see `finished` and `chunk_moments`."""

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


def typed(finish: Finish, x: Array) -> Finish:
    """With a residual of x's dtype, be it an empty one: then kernels are compiled once."""
    return finish if finish.has_residual else finish._replace(residual=no_map(x.dtype))


def adding(other: Array | None) -> Finish:
    """What adds another map before the sum is rounded."""
    return NOTHING if other is None else Finish(residual=flat(other), has_residual=True)


@helper
def norm_terms(finish, c, lanes):
    """`(mean, scale, beta)` of the channels from c, if sums are normalised."""
    zero = broadcast(np.float32(0))
    if not finish.normalise:
        return zero, zero, zero
    return (
        load_lanes(pointer(finish.mean), c, lanes),
        load_lanes(pointer(finish.scale), c, lanes),
        load_lanes(pointer(finish.beta), c, lanes),
    )


@helper
def finished(value, finish, terms, at, lanes):
    """A sum normalised, with the residual added and ReLU applied, if wanted: rounded only then."""
    if finish.normalise:
        value = fma(value - terms[0], terms[1], terms[2])
    if finish.has_residual:
        value += load_lanes(pointer(finish.residual), at, lanes)
    return cut_below_zero(value) if finish.relu else value


@helper
def finish_chunk(finish, chunk, sums, y, channels, first, last, begin, end):
    """Channels begin .. end of pixels first .. last of y, from their sums (see `sums.py`)."""
    if finish.moments:
        means, squares = finish.means[chunk], finish.squares[chunk]
        for c in range(begin, end, LANES):
            chunk_moments(sums, y, channels, first, last, c, means, squares)
    elif finish.normalise or finish.has_residual or rounds(y):
        for p in range(first, last):
            for c in range(begin, end, LANES):
                at, lanes = p * channels + c, channels - c
                value = load_lanes(sums, at, lanes)
                value = finished(value, finish, norm_terms(finish, c, lanes), at, lanes)
                store_lanes(value, y, at, lanes)
