"""Learning rates. A schedule is a function of the iteration, counted from 0, and of nothing else.

So a resumed run needs no state of it, and a test can ask for any iteration. Epochs play no part:
the paper counts iterations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..common.expecting import expects

Schedule = Callable[[int], float]


@expects(peak=float, drops=Sequence)
@dataclass(frozen=True)
class StepDecay:
    """`peak`, multiplied by `factor` from each of the iterations `drops` on."""

    peak: float
    drops: tuple[int, ...]
    factor: float = 0.1

    def __call__(self, step: int) -> float:
        """Learning rate of iteration `step`."""
        return self.peak * self.factor ** sum(step >= drop for drop in self.drops)


def stop_must_come_after_start(schedule: LinearDecay | CosineDecay) -> None:
    if schedule.stop <= schedule.start:
        raise ValueError(
            f"{type(schedule).__name__}: stop must come after start, {schedule.start}, but is "
            f"{schedule.stop}"
        )


@expects(peak=float, start=float, stop=float)
@dataclass(frozen=True)
class LinearDecay:
    """`peak` until `start`, then along a straight line to 0 at `stop`, which comes later."""

    peak: float
    start: int
    stop: int

    def __post_init__(self) -> None:
        stop_must_come_after_start(self)

    def __call__(self, step: int) -> float:
        """Learning rate of iteration `step`."""
        left = (self.stop - step) / (self.stop - self.start)
        return self.peak * min(1.0, max(0.0, left))


@expects(peak=float, start=float, stop=float)
@dataclass(frozen=True)
class CosineDecay:
    """`peak` until `start`, then down half a wave of the cosine to 0 at `stop`, which comes later.

    Loshchilov & Hutter 2017, eq. 5, without restarts.
    """

    peak: float
    start: int
    stop: int

    def __post_init__(self) -> None:
        stop_must_come_after_start(self)

    def __call__(self, step: int) -> float:
        """Learning rate of iteration `step`."""
        done = (step - self.start) / (self.stop - self.start)
        return self.peak * (1 + math.cos(math.pi * min(1.0, max(0.0, done)))) / 2


@expects(steps=int, then=Callable)
@dataclass(frozen=True)
class LinearWarmUp:
    """Another schedule, scaled from 1/steps to 1 during the first `steps` iterations."""

    steps: int
    then: Schedule

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(
                f"LinearWarmUp: steps must be at least 1, not {self.steps}: without a warm-up, use "
                "the other schedule alone"
            )

    def __call__(self, step: int) -> float:
        """Learning rate of iteration `step`."""
        return self.then(step) * min(1.0, (step + 1) / self.steps)


@expects(steps=int, lr=float, then=Callable)
@dataclass(frozen=True)
class ConstantWarmUp:
    """`lr` during the first `steps` iterations, then another schedule as if it had always run.

    He et al. 2015, sec. 4.2, train their 110-layer network at 0.01 "until the training error is
    below 80% (about 400 iterations)", then at 0.1.
    """

    steps: int
    lr: float
    then: Schedule

    def __call__(self, step: int) -> float:
        """Learning rate of iteration `step`."""
        return self.lr if step < self.steps else self.then(step)
