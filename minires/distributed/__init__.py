"""Several processes: whole runs dealt to them, or one run's batches cut among them.

    launcher.py  who am I, from the environment alone
    alone.py     one process: what a world can do, at no cost
    mpi.py       several, through MPI: the one file that imports mpi4py
    nccl.py      the same sums between GPUs, on them
    watch.py     nobody waits for ever: a rank that fails, leaves or hangs ends all of them
    shards.py    a batch in parts, each with batch statistics of its own
    tree.py      the order of a sum, which no number of ranks changes

Nothing here is loaded, and MPI is never imported, in a process that no launcher has started.
"""

from .alone import ALONE, Alone
from .launcher import one_process_only, place, rank_name, silence_other_ranks, world

__all__ = [
    "ALONE",
    "Alone",
    "one_process_only",
    "place",
    "rank_name",
    "silence_other_ranks",
    "world",
]
