"""Look into networks: twelve experiments on why deep ones are hard to train.

    python examples/probes.py                 lists them
    python examples/probes.py shattering      runs one: a picture, and what was measured
    python examples/probes.py all             runs all

The networks that a probe needs are trained when first wanted and kept in `--out`; the results
folder of the main job is as good, its networks are trained already. The built-in drawings are used
unless you choose other data.
"""

from __future__ import annotations

import sys
import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from minires.analysis import PROBES, Lab, Probe
from minires.common.json_files import read_json
from minires.common.output import errors_as_sentences
from minires.distributed import one_process_only
from minires.training import PRESETS, DivergedError, Trainer
from minires.training.display import plain_lines

Preset = Enum("Preset", {name: name for name in PRESETS}, type=str)
Data = Enum("Data", {name: name for name in ("auto", "cifar10", "builtin")}, type=str)

console = Console()


def main(
    names: Annotated[list[str] | None, typer.Argument(help="probes, or all")] = None,
    out: Annotated[Path, typer.Option(help="folder of trained networks and of the results")] = Path(
        "runs/probes"
    ),
    data: Annotated[Data | None, typer.Option(help="of the networks; builtin")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="folder that holds CIFAR-10")] = None,
    preset: Annotated[Preset | None, typer.Option(help="how they are trained; quick")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="of weights, batches, crops; 0")] = None,
) -> None:
    """Run probes. What isn't given is as in the folder's main job, if it holds one."""
    one_process_only("examples/probes.py")
    if not names:
        console.print(catalogue())
        return
    chosen = list(PROBES) if names == ["all"] else names
    refuse_unknown(chosen)
    if data_dir and not data:
        data = Data["cifar10"]
    lab = Lab.like(
        out,
        data=data and data.value,
        data_dir=data_dir and data_dir.resolve(),
        preset=preset and preset.value,
        seed=seed,
    )
    for name in chosen:
        show(PROBES[name], lab)


def catalogue() -> Table:
    """All probes with their titles."""
    table = Table(title="Probes", caption="python examples/probes.py NAME...")
    table.add_column("name")
    table.add_column("what it shows")
    for probe in PROBES.values():
        table.add_row(probe.name, probe.title)
    return table


def refuse_unknown(names: list[str]) -> None:
    """Name the probes there are."""
    for name in names:
        if name not in PROBES:
            raise ValueError(f"there is no probe {name!r}: choose from {', '.join(PROBES)}, or all")


def show(probe: Probe, lab: Lab) -> None:
    """Run one probe and print what it found."""
    console.rule(probe.title, align="left")
    started = time.perf_counter()
    with console.status("measuring") as status:
        lines = plain_lines(console)

        def watch(trainer: Trainer) -> None:
            lines(trainer)
            iterations = trainer.recipe.iterations
            status.update(f"training {trainer.name}: {trainer.step} of {iterations}")
            if trainer.step == iterations:
                status.update("measuring")

        lab.watch = watch
        picture = probe.run(lab)
    for sentence in read_json(picture.with_suffix(".json"))["found"]:
        say(f"- {sentence}")
    say(f"\n{probe.look_for}\n\nSource: {probe.source}")
    say(f"Picture: {picture} ({time.perf_counter() - started:.0f} s)\n")


def say(text: str) -> None:
    """Text as it is: brackets are no markup, numbers are not coloured."""
    console.print(text, markup=False, highlight=False)


def run() -> None:
    """Turn expected failures into one sentence each."""
    try:
        with errors_as_sentences(DivergedError):
            typer.run(main)
    except KeyboardInterrupt:
        console.print(
            "\nStopped. The networks of the main job are kept as far as they have come; the same "
            "command measures again."
        )
        raise SystemExit(130) from None


if __name__ == "__main__":
    sys.exit(run())
