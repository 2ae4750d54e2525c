"""Who am I: the environment says it, before anything is imported."""

from __future__ import annotations

import functools
import importlib
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..environment import available_cores
from .alone import ALONE, Alone

# Size, rank and number on the machine, as launchers name them: Open MPI, then MPICH and Intel MPI,
# then Slurm's srun. In a batch script, which srun has not started, Slurm sets no step's size.
LAUNCHERS = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("PMI_SIZE", "PMI_RANK", "MPI_LOCALRANKID"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID"),
)


class Place(NamedTuple):
    """A process among those that a launcher has started together."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0


def place() -> Place:
    """This process's place; that of a single process where no launcher has started it."""
    for names in LAUNCHERS:
        size, rank, local = (os.environ.get(name, "") for name in names)
        if size.isdecimal() and rank.isdecimal():
            return Place(int(rank), int(size), int(local) if local.isdecimal() else 0)
    return Place()


@functools.cache
def world() -> Alone:
    """All processes of this job; every one of them must ask for it.

    Raises: ValueError where there are several, and mpi4py is missing or another MPI's.
    """
    here = place()
    if here.size == 1:
        if "OMPI_COMM_WORLD_SIZE" in os.environ:  # Open MPI ties even one to a core
            tell_of_unused_cores([available_cores()])
        return ALONE
    take_gpu(here.local_rank)
    try:
        importlib.import_module("mpi4py.MPI")
    except (ImportError, RuntimeError) as error:
        raise ValueError(
            f"a launcher has started {here.size} processes, but mpi4py can't be used ({error}): "
            "pip install mpi4py and an MPI, such as mpich; or start one process, without a launcher"
        ) from None
    from .mpi import whole_world

    return whole_world(here)


def rank_name(size: int = 1) -> str:
    """Which rank this is, or the first of how many, for lists of runs; "" for a single process."""
    here = place()
    which = f"rank {here.rank}" if size == 1 else f"ranks {here.rank} to {here.rank + size - 1}"
    return f"{which} on {platform.node()}" if here.size > 1 else ""


def tell_of_unused_cores(cores: Sequence[set[int]]) -> None:
    """Say so where a machine's processes may use one core each, and more than that are left."""
    unused = (os.cpu_count() or 1) - len(set().union(*cores))
    if len(cores[0]) == 1 and unused >= len(cores):
        print(
            f"minires: the launcher has tied each process to one core and leaves {unused} unused: "
            "mpiexec --bind-to none",
            file=sys.stderr,
        )


def take_gpu(local_rank: int) -> None:
    """Let this process see one of the GPUs that it may, or none: CuPy is not imported yet."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = sorted(int(path.name[6:]) for path in Path("/dev").glob("nvidia[0-9]*"))
    names = [str(number) for number in there] if given is None else given.split(",")
    if names:
        os.environ["CUDA_VISIBLE_DEVICES"] = names[local_rank % len(names)]


def silence_other_ranks() -> None:
    """Let the first process alone print; what makes another one fail is told all the same."""
    if place().rank:
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def one_process_only(what: str) -> None:
    """See that no launcher has started several processes for what a single one does.

    Raises: ValueError, on all of them; the first one tells it.
    """
    if (size := place().size) > 1:
        silence_other_ranks()
        raise ValueError(
            f"{what} runs in one process, but a launcher has started {size}: leave mpiexec, or "
            "srun, away"
        )
