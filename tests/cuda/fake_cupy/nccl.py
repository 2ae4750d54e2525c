"""`cupy.cuda.nccl` over mpi4py, a process a GPU: stricter than NCCL, which checks little.

All ranks must make the same calls, with the same counts and types, recorded or not. What NCCL would
answer with a hang, a crash or a wrong result is a `Misuse`. Ranks of a communicator are neighbours
in MPI's world; a single one needs no MPI.
"""

from __future__ import annotations

import itertools
import os
import platform
import sys
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import cuda
from .machine import Misuse, machine, mark_written

available = True
ID_BYTES = 128
NCCL_INT32, NCCL_INT64, NCCL_FLOAT32, NCCL_FLOAT64 = 2, 4, 7, 8
TYPES = {
    code: np.dtype(kind)
    for code, kind in (
        *((NCCL_INT32, "i4"), (NCCL_INT64, "i8")),
        *((NCCL_FLOAT32, "f4"), (NCCL_FLOAT64, "f8")),
    )
}
_numbers = itertools.count()
_used: set[bytes] = set()
_group: list[Call] | None = None  # between groupStart and groupEnd
_made: list[NcclCommunicator] = []  # to be looked at when a program ends


class NcclError(RuntimeError):
    """An error of NCCL; the message starts with its name."""


class _OneRank:
    """What a communicator of MPI does, of one process."""

    rank = 0

    def allgather(self, value):
        return [value]

    def alltoall(self, values):
        return values


def _line(size: int, first: int, rank: int) -> Any:
    """MPI's communicator for `size` neighbours from `first` on."""
    if size == 1:
        return _OneRank()
    from mpi4py import MPI

    members = MPI.COMM_WORLD.group.Incl(range(first, first + size))
    line = MPI.COMM_WORLD.Create_group(members)
    if line.rank != rank:
        raise Misuse(f"rank {line.rank} of {size} calls itself rank {rank}")
    return line


def get_unique_id():
    """What one rank makes, and all ranks give to their communicators."""
    mpi = sys.modules.get("mpi4py.MPI")
    first = mpi.COMM_WORLD.rank if mpi else 0
    return f"{first} {os.getpid()} {next(_numbers)}".encode().ljust(ID_BYTES, b"\0")


@dataclass
class Memory:
    """A piece of an array's memory; a recording must not keep it alive."""

    block: Any
    start: int
    dtype: np.dtype
    count: int

    @classmethod
    def at(cls, pointer: int, count: int, dtype: np.dtype, what: str) -> Memory:
        """The memory from a pointer on, which must lie in one living array of this dtype."""
        nbytes = count * dtype.itemsize
        for allocation in list(machine.allocations):
            start = pointer - allocation.address
            if start >= 0 and start + nbytes <= allocation.nbytes:
                if allocation.dtype != dtype:
                    raise Misuse(f"{what}: the array is {allocation.dtype}, the call says {dtype}")
                return cls(weakref.ref(allocation.block), start, dtype, count)
        raise Misuse(f"{what}: {count} x {dtype} from {pointer:#x} on lie in no living array")

    def view(self) -> np.ndarray:
        block = self.block()
        if block is None:
            raise Misuse("memory of a recorded call is gone")
        return np.frombuffer(block.bytes.data, self.dtype, self.count, self.start)

    def read(self, what: str) -> np.ndarray:
        """A copy of what lies there."""
        view, block = self.view(), self.block()
        if not block.written[self.start : self.start + view.nbytes].all():
            raise Misuse(f"{what} sends what nothing has written")
        return view.copy()

    def write(self, values: np.ndarray) -> None:
        view, block = self.view(), self.block()
        view[...] = values
        mark_written(view, block.address, block.written)


@dataclass
class Call:
    """One call of a communicator, made now or recorded."""

    comm: NcclCommunicator
    name: str
    peer: int | None
    source: Memory | None
    target: Memory | None

    @property
    def says(self) -> tuple:
        """What the other side must say, too."""
        piece = self.source or self.target
        return self.name, self.peer, piece.count, piece.dtype.str


class Work:
    """A call or a group of calls that the device does, perhaps again and again."""

    def __init__(self, calls: list[Call], recorded: bool):
        self.calls, self.recorded = calls, recorded

    def belongs_to(self, graph: cuda.Graph) -> None:
        """A graph has recorded it."""
        self.calls[0].comm._graphs.add(graph)

    def __call__(self) -> None:
        comm = self.calls[0].comm
        comm._demand_life()
        heard = comm._agree(self.recorded, [call.says for call in self.calls])
        if self.calls[0].name == "allGather":
            (call,) = self.calls
            parts = comm._line.allgather(call.source.read("allGather"))
            call.target.write(np.concatenate(parts))
        else:
            self.pass_on(comm, heard)

    def pass_on(self, comm: NcclCommunicator, heard: list) -> None:
        """Send and receive, each in the order of calls."""
        for (one, sent), (other, received) in itertools.product(enumerate(heard), repeat=2):
            out = [says[2:] for says in sent if says[:2] == ("send", other)]
            into = [says[2:] for says in received if says[:2] == ("recv", one)]
            if out != into:
                raise Misuse(f"rank {one} sends rank {other} {out}, which receives {into}")
        leaving: list[list] = [[] for _ in heard]
        for call in self.calls:
            if call.name == "send":
                leaving[call.peer].append(call.source.read("send"))
        coming = [iter(values) for values in comm._line.alltoall(leaving)]
        for call in self.calls:
            if call.name == "recv":
                call.target.write(next(coming[call.peer]))


