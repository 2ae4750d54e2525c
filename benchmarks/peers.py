"""How fast is a training step, beside the same step of other engines?

    python benchmarks/peers.py [--depths 20,56,110] [--batch 128] [--json FILE] [--compare FILE]

Every engine runs in a process of its own, with the same number of threads, and the processes take
turns, step by step, so that a machine that slows down slows all of them. The table gives medians
with quartiles. A ratio above 1 means that minires is faster.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from minires.info import available_cores, processor

WORKERS = Path(__file__).with_name("workers.py")
PEERS = ("torch",)


class Worker:
    """A process that does a step when asked to."""

    def __init__(self, engine: str, depth: int, batch: int, threads: int) -> None:
        self.engine = engine
        self.process = subprocess.Popen(
            [sys.executable, WORKERS, engine, *map(str, (depth, batch, threads))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.facts = json.loads(self.read())
        if self.facts["threads"] != threads:
            raise RuntimeError(f"{engine} uses {self.facts['threads']} threads, not {threads}")

    def read(self) -> str:
        """The next line that the process prints."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the {self.engine} process ended early: see its message above")
        return line

    def step(self) -> float:
        """Milliseconds of one step."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.read())

    def finish(self) -> float:
        """Peak resident memory in MiB, at the end."""
        assert self.process.stdin
        self.process.stdin.close()
        return float(self.read())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()


def measure(depth: int, batch: int, peer: str, threads: int, repeats: int) -> dict[str, Any]:
    """One row of the table: minires and a peer, taking turns."""
    with (
        Worker("minires", depth, batch, threads) as ours,
        Worker(peer, depth, batch, threads) as theirs,
    ):
        times = np.array([(ours.step(), theirs.step()) for _ in range(repeats)])
        memory = ours.finish(), theirs.finish()
        (low, median, high) = np.percentile(times, (25, 50, 75), axis=0)
        ratios = np.percentile(times[:, 1] / times[:, 0], (25, 50, 75))
        return {
            "work": f"resnet{depth}_train_b{batch}",
            "peer": peer,
            "peer_version": theirs.facts["version"],
            "threads": threads,
            "ours_ms": median[0],
            "ours_quartiles": [low[0], high[0]],
            "peer_ms": median[1],
            "peer_quartiles": [low[1], high[1]],
            "ratio": ratios[1],
            "ratio_quartiles": [ratios[0], ratios[2]],
            "ours_mib": memory[0],
            "peer_mib": memory[1],
        }


def show(rows: list[dict[str, Any]], earlier: dict[str, float]) -> Table:
    """The table; with an earlier measurement, its ratios beside."""
    table = Table(title=f"{processor()}, {rows[0]['threads']} threads, median (quartiles)")
    for heading in ("work", "peer", "minires, ms", "peer, ms", "ratio", "earlier", "memory, MiB"):
        table.add_column(heading, justify="left" if heading in ("work", "peer") else "right")
    for row in rows:
        before = earlier.get(f"{row['work']} {row['peer']}")
        table.add_row(
            row["work"],
            f"{row['peer']} {row['peer_version']}",
            spread(row["ours_ms"], row["ours_quartiles"], "{:.0f}"),
            spread(row["peer_ms"], row["peer_quartiles"], "{:.0f}"),
            spread(row["ratio"], row["ratio_quartiles"], "{:.2f}"),
            "" if before is None else f"{before:.2f}",
            f"{row['ours_mib']:.0f} / {row['peer_mib']:.0f}",
        )
    return table


def spread(median: float, quartiles: list[float], form: str) -> str:
    """A median with its quartiles."""
    return f"{form.format(median)} ({', '.join(map(form.format, quartiles))})"


def main(
    depths: Annotated[str, typer.Option(help="CIFAR ResNets, separated by commas")] = "20,56,110",
    batch: Annotated[int, typer.Option(min=2, help="images a step")] = 128,
    peers: Annotated[str, typer.Option(help="engines, separated by commas")] = ",".join(PEERS),
    repeats: Annotated[int, typer.Option(min=3, help="steps of each engine")] = 15,
    threads: Annotated[int, typer.Option(min=1)] = len(available_cores()),
    json_file: Annotated[Path | None, typer.Option("--json", help="write the rows here")] = None,
    compare: Annotated[Path | None, typer.Option(help="JSON of an earlier measurement")] = None,
) -> None:
    """Time training steps of minires and of the peers that are installed."""
    console = Console()
    present = [p for p in peers.split(",") if importlib.util.find_spec(p)]
    for missing in set(peers.split(",")) - set(present):
        console.print(f"{missing} is not installed: left out")
    rows = [
        measure(int(depth), batch, peer, threads, repeats)
        for depth in depths.split(",")
        for peer in present
    ]
    if not rows:
        raise SystemExit("no peer to compare with: pip install torch")
    earlier = json.loads(compare.read_text())["rows"] if compare else []
    console.print(show(rows, {f"{r['work']} {r['peer']}": r["ratio"] for r in earlier}))
    if json_file:
        json_file.write_text(json.dumps({"machine": processor(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
