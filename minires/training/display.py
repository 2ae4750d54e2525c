"""Progress in the terminal: a bar for each network and one for all of them."""

from __future__ import annotations

from collections.abc import Sequence
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

from ..nn import summary
from .trainer import Trainer


class Display:
    """Progress bars for trainers that run one after the other; pass `display.watch` to each.

    The time left for all of them is reckoned in multiply-adds, since a deep network's iteration
    takes longer than a shallow one's.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]:<24}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            speed_estimate_period=120,
        )
        self.tasks: dict[Trainer, TaskID] = {}
        self.cost: dict[Trainer, int] = {}

    def add(self, trainers: Sequence[Trainer]) -> None:
        """Show these networks, none begun yet."""
        for trainer in trainers:
            self.cost[trainer] = summary(trainer.model).multiply_adds * trainer.recipe.batch_size
            self.tasks[trainer] = self.progress.add_task(
                trainer.folder.name,
                total=trainer.recipe.iterations,
                note="",
                start=False,
            )
        self.everything = self.progress.add_task("all", total=self.total(done=False), note="")

    def total(self, *, done: bool) -> int:
        """Multiply-adds of a forward pass, over all iterations: those done, or all."""
        return sum(c * (t.step if done else t.recipe.iterations) for t, c in self.cost.items())

    def watch(self, trainer: Trainer) -> None:
        """Show a trainer's new step."""
        task = self.tasks[trainer]
        self.progress.start_task(task)
        self.progress.update(task, completed=trainer.step, note=note(trainer))
        self.progress.update(self.everything, completed=self.total(done=True))

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()


def note(trainer: Trainer) -> str:
    """The latest mean loss, and the throughput with evaluations included."""
    speed = trainer.step * trainer.recipe.batch_size / trainer.seconds
    loss = "" if trainer.loss is None else f"loss {trainer.loss:.2f}"
    return f"{loss:<10} {speed:5.0f} images/s"
