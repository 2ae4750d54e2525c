"""What a GPU's memory system would do, counted line by line while kernels run in mode check.

Threads of a warp that execute the same access make one request. Global memory moves in sectors of
32 bytes; shared memory serves a request in as many passes as there are different words wanted of
one bank. `ideal` is the fewest that would carry the same bytes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from . import fake_cupy
from .emulator.module import runtime
from .emulator.report import U64, source_lines


@dataclass
class Line:
    """Traffic of one line of a kernel."""

    requests: int = 0
    parts: int = 0  # sectors of global memory, passes over the banks of shared memory
    ideal: int = 0
    bytes: int = 0

    def __iadd__(self, other: Line) -> Line:
        self.requests += other.requests
        self.parts += other.parts
        self.ideal += other.ideal
        self.bytes += other.bytes
        return self

    @property
    def excess(self) -> float:
        """How many times as much as needed."""
        return self.parts / max(self.ideal, 1)


@dataclass(frozen=True)
class Key:
    """Where traffic comes from."""

    kernel: str
    place: str  # file:line
    memory: str  # "global" or "shared"
    write: bool
    size: int  # bytes that each thread moves


Report = dict[Key, Line]


@contextmanager
def recorded() -> Iterator[Report]:
    """Count the traffic of all kernels that the stand-in launches in here (in mode check)."""
    report: Report = {}
    runtime().emulator_traffic_reset()
    fake_cupy.machine.traffic = lambda kernel, work: _collect(kernel, report)
    try:
        yield report
    finally:
        fake_cupy.machine.traffic = None


def _collect(kernel, report: Report) -> None:
    """Add the counts of the launch that has just ended."""
    rows = []
    for i in range(runtime().emulator_traffic_count()):
        row = (U64 * 8)()
        runtime().emulator_traffic_row(i, ctypes.byref(row))
        rows.append(list(row))
    runtime().emulator_traffic_reset()
    offsets = [row[0] - kernel.module.code[0] for row in rows]
    places = source_lines(kernel.module.path, offsets) if rows else []
    for (_, size, write, shared, *counts), place in zip(rows, places, strict=True):
        key = Key(kernel.name, place, "shared" if shared else "global", bool(write), size)
        report.setdefault(key, Line())
        report[key] += Line(*counts)


def by_kernel(report: Report) -> dict[tuple[str, str], Line]:
    """Sums over the lines: a kernel's name and "read", "write" or "shared"."""
    sums: dict[tuple[str, str], Line] = {}
    for key, line in report.items():
        kind = "shared" if key.memory == "shared" else ("write" if key.write else "read")
        sums.setdefault((key.kernel, kind), Line())
        sums[key.kernel, kind] += line
    return sums
