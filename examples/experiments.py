"""The paper's other experiments in small: each prints the paper's rows beside ours.

    python examples/experiments.py shortcuts

trains plain-32 and ResNet-32 with shortcuts A, B and C. `all` runs every experiment, `--size toy`
shows in seconds that everything works, `--size long` trains long enough for the paper's orderings
to show, which wants a GPU, and `--help` lists the names. What is finished or half done
in the folder is kept, so the same command goes on where it was stopped.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from minires.kernels.devices import DEVICES
from minires.kernels.precision import PRECISIONS
from rich.console import Console

import minires
from minires.common.files import atomic
from minires.common.output import errors_as_sentences
from minires.distributed import place, silence_other_ranks
from minires.experiments import EXPERIMENTS, Result, Setting, load_result
from minires.training import DivergedError
from minires.training.going_on import keep_command

Name = Enum("Name", {name: name for name in (*EXPERIMENTS, "all")}, type=str)
Size = Enum("Size", {name: name for name in ("default", "toy", "long")}, type=str)
Data = Enum("Data", {name: name for name in ("auto", "cifar10", "builtin")}, type=str)
Device = Enum("Device", {name: name for name in ("auto", *DEVICES)}, type=str)

HEAD = """# Experiments

The experiments of He et al. 2015 in small, each with the paper's figures beside ours. This page is
made by `python examples/experiments.py --from FOLDER --document PAGE` from results that the runs of
each section's command left there.

The paper trained on ImageNet and CIFAR-10 with GPUs for days or weeks; these run in minutes, so the
sizes of the errors can't agree. What can be compared is which network is ahead.

"""

console = Console()


def main(
    name: Annotated[Name, typer.Argument(help="which experiment")] = Name["all"],
    size: Annotated[
        Size, typer.Option(help="minutes, seconds, or minutes on a GPU and hours without")
    ] = Size["default"],
    seeds: Annotated[
        int | None, typer.Option(min=1, help="how many; the experiment's own number by default")
    ] = None,
    data: Annotated[Data, typer.Option(help="32 x 32 images; auto: CIFAR-10 if it is here")] = Data[
        "auto"
    ],
    data_dir: Annotated[Path | None, typer.Option(help="folder that holds CIFAR-10")] = None,
    device: Annotated[Device, typer.Option(help="what to compute on")] = Device["auto"],
    precision: Annotated[
        str, typer.Option(help=f"of products: {', '.join(PRECISIONS)}")
    ] = "float32",
    out: Annotated[Path | None, typer.Option(help="folder of runs, to go on with")] = None,
    document: Annotated[
        Path | None, typer.Option(help="also write all results in the folder as Markdown")
    ] = None,
    kept: Annotated[
        Path | None, typer.Option("--from", help="train nothing: the document of these results")
    ] = None,
) -> None:
    """Run an experiment of the paper in small."""
    if kept:
        if document is None:
            raise typer.BadParameter("--from FOLDER takes --document PAGE, too: what to write")
        write_document(kept, document)
        return
    folder = out or Path("runs") / f"experiments-{size.value}"
    setting = Setting(
        folder, size.value, seeds, data.value, data_dir, device.value, precision, console
    )
    command = shlex.join(["python", *sys.argv])
    if place().rank == 0:
        keep_command(folder, command)
    try:
        with minires.precision(precision):
            for chosen in EXPERIMENTS if name.value == "all" else [name.value]:
                show(replace(EXPERIMENTS[chosen](setting), options=setting.options), folder)
    except KeyboardInterrupt as stopped:
        console.print(f"\n{stopped}\nTo go on: {command}", markup=False, soft_wrap=True)
        raise SystemExit(130) from None
    if document and place().rank == 0:
        write_document(folder, document)


def show(result: Result, folder: Path) -> None:
    """Print a result and keep it."""
    if place().rank == 0:
        result.save(folder)
    console.print(result.table())
    console.print(result.text(), markup=False)


def write_document(folder: Path, path: Path) -> None:
    """All results of a folder on one page; each names the command that made it."""
    results = [load_result(folder, name) for name in EXPERIMENTS]
    sections = [result.markdown() for result in results if result]
    with atomic(path) as temporary:
        temporary.write_text(HEAD + "\n".join(sections), encoding="utf-8")
    console.print(f"Document: {path}", markup=False, soft_wrap=True)


def run() -> None:
    """Turn expected failures into one sentence each."""
    silence_other_ranks()
    with errors_as_sentences(DivergedError):
        typer.run(main)


if __name__ == "__main__":
    run()
