"""A busy machine: a training step while other programs want the cores, beside one while none does.

    python benchmarks/busy.py [--programs 1] [--network resnet20] [--peers torch] [--json FILE]

A busy program is a Python that counts. Each engine takes turns, quiet and busy, in a process of its
own tied to the cores. `slower` is what a busy machine costs, the median over the pairs of turns; by
fair sharing alone it would be (cores + programs) / cores.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any

import numpy as np
import typer
from engines import peer_of
from tables import (
    ALL_CORES,
    JsonFile,
    Repeats,
    Rows,
    Threads,
    console,
    machine,
    new_table,
    spread,
    write,
)
from turns import Worker

BATCH = 128
COUNT = "n = 0\nwhile True: n += 1"
TOGETHER = 3  # calls of a turn: a time slice of the system is shorter than they are


@contextmanager
def busy_programs(number: int) -> Iterator[None]:
    """So many programs that never rest."""
    with ExitStack() as stack:
        for _ in range(number):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", COUNT]))
            stack.callback(process.kill)
        yield


def measure(engine: str, network: str, programs: int, threads: int, repeats: int) -> dict[str, Any]:
    """Milliseconds of a step, quiet and busy: medians with quartiles."""
    with Worker(engine, threads) as worker:
        worker.prepare("train", network=network, batch=BATCH)
        quiet, busy = [], []
        for _ in range(repeats):
            quiet.append(worker.turn(TOGETHER)["ms"])
            with busy_programs(programs):
                busy.append(worker.turn(TOGETHER)["ms"])
    columns = {"quiet": quiet, "busy": busy, "slower": np.divide(busy, quiet)}
    row: dict[str, Any] = {"engine": engine, "network": network, "programs": programs}
    for name, values in columns.items():
        low, row[name], high = np.percentile(values, (25, 50, 75)).tolist()
        row[f"{name}_quartiles"] = [low, high]
    return row


def show(rows: Rows, threads: int) -> None:
    """The table."""
    programs = rows[0]["programs"]
    fair = (threads + programs) / threads
    title = f"{machine(threads)}; {programs} busy; fair sharing: {fair:.2f} times as long"
    table = new_table(title, ["engine", "network"], ["quiet, ms", "busy, ms", "slower"])
    forms = {"quiet": "{:.0f}", "busy": "{:.0f}", "slower": "{:.2f}"}
    for row in rows:
        cells = [spread(row[k], row[f"{k}_quartiles"], form) for k, form in forms.items()]
        table.add_row(row["engine"], row["network"], *cells)
    console.print(table)


def main(
    programs: Annotated[int, typer.Option(min=1, help="how many others are busy")] = 1,
    network: Annotated[str, typer.Option(help="a CIFAR ResNet, as resnet20")] = "resnet20",
    peers: Annotated[str, typer.Option(help="engines, separated by commas")] = "torch",
    repeats: Repeats = 9,
    threads: Threads = ALL_CORES,
    json_file: JsonFile = None,
) -> None:
    """Time minires and peers on a quiet and on a busy machine."""
    rows = []
    for engine in ["minires:float32", *filter(None, peers.split(","))]:
        if engine.startswith("minires") or not (missing := peer_of(engine).missing()):
            with console.status(engine):
                rows.append(measure(engine, network, programs, threads, repeats))
        else:
            console.print(f"{engine}: left out, because {', '.join(missing)} is not installed")
    show(rows, threads)
    write(json_file, threads, rows)


if __name__ == "__main__":
    typer.run(main)
