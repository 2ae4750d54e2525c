"""A mistake's report, as the runtime writes it, and the sentence that a person reads."""

from __future__ import annotations

import ctypes
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

U32, U64, POINTER = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p
INT = ctypes.c_int


class Index(ctypes.Structure):
    """x, y, z."""

    _fields_ = (("x", U32), ("y", U32), ("z", U32))


class Report(ctypes.Structure):
    """`Report` of state.h."""

    _fields_ = (
        *((name, U32) for name in ("mistake", "write", "size", "atomic")),
        *((name, POINTER) for name in ("site", "other_site", "address")),
        *((name, U32) for name in ("thread", "other_thread", "block", "other_block")),
        *((name, INT) for name in ("line", "other_line", "region", "other_write")),
        *((name, U32) for name in ("mask", "lane", "state")),
        ("text", ctypes.c_char * 256),
    )


MISTAKES = [
    *("none", "out-of-bounds", "misaligned", "race", "uninitialised", "read-only", "other-stack"),
    *("divergent-barrier", "missed-barrier", "warp-mismatch", "warp-missing", "warp-source"),
    *("no-dynamic-shared", "too-much-shared", "block-too-large", "language", "crash", "endless"),
    *("out-of-memory", "stale", "not-converted", "in-flight"),
]
MISSING = "a __threadfence() or a barrier is missing between"
BETWEEN_BLOCKS = (
    "nothing orders different blocks: use atomics, another kernel, or fences and a counter",
    f"{MISSING} that and the other block's atomic operation",
    f"{MISSING} this block's atomic operation and this",
)
FRESH, READY, AT_BARRIER, AT_WARP, DONE = range(5)


class KernelError(RuntimeError):
    """A mistake of a kernel, found while it ran.

    `kind` is one of MISTAKES, `line` the source's line (0 where unknown), `kernel` its name.
    """

    def __init__(self, sentence: str, kind: str, kernel: str, line: int):
        super().__init__(sentence)
        self.kind, self.kernel, self.line = kind, kernel, line


@dataclass(frozen=True)
class Named:
    """Memory that a sentence may name: an argument or a shared array."""

    name: str
    start: int
    nbytes: int
    itemsize: int
    shape: tuple[int, ...] = ()

    def at(self, address: int) -> str:
        """Which element lies there, in words."""
        number = (address - self.start) // self.itemsize
        if not self.shape or not 0 <= number < int(np.prod(self.shape)):
            return f"{self.name}[{number}]"
        index = ", ".join(str(int(i)) for i in np.unravel_index(number, self.shape))
        flat = f" (element {number} of shape {self.shape})" if len(self.shape) > 1 else ""
        return f"{self.name}[{index}]{flat}"

    def distance(self, address: int) -> int:
        """How many bytes an address lies outside."""
        return max(self.start - address, address - self.start - self.nbytes + 1, 0)


