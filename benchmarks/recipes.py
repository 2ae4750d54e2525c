"""The four networks of the main job by two short recipes, beside an independent PyTorch run.

    python benchmarks/recipes.py RESULTS_FOLDER --data-dir CIFAR10_FOLDER [--seeds 3]

prints the mean training loss over the last eighth of each run. Runs that are finished are kept, so
the script can be stopped and called again. The PyTorch figures (one seed, the same recipes on a
JPEG copy of CIFAR-10, one crop a batch instead of one an image) were measured once, elsewhere: they
are here so that a gross mistake in the engine would show, and agree to a few hundredths at best.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from minires.data import load
from minires.models import cifar_resnet
from minires.report import group_runs, load_runs
from minires.report.tables import with_spread
from minires.training import PRESETS, LinearWarmUp, Recipe, StepDecay, Trainer
from minires.training.comparison import plain_and_residual, run_all

LARGE_BATCH = Recipe(
    name="batch 128, 240 iterations, lr 0.1",
    iterations=240,
    batch_size=128,
    schedule=LinearWarmUp(24, StepDecay(peak=0.1, drops=(192,))),
    record_every=10,
    evaluate_every=60,
    checkpoint_every=60,
    test_images=2000,
)
RECIPES = {"large-batch": LARGE_BATCH, "quick": PRESETS["quick"](20, 50_000)}
PYTORCH = {
    "large-batch": {"plain-20": 1.65, "plain-56": 2.25, "ResNet-20": 1.43, "ResNet-56": 1.81},
    "quick": {"plain-20": 1.59, "plain-56": 2.04, "ResNet-20": 1.38, "ResNet-56": 1.50},
}


def main(
    folder: Annotated[Path, typer.Argument(help="of the results")],
    data_dir: Annotated[Path | None, typer.Option(help="folder that holds CIFAR-10")] = None,
    data: Annotated[str, typer.Option(help="auto, cifar10 or builtin")] = "auto",
    seeds: Annotated[int, typer.Option(min=1)] = 3,
    recipe: Annotated[str, typer.Option(help=f"one of {', '.join(RECIPES)}")] = "quick",
) -> None:
    """Train plain-20, plain-56, ResNet-20 and ResNet-56 by one recipe, with several seeds."""
    console = Console()
    dataset = load(data, data_dir=data_dir)
    console.print(f"Data: {dataset.name}")
    run_all(
        Trainer(
            cifar_resnet(entry.depth, shortcut=entry.shortcut, seed=entry.seed),
            dataset,
            RECIPES[recipe],
            folder=folder / entry.folder,
            seed=entry.seed,
            name=entry.folder.rsplit("-", 1)[0],
        )
        for entry in plain_and_residual((20, 56), range(seeds))
    )
    table = Table(title=f"{dataset.name}, {RECIPES[recipe].name}, {seeds} seeds")
    for heading in ("network", "training loss", "PyTorch", "training error", "test error", "time"):
        table.add_column(heading, justify="right")
    for group in group_runs(load_runs(folder)):
        table.add_row(
            group.name,
            with_spread(group, "training_loss", "{:.3f}"),
            f"{PYTORCH[recipe][group.name]:.2f}" if "CIFAR-10" in dataset.name else "",
            with_spread(group, "training_error", "{:.1%}"),
            with_spread(group, "test_error", "{:.1%}"),
            f"{group.mean('seconds'):.0f} s",
        )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
