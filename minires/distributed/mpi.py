"""Several processes through MPI. No other file imports mpi4py.

Sums are not left to MPI: the bits of its Allreduce depend on the library, the size of the message
and the number of ranks; tree.py adds up. Arrays of GPUs never come to MPI, which may not know them:
what is added up goes through NCCL, and what is broadcast over the host.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from mpi4py import MPI

from ..environment import available_cores
from ..kernels.devices import is_cuda, move, to_host
from .alone import ALONE, Alone
from .launcher import Place, tell_of_unused_cores
from .nccl import Nccl
from .tree import sum_over_ranks
from .watch import Watch

Value = TypeVar("Value")
NAP = 0.02  # seconds between two looks, where waiting may take long


class MpiWorld(Alone):
    """The processes of a communicator."""

    def __init__(self, comm: Any, watch: Watch) -> None:
        self.comm, self.watch = comm, watch
        self.rank, self.size = comm.rank, comm.size
        self.sent: list[MPI.Request] = []

    def sum(self, vector: np.ndarray) -> np.ndarray:
        if is_cuda(vector):
            return self.nccl.sum(vector)
        with self.watch.waiting("the sum of gradients"):
            return sum_over_ranks(vector, self.size, self.comm.Alltoall, self.comm.Allgather)

    @cached_property
    def nccl(self) -> Nccl:
        """What connects the ranks' GPUs, from the first sum on until they hang up."""
        with self.watch.waiting("the meeting of GPUs"):
            return Nccl(self)

    def hang_up(self, failure: type[BaseException] | None = None, *_: Any) -> None:
        if nccl := self.__dict__.pop("nccl", None):
            nccl.close(failed=failure is not None)

    def gather(self, rows: np.ndarray) -> np.ndarray:
        if is_cuda(rows):
            return self.nccl.gather(rows)
        rows = np.ascontiguousarray(rows)
        everything = np.empty((self.size, *rows.shape), rows.dtype)
        with self.watch.waiting("the exchange of losses"):
            self.comm.Allgather(rows, everything)
        return everything.reshape(-1, *rows.shape[1:])

    def any(self, flag: bool) -> bool:
        return bool(self.gather(np.array([flag])).any())

    def exchange(self, value: Any) -> list[Any]:
        with self.watch.waiting("an exchange"):
            return self.comm.allgather(value)

    def broadcast(self, array: np.ndarray) -> None:
        on_host = to_host(array)
        with self.watch.waiting("a broadcast"):
            self.comm.Bcast(on_host)
        if is_cuda(array):
            array[...] = move(on_host, "cuda")

    def share(self, compute: Callable[[], Value]) -> Value:
        outcome = outcome_of(compute) if self.rank == 0 else None
        with self.watch.waiting("what rank 0 computes"):
            return settled(self.comm.bcast(outcome))

    def each(self, act: Callable[[], Value]) -> list[Value]:
        return [settled(outcome) for outcome in self.exchange(outcome_of(act))]

    def in_turn(self, act: Callable[[], Value]) -> Value:
        on_machine = self.comm.Split_type(MPI.COMM_TYPE_SHARED).rank
        ahead = 0 if self.rank == 0 else 1 if on_machine == 0 else 2
        for turn in range(3):
            if turn == ahead:
                outcome = outcome_of(act)
            self.wait()
        for _, error in self.exchange((None, outcome[1])):
            if error:
                raise error
        return settled(outcome)

    def agree(self, what: str, value: Any) -> None:
        values = self.exchange(value)
        others = [rank for rank, other in enumerate(values) if other != values[0]]
        if others:
            raise ValueError(
                f"rank {others[0]} and rank 0 differ in {what}: {values[others[0]]!r:.200} and "
                f"{values[0]!r:.200}; every rank must run the same program with the same options"
            )

    def wait(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        with self.watch.waiting("all ranks", patiently=True):
            request = self.comm.Ibarrier()
            while not request.Test():
                meanwhile()
                time.sleep(NAP)
        meanwhile()

    def group(self, size: int) -> Alone | None:
        left_over = self.rank >= self.size // size * size
        comm = self.comm.Split(MPI.UNDEFINED if left_over else self.rank // size, self.rank)
        if left_over:
            return None
        return MpiWorld(comm, self.watch) if size > 1 else ALONE

    def report(self, value: Any) -> None:
        self.sent = [request for request in self.sent if not request.Test()]
        self.sent.append(self.comm.isend(value, 0))

    def reports(self) -> Iterator[Any]:
        while self.comm.Iprobe():
            yield self.comm.recv()

    def about(self) -> dict[str, str]:
        library = " ".join(MPI.Get_library_version().split("\n")[0].split(",")[0].split())
        return {"ranks": f"{self.size}, {library}"}


Outcome = tuple[Any, Exception | None]


def outcome_of(compute: Callable[[], Any]) -> Outcome:
    """What is returned, or what is raised."""
    try:
        return compute(), None
    except Exception as error:
        return None, error


def settled(outcome: Outcome) -> Any:
    """Return it, or raise it."""
    value, error = outcome
    if error:
        raise error
    return value


def whole_world(here: Place) -> MpiWorld:
    """All ranks, watched; the processor's cores are shared out among those of a machine."""
    comm = MPI.COMM_WORLD
    if comm.size != here.size:
        raise ValueError(
            f"the launcher says that there are {here.size} processes, but mpi4py's MPI "
            f"({MPI.Get_library_version().split(',')[0]}) sees {comm.size}: start them with the "
            "mpiexec of that MPI"
        )
    share_cores(comm)
    return MpiWorld(comm, Watch(comm.Dup(), MPI))


def share_cores(comm: MPI.Intracomm) -> None:
    """Let a rank have as many threads as its cores allow, shared with whom it shares them."""
    own = available_cores()
    machine = socket.gethostname()
    ranks = [cores for name, cores in comm.allgather((machine, own)) if name == machine]
    sharing = [cores for cores in ranks if cores & own]
    threads = max(1, len(set().union(*sharing)) // len(sharing))
    if comm.rank == 0:
        tell_of_unused_cores(ranks)
    os.environ.setdefault("NUMBA_NUM_THREADS", str(threads))
