"""Runs dealt to ranks: each is trained by one rank, or its shards by a few, as if it were alone.

The longest runs are dealt first, each to the ranks with the least work so far. Rank 0 hears how far
all runs have come, and shows it. At the end every rank has every network, trained.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..distributed import ALONE, Alone
from ..distributed.nccl import refuse_shared_gpus
from ..distributed.shards import largest_group
from .divergence import DivergedError
from .interrupt import InterruptedTraining, StopRequest
from .pace import images, multiply_adds
from .trainer import Trainer

EVERY = 0.5  # seconds between two reports of a run
Runs = dict[int, Trainer]  # by number
Failures = dict[int, BaseException]
Train = Callable[[Runs], Failures]
FAILURES = DivergedError, InterruptedTraining, ValueError, OSError


def deal(costs: Sequence[float], players: int) -> list[list[int]]:
    """The numbers of the runs of each player, the longest first."""
    hands: list[list[int]] = [[] for _ in range(players)]
    work = [0.0] * players
    for run in sorted(range(len(costs)), key=lambda run: -costs[run]):
        player = work.index(min(work))
        hands[player].append(run)
        work[player] += costs[run]
    return hands


def hands_of(ranks: Alone, trainers: Sequence[Trainer]) -> tuple[int, list[list[int]]]:
    """How many ranks train a run together, and the numbers of each such group's runs."""
    size = largest_group(min(trainer.recipe.shards for trainer in trainers), ranks.size)
    return size, deal([cost(trainer) for trainer in trainers], ranks.size // size)


def plan(ranks: Alone, trainers: Sequence[Trainer]) -> str:
    """Which ranks train what, in words."""
    size, hands = hands_of(ranks, trainers)
    lines = []
    for group, hand in enumerate(hands):
        who = named(range(group * size, (group + 1) * size))
        what = ", ".join(trainers[number].folder.name for number in hand)
        lines.append(f"{who}: {what or 'nothing to do'}.")
    if left_over := range(len(hands) * size, ranks.size):
        lines.append(f"{named(left_over)}: left over, since {size} ranks train a run.")
    return "\n".join(lines)


def named(ranks: range) -> str:
    first, last = ranks[0], ranks[-1]
    return f"Rank {first}" if first == last else f"Ranks {first} to {last}"


def run_dealt(ranks: Alone, trainers: list[Trainer], train: Train | None = None) -> None:
    """Train all, each rank its own; all ranks must call it with the same runs.

    `train` trains a rank's own; without it, or where ranks share runs, one follows the other.

    Raises: on all ranks what the first of the runs that failed has raised; the others are finished.
    """
    if not trainers:
        return
    ranks.agree("their runs", [trainer.identity for trainer in trainers])
    devices = [trainer.model.device for trainer in trainers]
    ranks.agree("the devices", devices)
    if "cuda" in devices:
        refuse_shared_gpus(ranks)
    size, hands = hands_of(ranks, trainers)
    group = ranks.group(size)
    own = {number: trainers[number] for number in hands[ranks.rank // size]} if group else {}
    reporter = Reporter(ranks, trainers)
    for trainer in own.values():
        trainer.world, trainer.watch = group or ranks, reporter.watch
    with StopRequest() as stop:
        failures = train(own) if train and size == 1 else one_by_one(own, stop)
        ranks.wait(reporter.take_reports)
    for trainer, watch in zip(trainers, reporter.watching, strict=True):
        trainer.watch = watch
    everything = {n: failure for part in ranks.exchange(failures) for n, failure in part.items()}
    if everything:
        raise everything[min(everything)]
    for number in set(range(len(trainers))) - set(own):
        trainers[number].world = ALONE
        trainers[number].restore()


def cost(trainer: Trainer) -> int:
    """Multiply-adds of a run's forward passes that are still to come."""
    return multiply_adds(trainer) * images(trainer, trainer.recipe.iterations)


def one_by_one(runs: Runs, stop: StopRequest) -> Failures:
    """Finish these in order, until one is stopped; returns what has kept any from its end."""
    failures: Failures = {}
    for number, trainer in runs.items():
        if failure := failure_of(trainer, stop):
            failures[number] = failure
        if isinstance(failure, InterruptedTraining):
            break
    return failures


def failure_of(trainer: Trainer, stop: StopRequest) -> BaseException | None:
    """Finish a run; returns what has kept it from its end."""
    try:
        if stop.requested:
            raise InterruptedTraining(f"{trainer.name}: stopped before it had begun")
        trainer.finish()
    except FAILURES as failure:
        return failure
    return None


class Reporter:
    """How far all ranks have come, for whoever watches on rank 0."""

    def __init__(self, ranks: Alone, trainers: list[Trainer]) -> None:
        self.ranks, self.trainers = ranks, trainers
        self.watching = [trainer.watch for trainer in trainers]
        self.numbers = {trainer: number for number, trainer in enumerate(trainers)}
        self.sent = 0.0

    def watch(self, trainer: Trainer) -> None:
        """After a step of one of this rank's runs."""
        number = self.numbers[trainer]
        if self.ranks.rank == 0:
            self.watching[number](trainer)
            self.take_reports()
        elif trainer.world.rank == 0 and self.is_due(trainer):
            self.ranks.report((number, trainer.step, trainer.loss, trainer.seconds))

    def is_due(self, trainer: Trainer) -> bool:
        """Whether rank 0 shall hear of this step."""
        now = time.monotonic()
        if now - self.sent < EVERY and trainer.step < trainer.recipe.iterations:
            return False
        self.sent = now
        return True

    def take_reports(self) -> None:
        """Show what other ranks have sent."""
        for number, *news in self.ranks.reports():
            trainer = self.trainers[number]
            trainer.step, trainer.loss, trainer.seconds = news
            self.watching[number](trainer)
