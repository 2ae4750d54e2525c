"""What ranks do in the tests, as `mpiexec -n 2 python -m tests.distributed.job NAME FOLDER`."""

import dataclasses
import importlib
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import minires.distributed
from minires.distributed import place, silence_other_ranks, world
from minires.distributed.tree import tree_sum
from minires.training import InterruptedTraining, LinearDecay, run_all, run_side_by_side
from tests.training.small import dataset, trainer

SHARDED = {"shards": 4, "iterations": 6, "record_every": 2, "evaluate_every": 6}
SHARDED |= {"checkpoint_every": 2, "test_images": None}
TINY = {"iterations": 4, "batch_size": 4, "record_every": 2, "evaluate_every": 4}
TINY |= {"checkpoint_every": 2, "test_images": 4}
LIMIT = 100  # seconds after which mpiexec ends its ranks, and leaves none behind
OFTEN = {"iterations": 60, "record_every": 20, "evaluate_every": 60, "shards": 2}
OFTEN |= {"schedule": LinearDecay(peak=0.05, start=5, stop=60), "batch_size": 4}
HARM_DONE = "harm done"  # a file that tells when
HARMED = {**TINY, "iterations": 8, "record_every": 4, "shards": 2}


def sharded(folder, watch=None, **changes):
    """A run in four shards, tested on 505 images: three batches, the last one short.

    Other ranks than the first have a folder without any file, as on a disk of their own.
    """
    own = folder if place().rank == 0 else folder / "elsewhere"
    return trainer(own, data=dataset(test=505), watch=watch, **SHARDED | changes)


def stopped(folder):
    """Rank 1 alone is asked to stop, in the third step."""

    def watch(run):
        if run.step == 2 and place().rank == 1:
            signal.raise_signal(signal.SIGUSR1)

    run = sharded(folder, watch)
    try:
        run.finish()
    except InterruptedTraining:
        print(f"rank {place().rank} stopped after {run.step}", flush=True)


def whole(folder):
    sharded(folder).finish()


def often(folder):
    """A run in two shards, whose ranks are asked to stop again and again, at any moment."""
    ranks, moments = world(), random.Random(place().rank)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # between two runs
    steps = []
    for _ in range(6):
        run = sharded(folder, **OFTEN)
        asking = threading.Timer(moments.uniform(0.05, 0.3), signal.raise_signal, [signal.SIGUSR1])
        asking.start()
        try:
            run.finish()
            break
        except InterruptedTraining:
            ranks.agree("the step after which they stop", run.step)
            steps.append(run.step)
        finally:
            asking.cancel()
    sharded(folder, **OFTEN).finish()
    print(f"rank {place().rank} was stopped {len(steps)} times, after {steps}", flush=True)


def drill(folder, **harm):
    """A run in two shards, in which rank 1 does harm after the third step."""

    def watch(run):
        if run.step == 3 and place().rank == 1:
            (folder / HARM_DONE).touch()
            harm["act"](run)

    depth = harm.get("depth", 8) if place().rank else 8
    trainer(folder, depth=depth, watch=watch if "act" in harm else None, **HARMED).run()


def fail(run):
    raise RuntimeError("planted")


def drift(run):
    run.model.fc.bias.data[0] += 1


def hang(run):
    time.sleep(LIMIT)


def diverge(run):
    run.batches.prepare.mean[...] = np.nan


def experiment(folder):
    """An experiment at toy size, with a last sentence by rank 0 alone."""
    from minires.experiments import Setting, depths

    depths.DEEPEST = 20
    depths.DEPTHS = dataclasses.replace(depths.DEPTHS, members=depths.DEPTHS.members[:2])
    result = depths.run(Setting(folder, "toy"))
    print(f"rank {place().rank} has {len(result.findings)} findings", flush=True)


def runs(folder):
    """Three short runs; one more diverges if the folder's name says so."""
    made = [trainer(folder / f"run{seed}", seed=seed, **TINY) for seed in range(3)]
    if "diverging" in folder.name:
        made[2].batches.prepare.mean[...] = np.nan
    return made


def dealt(folder):
    made = runs(folder)
    run_all(made)
    weights = [float(run.model.fc.weight.data.sum()) for run in made]
    world().agree("trained networks", weights)


def side_by_side(folder):
    run_side_by_side(runs(folder))


def stopped_dealt(folder):
    """Both ranks are asked to stop in their first runs, as by Ctrl-C."""
    made = runs(folder)
    for run in made:
        run.do_what_is_due = lambda: signal.raise_signal(signal.SIGUSR1)
    try:
        run_all(made)
    except InterruptedTraining as stopped:
        print(f"rank {place().rank}: {stopped}", flush=True)


def calls(folder):
    """Everything that a world of four can do."""
    ranks, order = world(), folder / "order"
    assert (ranks.rank, ranks.size) == (place().rank, 4)
    assert minires.distributed.world() is ranks
    rows = np.random.default_rng(0).standard_normal((4, 1001)).astype(np.float32)
    rows *= 10.0 ** np.arange(4)[:, None]
    assert ranks.sum(rows[ranks.rank]).tobytes() == tree_sum(rows).tobytes()
    assert ranks.gather(rows[[ranks.rank]]).tobytes() == rows.tobytes()
    assert ranks.exchange(ranks.rank) == [0, 1, 2, 3]
    array = np.full(3, ranks.rank)
    ranks.broadcast(array)
    assert not array.any()
    assert ranks.share(lambda: ranks.rank) == 0
    for call in (lambda: ranks.share(missing), lambda: ranks.in_turn(missing_on_2)):
        with pytest.raises(FileNotFoundError, match="not there"):
            call()
    ranks.in_turn(lambda: note(order, ranks.rank))
    assert order.read_text().startswith("0\n")
    pairs = ranks.group(2)
    assert (pairs.rank, pairs.size) == (ranks.rank % 2, 2)
    assert (ranks.group(3) is None) == (ranks.rank == 3)
    if ranks.rank:
        ranks.report(ranks.rank)
    heard = []
    ranks.wait(lambda: heard.extend(ranks.reports()))
    assert sorted(heard) == ([] if ranks.rank else [1, 2, 3])
    assert os.environ["NUMBA_NUM_THREADS"] == "1" or os.cpu_count() > 4
    threads = importlib.import_module("numba").config.NUMBA_NUM_THREADS
    assert str(threads) == os.environ["NUMBA_NUM_THREADS"]
    print(f"rank {ranks.rank} is right", flush=True)


def note(path, rank):
    """Rank 0 takes longest."""
    time.sleep(0.3 * (rank == 0))
    with path.open("a") as file:
        file.write(f"{rank}\n")


def missing():
    raise FileNotFoundError("not there")


def missing_on_2():
    if place().rank == 2:
        missing()


JOBS = {
    "stopped": stopped,
    "whole": whole,
    "often": often,
    "experiment": experiment,
    "dealt": dealt,
    "calls": calls,
    "side_by_side": side_by_side,
    "stopped_dealt": stopped_dealt,
    "fail": lambda folder: drill(folder, act=fail),
    "exit": lambda folder: drill(folder, act=lambda run: sys.exit(0)),
    "killed": lambda folder: drill(folder, act=lambda run: os.kill(os.getpid(), signal.SIGKILL)),
    "drift": lambda folder: drill(folder, act=drift),
    "diverge": lambda folder: drill(folder, act=diverge),
    "hang": lambda folder: drill(folder, act=hang),
    "shapes": lambda folder: drill(folder, depth=14),
}

if __name__ == "__main__":
    name, folder = sys.argv[1:]
    if name == "dealt":
        silence_other_ranks()
    JOBS[name](Path(folder))