class NcclCommunicator:
    """One rank's part of a communicator."""

    def __init__(self, ndev, commId, rank):
        machine.demand_driver()
        machine.refuse_in_capture("a communicator can't be made")
        if _group is not None:
            raise Misuse("a communicator in a group is for one process with several GPUs")
        if len(commId) != ID_BYTES or commId in _used:
            raise Misuse("commId must be of get_unique_id, and serves one communicator")
        _used.add(commId)
        self._line = _line(ndev, int(commId.split()[0]), rank)
        self._size, self._rank, self._state, self._count = ndev, rank, "", 0
        self._connected: set[str] = set()
        self._graphs: weakref.WeakSet[cuda.Graph] = weakref.WeakSet()
        _made.append(self)
        gpus = self._line.allgather((platform.node(), cuda.Device().pci_bus_id, commId))
        if len({gpu[:2] for gpu in gpus}) < ndev:
            raise NcclError("NCCL_ERROR_INVALID_USAGE: Duplicate GPU detected")
        if len({gpu[2] for gpu in gpus}) > 1:
            raise Misuse("ranks have different ids")

    def size(self):
        """How many ranks there are."""
        return self._size

    def rank_id(self):
        """Which of them this is."""
        return self._rank

    def allGather(self, sendbuf, recvbuf, count, datatype, stream):
        """Fill part r of `recvbuf`, on all ranks, with what rank r sends."""
        dtype = self._look("allGather", count, datatype, stream)
        source = Memory.at(sendbuf, count, dtype, "allGather sends")
        target = Memory.at(recvbuf, count * self._size, dtype, "allGather receives")
        self._take(Call(self, "allGather", None, source, target))

    def send(self, sendbuf, count, datatype, peer, stream):
        """Send to a rank, which must receive."""
        dtype = self._look("send", count, datatype, stream, peer)
        self._take(Call(self, "send", peer, Memory.at(sendbuf, count, dtype, "send"), None))

    def recv(self, recvbuf, count, datatype, peer, stream):
        """Receive from a rank, which must send."""
        dtype = self._look("recv", count, datatype, stream, peer)
        self._take(Call(self, "recv", peer, None, Memory.at(recvbuf, count, dtype, "recv")))

    def check_async_error(self):
        """There is none, the device does all at once."""
        self._demand_life()

    def destroy(self):
        """End it, with all other ranks."""
        machine.refuse_in_capture("a communicator can't be destroyed")
        if self._state:
            return
        if self._graphs:
            raise Misuse("destroy() waits for ever: a graph with calls of this communicator lives")
        self._agree(False, ["destroy"])
        self._state = "destroyed"

    def abort(self):
        """End it here, whatever the others do."""
        self._state = self._state or "aborted"

    # ------------------------------------------------------------------ what is looked at

    def _demand_life(self) -> None:
        if self._state:
            raise Misuse(f"the communicator has been {self._state}")

    def _look(self, name: str, count, datatype, stream, peer=0) -> np.dtype:
        """Look at what NCCL takes as it is; returns the dtype."""
        self._demand_life()
        machine.demand_driver()
        for value in (count, datatype, stream, peer):
            if type(value) is not int:
                raise TypeError(f"{name}: an integer is required, not {type(value).__name__}")
        if datatype not in TYPES:
            raise NcclError("NCCL_ERROR_INVALID_ARGUMENT: invalid argument")
        if stream != cuda.get_current_stream().ptr:
            raise Misuse(f"{name} on another stream than the current one, whose work it needs")
        if count < 1 or not 0 <= peer < self._size:
            raise Misuse(f"{name}: {count} values, rank {peer} of {self._size}")
        return TYPES[datatype]

    def _take(self, call: Call) -> None:
        """Keep a call for the group's end, or make it."""
        if _group is not None:
            if call.name == "allGather" or any(other.comm is not self for other in _group):
                raise Misuse("the stand-in's groups are for send and recv of one communicator")
            _group.append(call)
        elif call.name != "allGather":
            raise Misuse(f"{call.name} outside of a group waits for its other side, and may hang")
        else:
            self._start([call])

    def _start(self, calls: list[Call]) -> None:
        """Make calls, or record them."""
        is_recorded, names = machine.recording is not None, {call.name for call in calls}
        work = Work(calls, is_recorded)
        if is_recorded and not names <= self._connected:
            raise Misuse("the first call connects ranks, which can't be recorded: make it once")
        self._connected |= names
        machine.run(work)

    def _agree(self, recorded: bool, calls: list) -> list:
        """All ranks' calls; they must be the same, but for whom they are sent to."""
        self._count += 1
        heard = self._line.allgather((self._count, recorded, calls))
        kinds = [
            (number, graph, sorted({c if isinstance(c, str) else c[0] for c in said}),
             said if said[0][0] == "allGather" else None)
            for number, graph, said in heard
        ]  # fmt: skip
        for rank, kind in enumerate(kinds):
            if kind != kinds[0]:
                raise Misuse(f"rank {rank} calls {kind}, rank 0 {kinds[0]}")
        return [said for _, _, said in heard]


def groupStart():
    """Calls from here to `groupEnd` are one."""
    global _group
    if _group is not None:
        raise Misuse("the stand-in knows no group within a group")
    _group = []


def groupEnd():
    """Make the calls of the group."""
    global _group
    if _group is None:
        raise NcclError("NCCL_ERROR_INVALID_USAGE: groupEnd without groupStart")
    calls, _group = _group, None
    if calls:
        calls[0].comm._start(calls)
