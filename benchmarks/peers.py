"""minires beside other engines: a training step, inference, memory.

    python benchmarks/peers.py [--only train|infer|memory] [--peers torch,jax,onnxruntime,...]
                               [--precision float32|bfloat16] [--depths 20,56,110]
                               [--json FILE] [--compare FILE]

`--peers torch,torch:compile,torch:bfloat16,torch:bfloat16:compile` times PyTorch in each of its
modes; bfloat16 is autocast. `--peers onnxruntime,openvino,openvino:bfloat16` infer only.
`--precision` is that of minires.

Every engine runs in a process of its own, tied to the same number of cores; each is asked how many
threads it uses, and refused if the answer is another. The processes take turns, step by step, so
that a machine that slows down slows all of them. The table gives medians with quartiles, and the
number of cores that were busy. A ratio above 1 means that minires is faster, or smaller. Of several
peers the fastest is named.

The machine must have nothing else to do. If "cores busy" is below the number of threads, either
other programs ran or the engine does not use its threads. A busy machine would not be fair either:
PyTorch's threads wait in a loop by default, so they lose more to other programs than ours, which
sleep.

All engines compute the same function of the same weights: `tests/benchmarks` compares them.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from engines import PEERS, peer_of
from networks import CIFAR_DEPTHS
from rich.table import Table
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

Kind = Enum("Kind", {name: name for name in ("train", "infer", "memory")}, type=str)
Precision = Enum("Precision", {name: name for name in ("float32", "bfloat16")}, type=str)
Job = tuple[str, str, int]  # kind, network, images a batch

BATCH = 128
INFERENCE: tuple[Job, ...] = (("infer", "resnet56", BATCH), ("infer", "resnet50", 8))
MEMORY: tuple[Job, ...] = tuple(
    ("memory", network, BATCH) for network in ("resnet110", "resnet110_recomputed")
)
RECOMPUTED: Job = ("train", "resnet110_recomputed", BATCH)


def speed(
    job: Job, peer: str, precision: str, threads: int, repeats: int, seconds: float
) -> dict[str, Any]:
    """minires and a peer, taking turns."""
    kind, network, batch = job
    with Worker(f"minires:{precision}", threads) as ours, Worker(peer, threads) as theirs:
        facts = [w.prepare(kind, network=network, batch=batch) for w in (ours, theirs)]
        times = compare([ours, theirs], repeats, seconds)
        memory = {"ours_mib": ours.peak_memory(), "peer_mib": theirs.peak_memory()}
        return {"peer_version": facts[1]["version"], **times, **memory}


def memory(
    job: Job, peer: str, precision: str, threads: int, repeats: int, _: float
) -> dict[str, Any]:
    """Peaks of two processes, one after the other, that do training steps and nothing else."""
    peaks, facts = [], {}
    for engine in (f"minires:{precision}", peer):
        with Worker(engine, threads) as worker:
            facts = worker.prepare("train", network=job[1], batch=job[2])
            worker.turn(calls=3)
            peaks.append(worker.peak_memory())
    sizes = {"ours_mib": peaks[0], "peer_mib": peaks[1], "ratio": peaks[1] / peaks[0]}
    return {"peer_version": facts["version"], **sizes}


MEASURES = {"train": speed, "infer": speed, "memory": memory}


def measure(jobs: Iterable[Job], peers: list[str], *limits: Any) -> Rows:
    """A row for each job and each peer that can do it; what fails is named and left out."""
    rows: Rows = []
    for kind, network, batch in jobs:
        for peer in (p for p in peers if kind in peer_of(p).kinds):
            work = f"{network}_{kind}_b{batch}"
            try:
                with console.status(f"{work}: minires and {peer}"):
                    row = MEASURES[kind]((kind, network, batch), peer, *limits)
                rows.append({"work": work, "peer": peer, "precision": limits[0], **row})
            except RuntimeError as error:
                console.print(f"{work}, {peer}: {error}: left out")
    return rows


def show(rows: Rows, earlier: dict[tuple[str, str], float], title: str) -> Table:
    """The table; with an earlier measurement, its ratios beside."""
    numbers = ["minires", "peer", "ratio", *["earlier"] * bool(earlier), "cores busy", "peak MiB"]
    table = new_table(title, ["work", "peer"], numbers)
    for row in rows:
        before = earlier.get((row["work"], row["peer"]))
        table.add_row(
            row["work"],
            f"{row['peer']} {row['peer_version']}",
            *timings(row),
            *["" if before is None else f"{before:.2f}"] * bool(earlier),
            f"{row['ours_cores']:.1f} / {row['peer_cores']:.1f}" if "ours_cores" in row else "",
            f"{row['ours_mib']:.0f} / {row['peer_mib']:.0f}",
        )
    return table


def fastest(rows: Rows) -> list[str]:
    """For each work that several peers were timed with: which of them was the fastest."""
    best: dict[str, dict[str, Any]] = {}
    for row in (r for r in rows if "peer_ms" in r):
        best[row["work"]] = min(row, best.get(row["work"], row), key=lambda r: r["ratio"])
    several = [work for work in best if sum(row["work"] == work for row in rows) > 1]
    return [
        f"{work}: the fastest is {best[work]['peer']}, at {best[work]['ratio']:.2f} of our time"
        for work in several
    ]


def timings(row: dict[str, Any]) -> list[str]:
    """Ours, the peer's, their ratio; of memory only the ratio."""
    if "ours_ms" not in row:
        return ["", "", f"{row['ratio']:.2f}"]
    formats = {"ours_ms": "{:.0f}", "peer_ms": "{:.0f}", "ratio": "{:.2f}"}
    cells = [spread(row[name], row[f"{name}_quartiles"], form) for name, form in formats.items()]
    return [f"{cells[0]} ms", f"{cells[1]} ms", cells[2]]


