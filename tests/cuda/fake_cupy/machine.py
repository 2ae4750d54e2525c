"""The pretended GPU: its memory, what was done on it, and how kernels are to be run.

There is one machine, because CuPy's module is one; `installed()` resets it.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

TOTAL_MEMORY = 8 << 30
ALIGNMENT = 256  # as cudaMalloc
GUARD = 512  # bytes on both sides of an allocation
CANARY = 0xA5
POISON = 0xFF  # NaN for floats, -1 for integers


class Misuse(RuntimeError):
    """Real CuPy would do this without a word, and the result would be wrong."""


class CUDARuntimeError(RuntimeError):
    """An error of the CUDA runtime; the message starts with its name."""


class OutOfMemoryError(MemoryError):
    """The pool's limit is reached."""


@dataclass
class Counts:
    """What has happened since the machine was reset, or since `machine.counts` was replaced."""

    launches: Counter = field(default_factory=Counter)  # of own kernels, by name
    library_launches: Counter = field(default_factory=Counter)  # of CuPy's kernels, by function
    graph_launches: int = 0
    copies_to_device: int = 0
    bytes_to_device: int = 0
    copies_to_host: int = 0
    bytes_to_host: int = 0
    synchronisations: int = 0
    allocations: int = 0


class Block:
    """Memory between canaries. `written` holds a 1 for every byte that has been written."""

    def __init__(self, nbytes: int):
        self.nbytes = nbytes
        self.raw = np.empty(nbytes + 2 * GUARD + ALIGNMENT, np.uint8)
        start = -(self.raw.ctypes.data + GUARD) % ALIGNMENT + GUARD
        self.bytes = self.raw[start : start + nbytes]
        self._before = self.raw[start - GUARD : start]
        self._behind = self.raw[start + nbytes : start + nbytes + GUARD]
        self._before[:] = self._behind[:] = CANARY
        self.written = np.zeros(nbytes, np.uint8)
        self.tenant: Callable[[], Allocation | None] = lambda: None

    @property
    def address(self) -> int:
        """Where the memory starts."""
        return self.bytes.ctypes.data

    def poison(self) -> None:
        """Fresh memory holds anything."""
        self.bytes[:] = POISON
        self.written[:] = 0

    def check_canaries(self, who: str) -> None:
        """Someone wrote beside the memory?"""
        for side, canary in (("before", self._before), ("behind", self._behind)):
            if (canary != CANARY).any():
                raise Misuse(f"{who} wrote {side} an array of {self.nbytes} bytes")


class Allocation:
    """What an array has of a block, until the array is gone; a pool then gives it to another one.

    `capture` is the recording in which the array was made, None for work that was done at once.
    """

    def __init__(self, block: Block, capture: list | None):
        self.block, self.capture = block, capture
        self.nbytes = block.nbytes
        self.dtype = np.dtype(np.uint8)  # of the array that is made of it
        block.tenant = weakref.ref(self)

    @property
    def address(self) -> int:
        """Where the memory starts."""
        return self.block.address

    def check_canaries(self, who: str) -> None:
        """Someone wrote beside the memory?"""
        self.block.check_canaries(who)


class Taken:
    """In a graph: memory taken from a private pool, where other work of the graph may have been."""

    def __init__(self, allocation: Allocation):
        self.block, self.capture = weakref.ref(allocation.block), allocation.capture

    def __call__(self) -> None:
        """Check that no other array owns the memory; its contents become undefined again."""
        block = self.block()
        if block is None:
            raise Misuse("memory of this graph has been freed: its pool must live as long as it")
        tenant = block.tenant()
        if tenant is not None and tenant.capture is not self.capture:
            raise Misuse(
                "memory of this graph has been given to another array, which a launch would "
                "overwrite: nobody else may use the pool that a graph was captured with"
            )
        block.poison()


def mark_written(view: np.ndarray, start: int, written: np.ndarray) -> None:
    """All elements of a view have been written; `written` is that of the block at `start`."""
    first = view.ctypes.data - start
    if view.flags.c_contiguous:
        written[first : first + view.nbytes] = 1
        return
    shape, strides = (*view.shape, view.itemsize), (*view.strides, 1)
    base = np.lib.stride_tricks.as_strided(written[first:], shape, strides)
    base[...] = 1


