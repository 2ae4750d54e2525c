"""What the benchmarks' tables and JSON files have in common."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from minires.environment import available_cores, environment, processor

Rows = list[dict[str, Any]]

Threads = Annotated[int, typer.Option(min=1, help="of every engine", show_default="all cores")]
Repeats = Annotated[int, typer.Option(min=3, help="turns of each engine")]
Seconds = Annotated[float, typer.Option(min=0, help="end a row early, after three turns or more")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="write the rows here")]
# in a pipe or a file no word is cut off
console = Console(width=None if sys.stdout.isatty() else 150)
ALL_CORES = len(available_cores())


def new_table(title: str, left: list[str], right: list[str]) -> Table:
    """An empty table: some columns of words, then some of numbers."""
    table = Table(title=title)
    for heading in left:
        table.add_column(heading)
    for heading in right:
        table.add_column(heading, justify="right")
    return table


def machine(threads: int) -> str:
    """The line that tells where figures come from."""
    return f"{processor()}, {threads} of {ALL_CORES} cores"


def write(path: Path | None, threads: int, rows: Rows, **facts: Any) -> None:
    """Keep the rows, with all that one must know to read them."""
    if path:
        made_on = {"machine": machine(threads), "threads": threads, "versions": environment()}
        path.write_text(json.dumps(made_on | facts | {"rows": rows}, indent=2) + "\n")


def ratios(path: Path | None) -> dict[tuple[str, str], float]:
    """The ratios of an earlier file, by work and peer."""
    rows = json.loads(path.read_text())["rows"] if path else []
    return {(row["work"], row["peer"]): row["ratio"] for row in rows}


def spread(median: float, quartiles: list[float], form: str) -> str:
    """A median with its quartiles."""
    return f"{form.format(median)} ({', '.join(map(form.format, quartiles))})"
