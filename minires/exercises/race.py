"""Time and memory of the student's version beside the engine's."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .student import load
from .task import Exercise, describe

SECONDS, ROUNDS = 1.0, 200  # at most, for all contestants together
MIB = 2**20


@dataclass(frozen=True)
class RaceResult:
    """Medians in milliseconds, peaks of NumPy's arrays in MiB, all in float32.

    `reference` is the engine's plain NumPy, `engine` what training uses: compiled kernels, where
    there are any. Those are compared in time only: their scratch space is not NumPy's.
    """

    what: str
    yours_ms: float
    yours_mib: float
    reference_ms: float
    reference_mib: float
    engine_ms: float


def race(exercise: Exercise, path: Path) -> RaceResult | None:
    """Measure; None for an exercise that has nothing to measure."""
    if exercise.race is None:
        return None
    arguments = exercise.race.arguments(np.random.default_rng(0))
    values = tuple(arguments.values())
    yours = getattr(load(path), exercise.race.function)
    contestants = (yours, exercise.race.reference, exercise.race.engine)
    yours_ms, reference_ms, engine_ms = medians_ms(contestants, values)
    what = ", ".join(map(describe, arguments, values))
    return RaceResult(
        f"{exercise.race.function} with {what}",
        yours_ms,
        peak_mib(yours, values),
        reference_ms,
        peak_mib(exercise.race.reference, values),
        engine_ms,
    )


def medians_ms(
    contestants: Sequence[Callable[..., Any]], arguments: tuple[Any, ...]
) -> list[float]:
    """Median time of a call of each, taking turns, after one each that warms up (or compiles)."""
    for f in contestants:
        f(*arguments)
    rounds: list[list[float]] = []
    while not rounds or (np.sum(rounds) < SECONDS and len(rounds) < ROUNDS):
        rounds.append([seconds(f, arguments) for f in contestants])
    return [1e3 * float(median) for median in np.median(rounds, axis=0)]


def seconds(f: Callable[..., Any], arguments: tuple[Any, ...]) -> float:
    start = time.perf_counter()
    f(*arguments)
    return time.perf_counter() - start


def peak_mib(f: Callable[..., Any], arguments: tuple[Any, ...]) -> float:
    """Most memory that a call holds at once, its results included."""
    tracemalloc.start()
    try:
        f(*arguments)
        return tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()
