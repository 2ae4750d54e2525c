"""Every distinct convolution of the ResNets and of VGG-16, and its gradients, beside PyTorch's.

    python benchmarks/convolutions.py [--networks cifar,vgg16,...] [--json FILE] [--compare FILE]

minires and PyTorch (channels_last) run in two processes, tied to the same cores, that take turns.
Batches are of 128 images for the CIFAR networks, of 8 for those at 224 x 224. The table begins with
what is slowest beside PyTorch: a ratio below 1 means that PyTorch is faster.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from engines import PEERS
from rich.table import Table
from shapes import NETWORKS, Convolution, distinct
from tables import (
    ALL_CORES,
    JsonFile,
    Repeats,
    Rows,
    Seconds,
    Threads,
    console,
    machine,
    new_table,
    ratios,
    spread,
    write,
)
from turns import Worker, compare


def measure(networks: list[str], threads: int, repeats: int, seconds: float) -> Rows:
    """A row for each layer and each of forward, input gradient and weight gradient."""
    rows: Rows = []
    with Worker("minires", threads) as ours, Worker("torch", threads) as theirs:
        workers = [ours, theirs]
        for (shape, batch), names in distinct(networks).items():
            for gradient in shape.gradients():
                with console.status(f"{shape.name}, {gradient}"):
                    row = measure_one(workers, shape, batch, gradient, repeats, seconds)
                rows.append(row | {"networks": names})
    return sorted(rows, key=lambda row: row["ratio"])


def measure_one(
    workers: list[Worker],
    shape: Convolution,
    batch: int,
    gradient: str,
    repeats: int,
    seconds: float,
) -> dict:
    job = {"shape": shape, "batch": batch, "gradient": gradient}
    facts = [worker.prepare("convolution", **job) for worker in workers]
    times = compare(workers, repeats, seconds)
    return {
        "work": f"{shape.name}, {gradient}, b{batch}",
        "peer": "torch",
        "peer_version": facts[1]["version"],
        **times,
        "ours_gflops": shape.operations(batch) / times["ours_ms"] / 1e6,
        "peer_gflops": shape.operations(batch) / times["peer_ms"] / 1e6,
    }


def show(rows: Rows, earlier: dict[tuple[str, str], float], title: str) -> Table:
    """The table; with an earlier measurement, its ratios beside."""
    numbers = ["minires, ms", "torch, ms", "GFLOP/s", "ratio", *["earlier"] * bool(earlier)]
    table = new_table(title, ["convolution", "networks"], numbers)
    for row in rows:
        before = earlier.get((row["work"], row["peer"]))
        table.add_row(
            row["work"],
            ", ".join(row["networks"]),
            f"{row['ours_ms']:.2f}",
            f"{row['peer_ms']:.2f}",
            f"{row['ours_gflops']:.0f} / {row['peer_gflops']:.0f}",
            spread(row["ratio"], row["ratio_quartiles"], "{:.2f}"),
            *["" if before is None else f"{before:.2f}"] * bool(earlier),
        )
    return table


def known(networks: str) -> list[str]:
    """The networks asked for; a sentence for one that is not in the table."""
    names = networks.split(",")
    if unknown := set(names) - set(NETWORKS):
        raise typer.BadParameter(f"--networks knows {', '.join(NETWORKS)}, not {unknown.pop()!r}")
    return names


def main(
    networks: Annotated[str, typer.Option(help="separated by commas")] = ",".join(NETWORKS),
    repeats: Repeats = 7,
    seconds: Seconds = 20,
    threads: Threads = ALL_CORES,
    json_file: JsonFile = None,
    compare: Annotated[Path | None, typer.Option(help="JSON of an earlier measurement")] = None,
) -> None:
    """Time convolutions of minires and of PyTorch, worst first."""
    names = known(networks)
    if missing := PEERS["torch"].missing():
        raise SystemExit(f"nothing to compare with: pip install {missing[0]}")
    rows = measure(names, threads, repeats, seconds)
    title = f"{machine(threads)}, torch {rows[0]['peer_version']}"
    console.print(show(rows, ratios(compare), title))
    write(json_file, threads, rows)


if __name__ == "__main__":
    typer.run(main)
