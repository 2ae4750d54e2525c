"""Progress of a training: bars in a terminal; elsewhere a plain line every half minute."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from .pace import Pace, duration
from .trainer import Trainer

EVERY = 30  # seconds from one plain line to the next
FIRST = 5  # seconds of training from which the whole time is estimated


class Display:
    """Shows trainers that run one after the other; pass `display.watch` to each.

    Trainers that run `side_by_side` are shown without a speed and a time left of their own.

    After the first seconds it says how long all of them will still take. Where the output is no
    terminal (nohup, a batch system, a pipe), lines take the place of bars.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        side_by_side: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.console, self.clock = console or Console(), clock
        self.side_by_side = side_by_side
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]:<24}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self.console,
            speed_estimate_period=120,
            disable=not self.console.is_terminal,
        )
        self.tasks: dict[Trainer, TaskID] = {}
        self.is_estimated = False
        self.told = clock()  # when the last plain line was printed

    def add(self, trainers: Sequence[Trainer]) -> None:
        """Show these networks, none begun yet."""
        self.pace = Pace(trainers, self.clock)
        for trainer in trainers:
            self.tasks[trainer] = self.progress.add_task(
                trainer.folder.name,
                total=trainer.recipe.iterations,
                note="",
                start=False,
            )
        self.everything = self.progress.add_task("all", total=self.pace.whole(), note="")

    def watch(self, trainer: Trainer) -> None:
        """Show a trainer's new step."""
        self.pace.note(trainer)
        task = self.tasks[trainer]
        self.progress.start_task(task)
        note = f"{loss(trainer):<10} {self.speed(trainer):>14}"
        self.progress.update(task, completed=trainer.step, note=note)
        self.progress.update(self.everything, completed=self.pace.done())
        if not self.is_estimated and self.pace.measured[0] >= FIRST:
            self.is_estimated = True
            if self.pace.left() >= FIRST:
                self.say(self.estimate())
        is_finished = trainer.step == trainer.recipe.iterations
        if not self.console.is_terminal and (is_finished or self.clock() - self.told >= EVERY):
            self.told = self.clock()
            self.say(self.line(trainer))

    def estimate(self) -> str:
        """How long everything will still take."""
        return f"By the first iterations, about {duration(self.pace.left())} are left."

    def line(self, trainer: Trainer) -> str:
        """How far a trainer has come, in plain text."""
        iterations, left = trainer.recipe.iterations, self.pace.left(trainer)
        parts = [f"{trainer.folder.name}: iteration {trainer.step} of {iterations}"]
        parts += filter(None, (loss(trainer), self.speed(trainer)))
        if trainer.step < iterations and not math.isnan(left) and not self.side_by_side:
            parts.append(f"{duration(left)} left")
        if len(self.tasks) > 1 and (everything := self.pace.left()) > 0:
            parts.append(f"{duration(everything)} left for all")
        return ", ".join(parts)

    def speed(self, trainer: Trainer) -> str:
        """The throughput, with evaluations included; "" if others have the GPU as well."""
        if self.side_by_side:
            return ""
        return f"{trainer.step * trainer.recipe.batch_size / trainer.seconds:.0f} images/s"

    def say(self, text: str) -> None:
        """A line of its own, above the bars if there are any."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()


def plain_lines(console: Console) -> Callable[[Trainer], None]:
    """A `watch` that shows trainers which nobody knows beforehand, one by one and in plain lines.

    In a terminal it shows nothing.
    """
    displays: dict[Trainer, Display] = {}

    def watch(trainer: Trainer) -> None:
        if console.is_terminal:
            return
        if trainer not in displays:
            displays[trainer] = Display(console)
            displays[trainer].add([trainer])
        displays[trainer].watch(trainer)

    return watch


def loss(trainer: Trainer) -> str:
    """The latest mean loss; "" before the first record."""
    return "" if trainer.loss is None else f"loss {trainer.loss:.2f}"
