"""The four networks of the main job by two short recipes, with several seeds, beside PyTorch.

    python benchmarks/recipes.py RESULTS_FOLDER --data-dir CIFAR10_FOLDER [--seeds 3] [--torch]

prints the mean training loss over the last eighth of each run, and how the gradients of a network's
layers compare at the first and at the last iteration. Runs that are finished are kept, so
the script can be stopped and called again. With `--torch`, PyTorch trains the same networks from
the initial weights of the first seed, on the same batches and crops: the two differ by rounding,
which training magnifies.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from minires.common.json_files import read_json, write_json
from minires.data import Batches, Dataset, load
from minires.models import CifarResNet, cifar_resnet
from minires.report import Group, group_runs, load_runs
from minires.report.tables import gradients_table, with_spread
from minires.training import PRESETS, LinearWarmUp, Recipe, StepDecay, Trainer, run_all
from minires.training.main_job import Entry, plain_and_residual

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


def network(entry: Entry) -> CifarResNet:
    """The network of an entry, with its seed's initial weights."""
    return cifar_resnet(entry.depth, shortcut=entry.shortcut, seed=entry.seed)


def trainer(entry: Entry, dataset: Dataset, recipe: Recipe, folder: Path) -> Trainer:
    """Its training, in a folder of its own."""
    name, _, _ = entry.folder.rpartition("-")
    model = network(entry)
    return Trainer(model, dataset, recipe, folder=folder / entry.folder, seed=entry.seed, name=name)


def torch_loss(entry: Entry, dataset: Dataset, recipe: Recipe, folder: Path) -> float:
    """Mean loss over the last eighth of PyTorch's training; kept in the entry's folder."""
    path = folder / entry.folder / "torch.json"
    if not path.exists():
        losses = torch_losses(entry, dataset, recipe)
        write_json(path, float(np.mean(losses[recipe.iterations * 7 // 8 :])))
    return read_json(path)


def torch_losses(entry: Entry, dataset: Dataset, recipe: Recipe) -> list[float]:
    """The loss of every iteration of PyTorch, on our batches and crops, from our weights."""
    import torch
    from engines.torch import channels_last, with_weights
    from torch_resnet import TorchResNet

    model = with_weights(TorchResNet(entry.depth, entry.shortcut), network(entry).state_dict())
    decay = {"momentum": recipe.momentum, "weight_decay": recipe.weight_decay}
    optimizer = torch.optim.SGD(model.train().parameters(), lr=1, **decay)
    batches, losses = Batches(dataset, recipe.batch_size, entry.seed), []
    for step in track(range(recipe.iterations), f"PyTorch, {entry.folder}", transient=True):
        images, labels = batches.batch(step)
        logits = model(channels_last(images))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = recipe.schedule(step)
        optimizer.step()
        losses.append(loss.item())
    return losses


def row(group: Group, torch: dict[str, float]) -> list[str]:
    """A network's figures."""
    return [
        group.name,
        with_spread(group, "training_loss", "{:.3f}"),
        f"{group.runs[0].results['training_loss']:.3f}",
        f"{torch[group.name]:.3f}" if torch else "",
        with_spread(group, "training_error", "{:.1%}"),
        with_spread(group, "test_error", "{:.1%}"),
        f"{group.mean('seconds'):.0f} s",
    ]


def main(
    folder: Annotated[Path, typer.Argument(help="of the results")],
    data_dir: Annotated[Path | None, typer.Option(help="folder that holds CIFAR-10")] = None,
    data: Annotated[str, typer.Option(help="auto, cifar10 or builtin")] = "auto",
    seeds: Annotated[int, typer.Option(min=1)] = 3,
    recipe: Annotated[str, typer.Option(help=f"one of {', '.join(RECIPES)}")] = "quick",
    torch: Annotated[bool, typer.Option("--torch", help="train in PyTorch as well")] = False,
) -> None:
    """Train plain-20, plain-56, ResNet-20 and ResNet-56 by one recipe, with several seeds."""
    console, chosen = Console(), RECIPES[recipe]
    dataset = load(data, data_dir=data_dir)
    console.print(f"Data: {dataset.name}")
    entries = plain_and_residual((20, 56), range(seeds))
    run_all(trainer(entry, dataset, chosen, folder) for entry in entries)
    peers = [entry for entry in entries if torch and entry.seed == 0]
    losses = {e.folder.rpartition("-")[0]: torch_loss(e, dataset, chosen, folder) for e in peers}
    table = Table(title=f"{dataset.name}, {chosen.name}, {seeds} seeds")
    headings = ("network", "training loss", "seed 0", "PyTorch, seed 0")
    for heading in (*headings, "training error", "test error", "time"):
        table.add_column(heading, justify="right")
    groups = group_runs(load_runs(folder))
    for group in groups:
        table.add_row(*row(group, losses))
    console.print(table)
    console.print(gradients_table(groups))


if __name__ == "__main__":
    typer.run(main)
