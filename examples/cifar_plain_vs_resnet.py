"""Do deeper networks train worse? Plain and residual networks under the same conditions.

    python examples/cifar_plain_vs_resnet.py

trains plain-20, plain-56, ResNet-20 and ResNet-56 (He et al. 2015, sec. 4.2) from the same initial
weights, on the same batches and crops, and prints what came out. `--help` shows the options.
"""

from __future__ import annotations

import sys
import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from minires.kernels.devices import DEVICES, choose, describe_cuda
from minires.kernels.precision import PRECISIONS, current
from rich.console import Console

import minires
from minires.common.output import errors_as_sentences
from minires.data import Dataset, how_to_get_cifar10, load
from minires.distributed import Alone, silence_other_ranks, world
from minires.report import (
    draw_error_curves,
    draw_gradient_norms,
    group_runs,
    load_runs,
    results_table,
    verdict,
    write_report,
)
from minires.training import PRESETS, DivergedError, run_all
from minires.training.dealing import plan
from minires.training.display import Display
from minires.training.going_on import command_to_resume, keep_command, refuse_changes
from minires.training.main_job import Options, make_trainer, plain_and_residual

Preset = Enum("Preset", {name: name for name in PRESETS}, type=str)
Data = Enum("Data", {name: name for name in ("auto", "cifar10", "builtin")}, type=str)
Device = Enum("Device", {name: name for name in ("auto", *DEVICES)}, type=str)
Precision = Enum("Precision", {name: name for name in PRECISIONS}, type=str)

console = Console()


def main(
    preset: Annotated[
        Preset, typer.Option(help="seconds, minutes, hours, or the paper's recipe")
    ] = Preset["quick"],
    data: Annotated[
        Data, typer.Option(help="auto: CIFAR-10 if it is here; only cifar10 downloads")
    ] = Data["auto"],
    data_dir: Annotated[Path | None, typer.Option(help="folder that holds CIFAR-10")] = None,
    depths: Annotated[str, typer.Option(help="6n + 2 each, separated by commas")] = "20,56",
    seed: Annotated[int, typer.Option(min=0, help="of weights, batches and crops")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="how many, counted from --seed")] = 1,
    shards: Annotated[
        int, typer.Option(min=1, help="parts of a batch, each with batch statistics of its own")
    ] = 1,
    device: Annotated[
        Device, typer.Option(help="auto: a GPU (cuda) if there is one that can be used")
    ] = Device["auto"],
    precision: Annotated[
        Precision,
        typer.Option(help="bfloat16 stores maps in 16 bits; tf32: on a GPU"),
    ] = Precision["float32"],
    out: Annotated[Path | None, typer.Option(help="new folder for the results")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="go on with what this folder holds, on any --device")
    ] = None,
) -> None:
    """Train plain and residual networks of several depths; show error curves and a verdict."""
    asked = Options(
        preset=preset.value,
        data=data.value,
        data_dir=str(data_dir.resolve()) if data_dir else None,
        depths=parse_depths(depths),
        seeds=list(range(seed, seed + seeds)),
        shards=shards,
    )
    ranks = world()
    folder, options = ranks.share(lambda: open_folder(asked, out, resume))
    command = command_to_resume(sys.argv[0], folder, device.value, precision.value)
    try:
        with minires.precision(precision.value):
            train(folder, options, choose(device.value), command, ranks)
    except KeyboardInterrupt as stopped:
        if ranks.rank == 0:
            keep(folder, options, command)  # while data is being loaded, nobody has done so yet
        console.print(f"\n{stopped}\nTo go on: {command}", markup=False, soft_wrap=True)
        raise SystemExit(130) from None
    if ranks.rank == 0:
        show_results(folder)


def open_folder(asked: Options, out: Path | None, resume: Path | None) -> tuple[Path, Options]:
    """Where the results go, and the options that hold there."""
    if resume:
        kept = read_options(resume)
        refuse_changes(resume, asked, kept, Options("quick", "auto", None, [20, 56], [0]))
        return resume, kept
    folder = out or Path("runs") / time.strftime(f"{asked.preset}-%Y%m%d-%H%M%S")
    refuse_overwriting(folder)
    return folder, asked


def train(folder: Path, options: Options, device: str, command: str, ranks: Alone) -> None:
    """Train every network to its end, from its checkpoint where it has one; keep the command."""
    if device == "cuda":
        console.print(f"Device: cuda, {describe_cuda()}.")
    elif current() == "tf32":
        console.print(f"Precision: on the CPU, {current()} is float32.")
    data_dir = Path(options.data_dir) if options.data_dir else None
    dataset = ranks.in_turn(lambda: load_data(options.data, data_dir))
    with Display(console) as display:
        trainers = [
            make_trainer(
                entry,
                dataset,
                preset=options.preset,
                shards=options.shards,
                folder=folder,
                device=device,
                watch=display.watch,
            )
            for entry in plain_and_residual(options.depths, options.seeds)
        ]
        if ranks.size > 1:
            console.print(plan(ranks, trainers), markup=False, highlight=False)
        ranks.share(lambda: keep(folder, options, command))
        display.add(trainers)
        run_all(trainers)


def keep(folder: Path, options: Options, command: str) -> None:
    """Write down in the folder what going on needs."""
    options.save(folder)
    keep_command(folder, command)


def read_options(folder: Path) -> Options:
    """The options of an earlier call."""
    path = Options.path(folder)
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}: --resume takes the folder of earlier results")
    return Options.load(folder)


def parse_depths(text: str) -> list[int]:
    """Depths from "20,56"."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"--depths takes whole numbers separated by commas, such as 20,56, but got {text!r}"
        ) from None


def refuse_overwriting(folder: Path) -> None:
    """Earlier results are never written over."""
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(
            f"{folder} already holds something: go on with it by --resume {folder}, or choose "
            "another folder with --out"
        )


def load_data(name: str, data_dir: Path | None) -> Dataset:
    """The data set, and a line that says which it is."""
    dataset = load(name, data_dir=data_dir)
    console.print(
        f"Data: {dataset.name}, {len(dataset.train_images):,} training and "
        f"{len(dataset.test_images):,} test images."
    )
    if name == "auto" and not dataset.name.startswith("CIFAR-10"):
        console.print(how_to_get_cifar10())
    return dataset


def show_results(folder: Path) -> None:
    """Table, verdict, pictures and the page of the runs in a folder."""
    groups = group_runs(load_runs(folder))
    console.print(results_table(groups))
    console.print(verdict(groups))
    for path in (
        draw_error_curves(groups, folder / "error.png"),
        draw_gradient_norms(groups, folder / "gradients.png"),
    ):
        console.print(f"Picture: {path}", markup=False, soft_wrap=True)
    report, notes = write_report([folder])
    lines = [*notes, f"Report, to open in a browser: {report}"]
    console.print(*lines, sep="\n", markup=False, soft_wrap=True)


def run() -> None:
    """Turn expected failures into one sentence each."""
    silence_other_ranks()
    with errors_as_sentences(DivergedError):
        typer.run(main)


if __name__ == "__main__":
    run()