class Narrator:
    """Writes the sentence for one launch."""

    def __init__(self, report, kernel: str, library: Path, base: int, grid, block, arrays, shared):
        self.report, self.kernel, self.library, self.base = report, kernel, library, base
        self.grid, self.block, self.arrays, self.shared = grid, block, arrays, shared

    def error(self) -> KernelError:
        """The mistake as an exception."""
        kind = MISTAKES[self.report.mistake]
        sentence = getattr(self, "_" + kind.replace("-", "_"))()
        line = self._line()
        where = f"{line}, " if line else ""
        number = int(line.split(" ")[0].rsplit(":", 1)[1]) if line else 0
        return KernelError(
            f"{self.kernel} ({where}{self._who()}): {sentence}", kind, self.kernel, number
        )

    # ------------------------------------------------------------------ where and who

    def _line(self) -> str:
        if self.report.site:
            return source_line(self.library, self.report.site - self.base)
        return f"line:{self.report.line}" if self.report.line else ""

    def _who(self) -> str:
        return self._place(self.report.block, self.report.thread)

    def _place(self, block: int, thread: int) -> str:
        return f"block {unravel(block, self.grid)} thread {unravel(thread, self.block)}"

    def _thread(self, thread: int) -> str:
        return f"thread {unravel(thread, self.block)}"

    def _memory(self) -> str:
        region = self.report.region
        if region >= 0:
            return self.arrays[region].at(self.report.address)
        return "shared " + self.shared[-2 - region].at(self.report.address)

    def _verb(self) -> str:
        return "writes" if self.report.write else "reads"

    # ----------------------------------------------------------------------- sentences

    def _out_of_bounds(self) -> str:
        address = self.report.address
        if (address or 0) < 1 << 16:
            return f"{self._verb()} {self.report.size} bytes through a null pointer"
        near = min([*self.arrays, *self.shared], key=lambda a: a.distance(address), default=None)
        if near is None:
            return f"{self._verb()} memory, but has no array"
        size = f"{near.nbytes // near.itemsize} elements"
        return (
            f"{self._verb()} {self.report.size} bytes outside every array; the nearest is "
            f"{near.name} with {size}: {near.at(address)}"
        )

    def _misaligned(self) -> str:
        return (
            f"{self._verb()} {self.report.size} bytes at {self._memory()}, whose address is no "
            f"multiple of {self.report.size}: a GPU stops with a misaligned address"
        )

    def _race(self) -> str:
        report = self.report
        other = source_line(self.library, report.other_site - self.base)
        done = "wrote" if report.other_write else "read"
        blocks = report.other_block != report.block
        cure = BETWEEN_BLOCKS[report.state] if blocks else "no barrier lies between"
        verb = "changes (atomically)" if report.atomic else self._verb()
        return (
            f"{verb} {self._memory()}, which "
            f"{self._place(report.other_block, report.other_thread)} {done} at {other}; {cure}"
        )

    def _stale(self) -> str:
        report = self.report
        other = source_line(self.library, report.other_site - self.base)
        return (
            f"reads {self._memory()} by way of the L1 cache, which may hold an old value: "
            f"{self._place(report.other_block, report.other_thread)} wrote it at {other}; "
            "use __ldcg(), volatile or an atomic operation"
        )

    def _in_flight(self) -> str:
        report = self.report
        other = source_line(self.library, report.other_site - self.base)
        return (
            f"{self._verb()} {self._memory()}, to which an asynchronous copy of "
            f"{self._thread(report.other_thread)} is on its way, from {other}: "
            "that thread has not waited for it"
        )

    def _not_converted(self) -> str:
        operand = f"{self.report.text.decode()}[{self.report.lane}]"
        return (
            f"operand {operand} of a tf32 product is no tf32, its lower 13 bits are not zero: "
            "the hardware would cut them off where to_tf32() rounds"
        )

    def _uninitialised(self) -> str:
        missing = "; is a barrier missing?" if self.report.region < 0 else ""
        return f"reads {self._memory()}, which nothing has written{missing}"

    def _read_only(self) -> str:
        return f"writes {self._memory()}, a pointer to const"

    def _other_stack(self) -> str:
        other = self._thread(self.report.other_thread)
        return f"{self._verb()} a local variable of {other}"

    def _divergent_barrier(self) -> str:
        report = self.report
        return (
            f"waits at the barrier of line {report.line}, but "
            f"{self._thread(report.other_thread)} at {self._waits()}: "
            "all threads of a block must reach the same barrier"
        )

    def _waits(self) -> str:
        what = {AT_BARRIER: "the barrier", AT_WARP: "a warp operation"}
        return f"{what.get(self.report.state, 'nothing')} of line {self.report.other_line}"

    def _missed_barrier(self) -> str:
        return (
            f"waits at the barrier of line {self.report.line}, but "
            f"{self._thread(self.report.other_thread)} has ended without it"
        )

    def _warp_mismatch(self) -> str:
        return (
            f"waits in a warp operation with mask {self.report.mask:#010x}, but lane "
            f"{self.report.lane} is in another operation or mask{self._other_line()}"
        )

    def _other_line(self) -> str:
        return f", at line {self.report.other_line}" if self.report.other_line else ""

    def _warp_missing(self) -> str:
        states = {DONE: "has ended", AT_BARRIER: f"waits at line {self.report.other_line}"}
        state = states.get(self.report.state, "does not exist in this block")
        return (
            f"a warp operation with mask {self.report.mask:#010x} waits for lane "
            f"{self.report.lane}, which {state}"
        )

    def _warp_source(self) -> str:
        return (
            f"a warp operation with mask {self.report.mask:#010x} concerns lane "
            f"{self.report.lane}, which the mask leaves out"
        )

    def _no_dynamic_shared(self) -> str:
        return "uses extern __shared__ memory, but the launch gives none (shared_mem=0)"

    def _too_much_shared(self) -> str:
        return f"needs {self.report.size} bytes of shared memory; a block has 49152"

    def _block_too_large(self) -> str:
        threads = self.block[0] * self.block[1] * self.block[2]
        return f"launched with {threads} threads a block; __launch_bounds__ says {self.report.lane}"

    def _language(self) -> str:
        return self.report.text.decode(errors="replace")

    def _crash(self) -> str:
        address = self.report.address or 0
        near = min(self.arrays, key=lambda a: a.distance(address), default=None)
        place = f"; the nearest array: {near.at(address)}" if near else ""
        return f"crashes at address {address:#x}{place}. Run it in mode check"

    def _endless(self) -> str:
        return "still runs after its time limit: a loop that does not end?"

    def _out_of_memory(self) -> str:
        return "the emulator has no memory left"


def unravel(number: int, sizes) -> tuple[int, int, int]:
    """A number of a block or thread as (x, y, z)."""
    x, y, _ = sizes
    return number % x, number // x % y, number // x // y


def source_line(library: Path, offset: int) -> str:
    """`file:line` of the call that returns to this place of the library; "" where unknown."""
    return source_lines(library, [offset])[0]


def source_lines(library: Path, offsets: list[int]) -> list[str]:
    """The same for several places; of inlined functions, the caller's line comes second."""
    places = [hex(max(offset - 1, 0)) for offset in offsets]
    command = ["addr2line", "-a", "-i", "-e", str(library), *places]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    frames: list[list[str]] = []
    for line in done.stdout.splitlines():
        if line.startswith("0x"):
            frames.append([])
            continue
        name, _, number = line.split(" ")[0].rpartition(":")
        if number.isdigit() and not name.endswith(".h"):
            frames[-1].append(f"{Path(name).name}:{number}")
    return [" < ".join(stack[:2]) for stack in frames] or [""] * len(offsets)
