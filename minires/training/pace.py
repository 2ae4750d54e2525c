"""How long trainings still take, reckoned from the iterations done.

Time is reckoned in forward passes of multiply-adds, since a deep network's iteration takes longer
than a shallow one's: an image costs three in training (forward, and both gradients of backward) and
one in an evaluation.
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
        self.begun: tuple[float, int] | None = None  # time and work after the warm-up
        self.now = (0.0, 0)

    def note(self, trainer: Trainer) -> None:
        """Count an iteration, and look at the clock: on a GPU only where the host waited for it."""
        self.iterations += 1
        self.work += self.costs[trainer] * (
            images(trainer, trainer.step) - images(trainer, trainer.step - 1)
        )
        if trainer.replay.on_gpu and not trainer.recipe.due(trainer.step):
            return
        self.now = (self.clock(), self.work)
        if self.begun is None or self.iterations <= WARM_UP:
            self.begun = self.now

    @property
    def measured(self) -> tuple[float, int]:
        """Seconds and work from which the estimate comes."""
        begun = self.begun or self.now
        return self.now[0] - begun[0], self.now[1] - begun[1]

    def left(self, *trainers: Trainer) -> float:
        """Seconds that these trainers, or all, still take; NaN as long as nobody can tell."""
        seconds, work = self.measured
        todo = self.whole(*trainers) - self.done(*trainers)
        return todo * seconds / work if work else math.nan

    def whole(self, *trainers: Trainer) -> int:
        """The work of all their iterations."""
        return sum(self.costs[t] * images(t, t.recipe.iterations) for t in trainers or self.costs)

    def done(self, *trainers: Trainer) -> int:
        """The work that is done, earlier sessions' included."""
        return sum(self.costs[t] * images(t, t.step) for t in trainers or self.costs)


def multiply_adds(trainer: Trainer) -> int:
    """Of a forward pass of one image."""
    return summary(trainer.model, trainer.dataset.train_images.shape[1:]).multiply_adds


def images(trainer: Trainer, step: int) -> int:
    """How many pass through the network in so many iterations; in training each counts as three."""
    recipe = trainer.recipe
    evaluations = step // recipe.evaluate_every + (
        step == recipe.iterations and step % recipe.evaluate_every > 0
    )
    return 3 * step * recipe.batch_size + evaluations * trainer.identity["test_images"]


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if math.isnan(seconds):
        return "not recorded"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
