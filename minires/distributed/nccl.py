"""GPUs of several processes: what they add up stays on them, and travels through NCCL.

NCCL's own sums are not used: their bits depend on how many GPUs there are and how they are
connected. Slices travel, and are added up as on CPUs: see `tree.py`. No call waits for the GPU, so
that a training step with its calls can be recorded. A recording must be gone before the
communicator that it uses is destroyed, which else waits for ever.
"""

from __future__ import annotations

import importlib
import platform
import warnings
from typing import Any

from ..kernels.devices import cupy
from .alone import Alone
from .tree import sum_over_ranks

Array = Any


class Nccl:
    """A communicator for one GPU of each rank; every rank makes it, and makes the same calls.

    Work goes to the current stream. Raises: ValueError on all ranks if NCCL is missing on one, or
    two have the same GPU.
    """

    def __init__(self, world: Alone) -> None:
        if reason := next(filter(None, world.exchange(why_no_nccl())), ""):
            raise ValueError(reason)
        refuse_shared_gpus(world)
        self.nccl = importlib.import_module("cupy.cuda.nccl")
        self.types = {"f": self.nccl.NCCL_FLOAT32, "d": self.nccl.NCCL_FLOAT64}
        self.size = world.size
        unique_id = world.share(self.nccl.get_unique_id)
        self.comm = self.nccl.NcclCommunicator(world.size, unique_id, world.rank)

    def sum(self, vector: Array) -> Array:
        """The sum of all ranks' vectors, by a tree that halves the ranks."""
        return sum_over_ranks(vector, self.size, self.send_slices, self.collect)

    def gather(self, rows: Array) -> Array:
        """All ranks' rows, in the order of ranks; each has as many."""
        everything = cupy().empty((self.size, *rows.shape), rows.dtype)
        self.collect(rows, everything)
        return everything.reshape(-1, *rows.shape[1:])

    def send_slices(self, sent: Array, received: Array) -> None:
        """Send row r to rank r, and receive what rank r sends as row r."""
        self.nccl.groupStart()
        for rank in range(self.size):
            self.comm.send(*where(sent[rank]), *self.kind(sent[rank]), rank, stream())
            self.comm.recv(*where(received[rank]), *self.kind(received[rank]), rank, stream())
        self.nccl.groupEnd()

    def collect(self, part: Array, whole: Array) -> None:
        """Fill row r of `whole` with rank r's part."""
        self.comm.allGather(*where(part, whole), *self.kind(part), stream())

    def kind(self, array: Array) -> tuple[int, int]:
        """How many values of which type these are."""
        return array.size, self.types[array.dtype.char]

    def close(self, *, failed: bool) -> None:
        """End it: with the other ranks, or where one has failed alone."""
        if failed:
            self.comm.abort()
        else:
            self.comm.destroy()


def where(*arrays: Array) -> tuple[int, ...]:
    """Where arrays without gaps begin."""
    return tuple(array.data.ptr for array in arrays)


def stream() -> int:
    """The stream that work goes to."""
    return int(cupy().cuda.get_current_stream().ptr)


def why_no_nccl() -> str:
    """What NCCL lacks here, or an empty string."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy's, of the same
        available = importlib.import_module("cupy.cuda.nccl").available
    return (
        ""
        if available
        else (
            "GPUs of several processes need NCCL, which CuPy does not find: pip install "
            "nvidia-nccl-cu12 for CUDA 12, nvidia-nccl-cu13 for CUDA 13"
        )
    )


def refuse_shared_gpus(world: Alone) -> None:
    """Every rank must have a GPU of its own. Raises: ValueError, on all of them."""
    own = platform.node(), cupy().cuda.Device().pci_bus_id
    ranks: dict[tuple[str, str], list[int]] = {}
    for rank, gpu in enumerate(world.exchange(own)):
        ranks.setdefault(gpu, []).append(rank)
    for (machine, _), sharing in ranks.items():
        if len(sharing) > 1:
            gpus = sum(name == machine for name, _ in ranks)
            raise ValueError(
                f"ranks {sharing[0]} and {sharing[1]} have the same GPU of {machine}, which has "
                f"{gpus}: start at most {gpus} there (mpiexec -n), or take --device cpu"
            )
