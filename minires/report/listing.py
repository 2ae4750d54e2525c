"""All runs below a folder: how far each has come, and how to go on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from ..training.checkpoints import CHECKPOINT
from ..training.claim import holder, is_claimed
from ..training.going_on import command_for
from ..training.pace import duration
from .runs import Run, read_run

BY_HAND = "call {} of the same Trainer"


class Listed(NamedTuple):
    """A run as the list shows it; `remark` says why it diverged, or how to go on."""

    name: str
    state: str
    done: str
    left: str
    remark: str


def list_runs(folder: Path) -> tuple[list[Listed], list[str]]:
    """All runs below a folder, and a sentence for each that can't be read.

    Raises: FileNotFoundError where there is none.
    """
    found, notes = [], []
    for config in sorted(folder.rglob("config.json")):
        try:
            found.append(listed(read_run(config.parent), config.parent, folder))
        except (ValueError, OSError) as error:
            notes.append(f"{config.parent} is left out: {error}")
    if not found and not notes:
        raise FileNotFoundError(f"there are no runs below {folder}: name their folder")
    return found, notes


def listed(run: Run, place: Path, root: Path) -> Listed:
    """One run below the folder `root`."""
    iterations, done = run.config["recipe"]["iterations"], iterations_done(run)
    state = state_of(run, place)
    return Listed(
        name=str(place.relative_to(root)),
        state=", ".join(filter(None, (state, holder(place) if state == "running" else ""))),
        done=f"{done:,} of {iterations:,}",
        left=duration(seconds_left(run)) if done and state in ("running", "interrupted") else "",
        remark=remark(run, place, state),
    )


def state_of(run: Run, place: Path) -> str:
    """In a word."""
    if run.is_finished:
        return "finished"
    if is_claimed(place):
        return "running"
    return "diverged" if reasons(run) else "interrupted"


def remark(run: Run, place: Path, state: str) -> str:
    """What to know of a run that has ended early."""
    if state == "interrupted":
        return f"To go on: {command_for(place) or by_hand(place)}"
    return f"{place.name} diverged: {reasons(run)[-1]}" if state == "diverged" else ""


def by_hand(place: Path) -> str:
    """What to call where no command is kept; before the first checkpoint a run begins anew."""
    return BY_HAND.format("resume() and run()" if (place / CHECKPOINT).exists() else "run()")


def reasons(run: Run) -> list[str]:
    """Why it diverged."""
    return [record["reason"] for record in run.records if record["kind"] == "diverged"]


def iterations_done(run: Run) -> int:
    """As far as the records tell."""
    return max((record["step"] for record in run.records), default=0)


def seconds_left(run: Run) -> float:
    """At the pace so far."""
    iterations, done = run.config["recipe"]["iterations"], iterations_done(run)
    return run.records[-1].get("seconds", math.nan) / done * (iterations - done)


def listing_table(runs: list[Listed]) -> Table:
    """For the terminal."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("run", "state"):
        table.add_column(heading, overflow="fold")
    for heading in ("iterations", "time left"):
        table.add_column(heading, justify="right")
    for run in runs:
        table.add_row(Text(run.name), run.state, run.done, run.left)
    return table
