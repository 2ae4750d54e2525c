"""Several networks trained at once on a GPU, each on a stream of its own.

The kernels of a small network do not fill a GPU; those of several networks fill it better. One
thread serves all of them in turns: an iteration is one launch of a graph, so the host is far ahead
of the GPU, and nothing in Python has to be safe for threads. The bits are those of a network
trained alone, since no two streams write to the same memory: each has its own counters of arrivals
(`kernels/cuda/launch.py`), each recording its own pool, and CuPy's common pool gives what a stream
has freed to that stream alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

from ..distributed import world
from ..kernels.devices import own_stream, wait_for_all
from .dealing import FAILURES, Failures, Runs, run_dealt
from .divergence import DivergedError
from .interrupt import InterruptedTraining, StopRequest
from .trainer import Trainer


def run_side_by_side(trainers: Sequence[Trainer]) -> None:
    """Run all trainers to their ends, from their checkpoints: at once on a GPU, else in order.

    Several ranks get a share each. A network that diverges drops out, and the others go on. On a
    GPU the `seconds` of a record are the host's time for this one network, its waits included:
    those of all add up to the whole time.

    Raises: InterruptedTraining after Ctrl-C, with all of them saved; at the end, the first
    DivergedError.
    """
    if (ranks := world()).size > 1:
        run_dealt(ranks, list(trainers), share_of_a_rank)
        return
    if diverged := run_own(trainers):
        raise diverged[0]


def share_of_a_rank(runs: Runs) -> Failures:
    """Train a rank's runs; returns what has gone wrong, under the first numbers."""
    try:
        faults: list[BaseException] = [*run_own(list(runs.values()))]
    except FAILURES as failure:
        faults = [failure]
    return dict(zip(runs, faults, strict=False))


def run_own(trainers: Sequence[Trainer]) -> list[DivergedError]:
    """Those on a GPU at once, then each other one; returns which diverged."""
    on_gpu = [trainer for trainer in trainers if trainer.model.device == "cuda"]
    others = [[trainer] for trainer in trainers if trainer not in on_gpu]
    diverged: list[DivergedError] = []
    for group in [on_gpu, *others]:
        diverged += take_turns(group)
    return diverged


def take_turns(trainers: Sequence[Trainer]) -> list[DivergedError]:
    """Train these in turns, an iteration each; returns what went wrong with whom."""
    lanes = [Lane(trainer) for trainer in trainers]
    with StopRequest() as stop, ExitStack() as stack:
        for lane in lanes:
            stack.enter_context(lane.opened())
        running = [lane for lane in lanes if lane.do(lane.trainer.resume_if_begun)]
        while running and not stop.requested:
            running = [lane for lane in running if lane.do(lane.advance) and not lane.is_finished]
        if stop.requested:
            for lane in running:
                lane.do(lane.stop)
            farewells = [lane.farewell for lane in running]
            raise InterruptedTraining("\n".join(farewells) or "stopped between two networks")
    return [lane.fault for lane in lanes if lane.fault]


class Lane:
    """A trainer that takes turns with others, and the stream of its work."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.iterations = trainer, trainer.iterations()
        self.stream: Any = nullcontext()
        if trainer.model.device == "cuda":
            wait_for_all()  # the network was made on another stream
            self.stream = own_stream()
        self.is_finished = False
        self.fault: DivergedError | None = None
        self.farewell = ""

    @contextmanager
    def opened(self) -> Iterator[None]:
        """At its end the trainer lets everything go, on the stream that it was used on."""
        try:
            yield
        finally:
            with self.stream:
                self.iterations.close()

    def do(self, act: Callable[[], None]) -> bool:
        """Do something on the lane's stream; False if the network diverges."""
        try:
            with self.stream:
                act()
        except DivergedError as error:
            self.fault, self.farewell = error, str(error)
        return self.fault is None

    def advance(self) -> None:
        """One iteration, if there is one left."""
        self.is_finished = next(self.iterations, self) is self

    def stop(self) -> None:
        """Save, and note what the trainer says about it."""
        try:
            self.trainer.stop()
        except InterruptedTraining as stopped:
            self.farewell = str(stopped)
