"""The shortest recipe by which depth pays: ResNet-20 and ResNet-56 by several, with several seeds.

    python benchmarks/depth_recipes.py FOLDER --data cifar10 --data-dir FOLDER --json FILE

First, one seed by each recipe; then, by the one where ResNet-56's training loss is the furthest
below ResNet-20's, all seeds, and the plain networks too. With one recipe (`--recipes standard`) the
first part is left out. On a GPU all networks of a part train side by side. Training figures are
means over the last eighth of the iterations. What is finished is kept: the same command goes on
after Ctrl-C.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from minires.kernels.devices import choose
from rich.console import Console
from rich.table import Table

import minires
from minires.data import Dataset, load
from minires.report import Group, Run, group_runs, keep_runs, load_runs, verdict
from minires.report.paper import schedule_in_words
from minires.report.tables import with_spread
from minires.training import (
    PRESETS,
    DivergedError,
    LinearDecay,
    LinearWarmUp,
    Recipe,
    Schedule,
    StepDecay,
    run_side_by_side,
)
from minires.training.display import Display
from minires.training.main_job import Entry, plain_and_residual, trainer_of

EPOCH = 390  # iterations of 128 images on CIFAR-10
FIGURES = {"training_loss": "{:.3f}", "training_error": "{:.2%}", "test_error": "{:.2%}"}
console = Console()


def recipe(name: str, iterations: int, schedule: Schedule) -> Recipe:
    """Batches of 128 images, evaluated ten times."""
    tenth = iterations // 10
    return Recipe(name, iterations, 128, schedule, tenth // 12, tenth, tenth)


def straight(name: str, epochs: int, peak: float) -> Recipe:
    """Up in a straight line during a tenth of the iterations, then down to 0."""
    iterations = epochs * EPOCH
    rise = iterations // 10
    return recipe(name, iterations, LinearWarmUp(rise, LinearDecay(peak, rise, iterations)))


def in_steps(name: str, epochs: int) -> Recipe:
    """The paper's drops at a half and three quarters, after an epoch of warm-up."""
    iterations = epochs * EPOCH
    drops = (iterations // 2, iterations * 3 // 4)
    return recipe(name, iterations, LinearWarmUp(EPOCH, StepDecay(0.1, drops)))


CANDIDATES = {
    one.name: one
    for one in (
        straight("line-0.1", 12, 0.1),
        straight("line-0.2", 12, 0.2),
        straight("short-line-0.1", 6, 0.1),
        in_steps("steps-0.1", 12),
    )
}


class Search:
    """Trains by several recipes on one data set, each in a folder of its own."""

    def __init__(self, folder: Path, dataset: Dataset, device: str) -> None:
        self.folder, self.dataset, self.device = folder, dataset, device

    def train(self, recipes: list[Recipe], entries: list[Entry]) -> None:
        """All entries by all recipes; who diverges is told, and left out."""
        with Display(console, side_by_side=self.device == "cuda") as display:
            trainers = [
                trainer_of(
                    entry,
                    self.dataset,
                    one,
                    folder=self.place(one),
                    device=self.device,
                    watch=display.watch,
                )
                for one in recipes
                for entry in entries
            ]
            display.add(trainers)
            try:
                run_side_by_side(trainers)
            except DivergedError as error:
                console.print(str(error), markup=False)

    def place(self, one: Recipe) -> Path:
        """The folder of a recipe's runs."""
        return self.folder / one.name

    def runs(self, one: Recipe) -> list[Run]:
        """The finished runs by a recipe."""
        try:
            return load_runs(self.place(one))
        except FileNotFoundError:
            return []

    def gain(self, one: Recipe) -> float:
        """The share by which the deepest residual network's training loss is below the first's."""
        if not (pair := ends(group_runs(self.runs(one)))):
            return -math.inf
        shallow, deep = (group.mean("training_loss") for group in pair)
        return 1 - deep / shallow

    def show(self, recipes: list[Recipe], file: Path | None) -> None:
        """Print what there is by each recipe, and keep it."""
        for one in recipes:
            if runs := self.runs(one):
                console.print(table(one, group_runs(runs)))
        if file:
            keep_runs((run for one in recipes for run in self.runs(one)), file)


def ends(groups: list[Group]) -> tuple[Group, Group] | None:
    """The shallowest and the deepest residual network, if there are two."""
    residual = [group for group in groups if group.is_residual]
    return (residual[0], residual[-1]) if len(residual) > 1 else None


def table(one: Recipe, groups: list[Group]) -> Table:
    """Mean ± standard deviation of each network, and what sets the residual ones apart."""
    title = (
        f"{one.name}: {one.iterations:,} iterations of {one.batch_size} images, "
        f"{schedule_in_words(repr(one.schedule))}; {groups[0].config['data']}"
    )
    result = Table(title=title, caption=difference(groups))
    for heading in ("network", "seeds", "training loss", "training error", "test error"):
        result.add_column(heading, justify="right")
    for group in groups:
        figures = (with_spread(group, value, form) for value, form in FIGURES.items())
        result.add_row(group.name, str(len(group.runs)), *figures)
    return result


def difference(groups: list[Group]) -> str:
    """The shallow residual network less the deep one, with the standard error of each figure."""
    if not (pair := ends(groups)):
        return ""
    texts = [
        f"{value.replace('_', ' ')} {form.format(pair[0].mean(value) - pair[1].mean(value))}"
        f"{standard_error(pair, value, form)}"
        for value, form in FIGURES.items()
    ]
    return f"{pair[0].name} less {pair[1].name}: {', '.join(texts)}"


def standard_error(groups: tuple[Group, Group], value: str, form: str) -> str:
    """Of the difference of two means; "" where a network has one seed."""
    if min(len(group.runs) for group in groups) < 2:
        return ""
    error = math.sqrt(sum(group.std(value) ** 2 / len(group.runs) for group in groups))
    return f" (standard error {form.format(error)})"


def chosen(names: str, dataset: Dataset) -> list[Recipe]:
    """Candidates or presets by their names, separated by commas; "" for all candidates."""
    wanted = [name.strip() for name in names.split(",")] if names else list(CANDIDATES)
    presets = {name: make(20, len(dataset.train_images)) for name, make in PRESETS.items()}
    known = CANDIDATES | presets
    if unknown := [name for name in wanted if name not in known]:
        raise typer.BadParameter(f"--recipes knows {', '.join(known)}; not {', '.join(unknown)}")
    return [known[name] for name in wanted]


def main(
    folder: Annotated[Path, typer.Argument(help="of the runs")],
    data: Annotated[str, typer.Option(help="auto, cifar10 or builtin")] = "auto",
    data_dir: Annotated[Path | None, typer.Option(help="folder that holds CIFAR-10")] = None,
    recipes: Annotated[
        str, typer.Option(help="candidates or presets, separated by commas; else all candidates")
    ] = "",
    seeds: Annotated[int, typer.Option(min=1)] = 3,
    depths: Annotated[str, typer.Option(help="6n + 2 each, separated by commas")] = "20,56",
    iterations: Annotated[int, typer.Option(help="of each, to try the script; 0: as it says")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    precision: Annotated[str, typer.Option(help="of products on a GPU: float32, tf32")] = "float32",
    json_file: Annotated[Path | None, typer.Option("--json", help="keep the runs here")] = None,
) -> None:
    """Find the recipe by which ResNet-56 is furthest ahead of ResNet-20."""
    dataset = load(data, data_dir=data_dir)
    search, candidates = Search(folder, dataset, choose(device)), chosen(recipes, dataset)
    if iterations:
        candidates = [replace(one, iterations=iterations) for one in candidates]
    layers = [int(depth) for depth in depths.split(",")]
    with minires.precision(precision):
        if len(candidates) > 1:
            search.train(candidates, [Entry(depth, "A", 0) for depth in layers])
            search.show(candidates, json_file)
        best = max(candidates, key=search.gain)
        console.print(f"With all seeds and the plain networks: {best.name}", markup=False)
        search.train([best], plain_and_residual(layers, range(seeds)))
        search.show(candidates, json_file)
    console.print(verdict(group_runs(search.runs(best))))


if __name__ == "__main__":
    typer.run(main)
