"""How long trainings will still take, estimated from the iterations done.

Work is counted in multiply-adds, since a deep network's iteration takes longer than a shallow
one's. An image costs three forward passes in training (forward, and both gradients of backward)
and one in an evaluation.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from ..nn import summary
from .trainer import Trainer

WARM_UP = 2  # iterations in which kernels are compiled, and a GPU's launches recorded


class Pace:
    """The time left of trainers that run one after the other; call `note` after every iteration."""

    def __init__(
        self, trainers: Sequence[Trainer], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.costs = {trainer: multiply_adds(trainer) for trainer in trainers}
        self.clock = clock
        self.iterations, self.work = 0, 0  # of this session
        self.seen: dict[Trainer, int] = {}  # the step of each, when it was last noted
        self.begun: tuple[float, int] | None = None  # time and work after the warm-up
        self.now = (0.0, 0)

    def note(self, trainer: Trainer) -> None:
        """Count an iteration and read the clock, on a GPU only if the host has waited for it.

        Of a run that another rank trains, it may be several iterations.
        """
        self.iterations += 1
        before = self.seen.get(trainer, trainer.step - 1)
        self.seen[trainer] = trainer.step
        self.work += self.costs[trainer] * (images(trainer, trainer.step) - images(trainer, before))
        if trainer.replay.on_gpu and not trainer.recipe.due(trainer.step):
            return
        self.now = (self.clock(), self.work)
        if self.begun is None or self.iterations <= WARM_UP:
            self.begun = self.now

    @property
    def measured(self) -> tuple[float, int]:
        """Seconds and work that the estimate is made from."""
        begun = self.begun or self.now
        return self.now[0] - begun[0], self.now[1] - begun[1]

    def left(self, *trainers: Trainer) -> float:
        """Seconds that these trainers, or all, will still take; NaN before anything is measured."""
        seconds, work = self.measured
        if trainers:  # of those that run at once, each has its part of the pace
            seconds *= max(1, sum(t.step < t.recipe.iterations for t in self.seen))
        todo = self.whole(*trainers) - self.done(*trainers)
        return todo * seconds / work if work else math.nan

    def whole(self, *trainers: Trainer) -> int:
        """The work of all their iterations."""
        return sum(self.costs[t] * images(t, t.recipe.iterations) for t in trainers or self.costs)

    def done(self, *trainers: Trainer) -> int:
        """The work that is done, earlier sessions' included."""
        return sum(self.costs[t] * images(t, t.step) for t in trainers or self.costs)


def multiply_adds(trainer: Trainer) -> int:
    """Multiply-adds of one image's forward pass."""
    model, images = trainer.timed_network()
    return summary(model, images).multiply_adds


def images(trainer: Trainer, step: int) -> int:
    """How many images' forward passes the first `step` iterations cost, evaluations included."""
    recipe = trainer.recipe
    evaluations = step // recipe.evaluate_every + (
        step == recipe.iterations and step % recipe.evaluate_every > 0
    )
    return 3 * step * recipe.batch_size + evaluations * trainer.identity["test_images"]


def duration(seconds: float) -> str:
    """Seconds as text, in the unit that fits."""
    if math.isnan(seconds):
        return "not recorded"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