class Machine:
    """State of the pretended GPU."""

    def __init__(self):
        self.reset()

    def reset(self, mode: str = "fast", order: int = 0, fault: str = "", cublas: bool = False):
        """Start anew; arrays of before stay alive, but count no more."""
        if mode not in ("fast", "check"):
            raise ValueError(f"mode must be 'fast' or 'check', but is {mode!r}")
        self.mode, self.order, self.fault, self.cublas = mode, order, fault, cublas
        self.counts = Counts()
        self.allocations: weakref.WeakSet[Allocation] = weakref.WeakSet()
        self.live_bytes = self.peak_bytes = 0
        self.limit = 0
        self.streams: list = []
        self.pools: list = []  # private ones, the current one last
        self.recording: list[Callable[[], None]] | None = None
        self.traffic = None  # called with (kernel, block) after each launch; see traffic.py

    # --------------------------------------------------------------------------- memory

    def allocate(self, nbytes: int) -> Allocation:
        """Fresh, poisoned memory; while a graph is captured, from a private pool alone.

        CuPy captures in relaxed mode, in which a pool may grow. The common pool would give it too,
        but then to others as well.
        """
        self.demand_driver()
        pool = self.pools[-1] if self.pools else None
        if pool is None:
            self.refuse_in_capture("memory can't come from the pool that all share")
        block = pool._take(nbytes) if pool else self.new_block(nbytes)
        allocation = Allocation(block, self.recording)
        if self.recording is None:
            block.poison()
        else:
            self.recording.append(Taken(allocation))
        self.counts.allocations += 1
        self.live_bytes += nbytes
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        self.allocations.add(allocation)
        owner = weakref.ref(pool) if pool else lambda: None
        weakref.finalize(allocation, self._freed, block, owner, self.allocations)
        return allocation

    def new_block(self, nbytes: int) -> Block:
        """Memory that no array has had before."""
        if self.limit and self.live_bytes + nbytes > self.limit:
            raise OutOfMemoryError(
                f"Out of memory allocating {nbytes:,} bytes (allocated so far: "
                f"{self.live_bytes:,} bytes, limit set to: {self.limit:,} bytes)."
            )
        return Block(nbytes)

    def _freed(self, block: Block, owner, allocations) -> None:
        if allocations is self.allocations:
            self.live_bytes -= block.nbytes
        if (pool := owner()) is not None:
            pool._give_back(block)

    def check_canaries(self, who: str) -> None:
        """Look beside every array that is alive."""
        for allocation in list(self.allocations):
            allocation.check_canaries(who)

    # ---------------------------------------------------------------------------- work

    def run(self, work: Callable[[], None], library: str = "") -> None:
        """Do work of the device, or put it into the graph that is being captured."""
        self.demand_driver()
        if library:
            self.counts.library_launches[library] += 1
        if self.recording is None:
            with np.errstate(all="ignore"):  # a GPU warns of nothing
                work()
            return
        if not (self.streams and self.streams[-1].is_capturing()):
            raise Misuse("work on another stream than the one that is recorded is not in the graph")
        self.recording.append(work)

    def to_device(self, nbytes: int) -> None:
        """Count a copy from the host."""
        self.refuse_in_capture("a copy from the host can't be recorded")
        self.counts.copies_to_device += 1
        self.counts.bytes_to_device += nbytes

    def to_host(self, nbytes: int) -> None:
        """Count a copy to the host, which waits for the device."""
        self.refuse_in_capture("the host can't read an array")
        self.counts.copies_to_host += 1
        self.counts.bytes_to_host += nbytes
        self.counts.synchronisations += 1

    def synchronise(self) -> None:
        """Count a wait."""
        self.demand_driver()
        self.refuse_in_capture("nothing can be waited for")
        self.counts.synchronisations += 1

    def refuse_in_capture(self, what: str) -> None:
        """CUDA refuses what does not belong into a graph."""
        if self.recording is not None:
            raise CUDARuntimeError(
                "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is "
                f"capturing ({what} while a graph is captured)"
            )

    def demand_driver(self) -> None:
        """A machine with CuPy but no driver fails in everything that needs the device."""
        if self.fault == "no driver":
            raise CUDARuntimeError(
                "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA "
                "runtime version"
            )
        if self.fault == "no device":
            raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")


machine = Machine()