def present(peers: str) -> list[str]:
    """The peers asked for that can run here; a line says why any other one can't."""
    asked = peers.split(",")
    try:
        missing = {peer: peer_of(peer).missing() for peer in asked}
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    for peer in filter(missing.get, asked):
        console.print(f"{peer}: left out, because {', '.join(missing[peer])} is not installed")
    return [peer for peer in asked if not missing[peer]]


def training(depths: str) -> list[Job]:
    """Jobs for depths such as 20,56; 110 layers with recomputation too."""
    jobs = [("train", f"resnet{depth}", BATCH) for depth in depths.split(",")]
    if unknown := [network for _, network, _ in jobs if network not in CIFAR_DEPTHS]:
        raise typer.BadParameter(f"--depths takes 6n + 2, as 20,56, but not {unknown[0][6:]!r}")
    return [*jobs, *[RECOMPUTED] * (("train", "resnet110", BATCH) in jobs)]


def main(
    only: Annotated[Kind | None, typer.Option(help="one part of the table")] = None,
    peers: Annotated[str, typer.Option(help="engines, separated by commas")] = ",".join(PEERS),
    precision: Annotated[Precision, typer.Option(help="of minires")] = Precision["float32"],
    depths: Annotated[str, typer.Option(help="CIFAR ResNets to train")] = "20,56,110",
    repeats: Repeats = 15,
    seconds: Seconds = 60,
    threads: Threads = ALL_CORES,
    json_file: JsonFile = None,
    compare: Annotated[Path | None, typer.Option(help="JSON of an earlier measurement")] = None,
) -> None:
    """Time minires and the peers that are installed."""
    jobs = [*training(depths), *INFERENCE, *MEMORY]
    chosen = [job for job in jobs if only is None or job[0] == only.value]
    rows = measure(chosen, present(peers), precision.value, threads, repeats, seconds)
    if not rows:
        raise SystemExit("no peer to compare with: pip install torch")
    console.print(show(rows, ratios(compare), machine(threads)))
    for line in fastest(rows):
        console.print(line)
    write(json_file, threads, rows)


if __name__ == "__main__":
    typer.run(main)
