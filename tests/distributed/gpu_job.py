"""What ranks with a GPU each do, as `mpiexec -n 2 python -m tests.distributed.gpu_job NAME FOLDER`.

On a machine without GPUs each rank has a stand-in, and what goes between them goes over mpi4py.
"""

import signal
import sys
from pathlib import Path

import numpy as np

from minires.distributed import place, world
from minires.distributed.tree import tree_sum
from minires.training import InterruptedTraining, run_all
from tests.cuda import fake_cupy
from tests.cuda.fake_cupy import nccl
from tests.device import gpu, is_real
from tests.distributed.test_shards_on_gpu import trainer

RANKS = world()  # which takes this rank's GPU, before CuPy is loaded


def calls(folder, cupy):
    """What a world does with a GPU's arrays."""
    for dtype, size in ((np.float32, 1001), (np.float64, 2)):
        rows = np.random.default_rng(0).standard_normal((RANKS.size, size)).astype(dtype)
        rows *= 10.0 ** np.arange(RANKS.size)[:, None]
        own = cupy.asarray(rows[RANKS.rank])
        for _ in range(2):
            assert RANKS.sum(own).get().tobytes() == tree_sum(rows).tobytes()
            assert RANKS.gather(own.reshape(1, -1)).get().tobytes() == rows.tobytes()
    RANKS.broadcast(own)
    assert own.get().tobytes() == rows[0].tobytes()
    RANKS.hang_up()
    print(f"rank {RANKS.rank} is right", flush=True)


def whole(folder, cupy):
    trainer(folder).finish()
    assert all(made._state == "destroyed" for made in nccl._made)


def stopped(folder, cupy):
    """The last rank is asked to stop, in the fifth step."""

    def watch(run):
        if run.step == 4 and RANKS.rank == RANKS.size - 1:
            signal.raise_signal(signal.SIGUSR1)

    run = trainer(folder)
    run.watch = watch
    try:
        run.finish()
    except InterruptedTraining:
        assert is_real() or fake_cupy.machine.counts.graph_launches
        print(f"rank {RANKS.rank} stopped after {run.step}", flush=True)


def watched(folder, cupy):
    """A hook on rank 1 alone keeps all of them from replaying."""
    run = trainer(folder)
    if RANKS.rank:
        run.model.fc.register_forward_hook(lambda *_: None)
    run.run()
    assert is_real() or not fake_cupy.machine.counts.graph_launches


def fail(folder, cupy):
    def watch(run):
        if run.step == 5 and RANKS.rank:
            raise RuntimeError("planted")

    run = trainer(folder)
    run.watch = watch
    run.run()


def dealt(folder, cupy):
    run_all([trainer(folder / str(number), shards=1, iterations=1) for number in range(2)])


def unequal(folder, cupy):
    """Rank 1 sums up less than rank 0."""
    RANKS.sum(cupy.zeros(8 - 4 * RANKS.rank, np.float32))


JOBS = {job.__name__: job for job in (calls, whole, stopped, watched, fail, dealt, unequal)}

if __name__ == "__main__":
    name, folder = sys.argv[1:]
    assert RANKS.rank == place().rank
    with gpu() as cupy:
        JOBS[name](Path(folder), cupy)
