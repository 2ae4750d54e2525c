"""Table 6 and figure 6 of He et al. 2015: CIFAR-10 by 20 to 110 layers, plain and residual.

    python examples/table6.py --data cifar10 --seeds 0,1,2

trains by the paper's recipe (64,000 iterations of 128 images), or by a fraction of it with
`--iterations`: the rate then falls at the same half and three quarters. On a GPU all networks of a
seed train side by side. After Ctrl-C the same command goes on. `mpiexec -n 4
python examples/table6.py ...` deals them to four processes; others may share the folder, each with
`--networks` or `--seeds` of its own.

    python examples/table6.py --from benchmarks/results/table6.json --out docs

makes page and picture anew from the runs that were kept.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from minires.kernels.devices import choose
from minires.kernels.precision import PRECISIONS
from rich.console import Console

import minires
from minires.common.files import atomic
from minires.common.output import errors_as_sentences
from minires.data import load
from minires.distributed import Alone, silence_other_ranks, world
from minires.experiments.table6 import page
from minires.report import (
    Run,
    draw_error_curves,
    group_runs,
    keep_runs,
    kept_runs,
    load_runs,
    write_report,
)
from minires.training import DivergedError, run_side_by_side
from minires.training.display import Display
from minires.training.going_on import keep_command
from minires.training.main_job import Entry, trainer_of
from minires.training.recipes import OF_THE_PAPER, paper

NETWORKS = "plain-20,plain-56,ResNet-20,ResNet-32,ResNet-44,ResNet-56,ResNet-110"
console = Console()


def main(
    networks: Annotated[
        str, typer.Option(help="plain-N and ResNet-N, N = 6n + 2, such as ResNet-1202")
    ] = NETWORKS,
    seeds: Annotated[str, typer.Option(help="separated by commas")] = "0",
    iterations: Annotated[int, typer.Option(min=1, help="the paper's: 64000")] = OF_THE_PAPER,
    data: Annotated[str, typer.Option(help="auto, cifar10 or builtin")] = "auto",
    data_dir: Annotated[Path | None, typer.Option(help="folder that holds CIFAR-10")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    precision: Annotated[
        str, typer.Option(help=f"of products on a GPU: {', '.join(PRECISIONS)}")
    ] = "float32",
    out: Annotated[Path, typer.Option(help="folder of the runs, page and picture")] = Path(
        "runs/table6"
    ),
    kept: Annotated[
        Path | None, typer.Option("--from", help="train nothing: page and picture of this file")
    ] = None,
) -> None:
    """Train the networks of table 6, and put them beside the paper's."""
    if kept:
        show(kept_runs(kept), out)
        return
    ranks = world()  # before a GPU is taken
    entries = [entry(name, seed) for seed in numbers(seeds) for name in names(networks)]
    try:
        with minires.precision(precision):
            train(entries, iterations, data, data_dir, choose(device), out, ranks)
    except KeyboardInterrupt as stopped:
        console.print(f"\n{stopped}\nThe same command goes on.", markup=False, soft_wrap=True)
        raise SystemExit(130) from None
    if ranks.rank == 0:
        keep(out)


def keep(folder: Path) -> None:
    """The runs as one file, page, picture and report."""
    runs = load_runs(folder)
    kept = keep_runs(runs, folder / "table6.json")
    console.print(f"Runs: {kept}", markup=False, soft_wrap=True)
    show(runs, folder)
    console.print(f"Report: {write_report([folder])[0]}", markup=False, soft_wrap=True)


def names(networks: str) -> list[str]:
    """The names in a list with commas."""
    return [name.strip() for name in networks.split(",")]


def numbers(seeds: str) -> list[int]:
    """Whole numbers from "0,1,2"."""
    try:
        return [int(seed) for seed in seeds.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"--seeds takes whole numbers separated by commas, but got {seeds!r}"
        ) from None


def entry(name: str, seed: int) -> Entry:
    """A network by its name."""
    if not (found := re.fullmatch(r"(plain|ResNet)-(\d+)", name)):
        raise typer.BadParameter(f"--networks takes plain-N and ResNet-N, but got {name!r}")
    return Entry(int(found[2]), None if found[1] == "plain" else "A", seed)


def train(
    entries: list[Entry],
    iterations: int,
    data: str,
    data_dir: Path | None,
    device: str,
    folder: Path,
    ranks: Alone,
) -> None:
    """All entries to their ends; on a GPU seed by seed."""
    dataset = ranks.in_turn(lambda: load(data, data_dir=data_dir))
    ranks.share(lambda: keep_command(folder, shlex.join(["python", *sys.argv])))
    console.print(f"Data: {dataset.name}; device: {device}; runs in {folder}.", markup=False)
    with Display(console, side_by_side=device == "cuda") as display:
        trainers = [
            trainer_of(
                one,
                dataset,
                paper(one.depth, len(dataset.train_images), iterations),
                folder=folder,
                device=device,
                watch=display.watch,
            )
            for one in entries
        ]
        display.add(trainers)
        seeds = dict.fromkeys(one.seed for one in entries)
        by_seed = [[t for t in trainers if t.batches.seed == seed] for seed in seeds]
        for together in by_seed if device == "cuda" else [trainers]:
            run_side_by_side(together)


def show(runs: list[Run], folder: Path) -> None:
    """Page and picture, and the page in the terminal too."""
    groups = group_runs(runs)
    picture = draw_error_curves(groups, folder / "table6.png")
    text = page(groups, picture.name)
    with atomic(folder / "table6.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.print(f"Page: {folder / 'table6.md'}, {picture}", markup=False, soft_wrap=True)


def run() -> None:
    """Turn expected failures into one sentence each."""
    silence_other_ranks()
    with errors_as_sentences(DivergedError):
        typer.run(main)


if __name__ == "__main__":
    run()
