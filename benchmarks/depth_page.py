"""README's block and docs/depth.md about where more depth pays, from records that are kept.

    python benchmarks/depth_page.py

reads what `benchmarks/depth_recipes.py --json` wrote: the search on CIFAR-10, with all seeds of the
recipe that became the preset `standard`, and the preset `depth` on the built-in drawings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from depth_recipes import FIGURES, difference, ends

from minires.experiments.origin import made
from minires.experiments.result import markdown_table
from minires.report import Group, Run, draw_error_curves, group_runs, kept_runs, verdict
from minires.report.paper import counted, schedule_in_words
from minires.report.tables import with_spread
from minires.training import PRESETS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = (f"<!-- made by benchmarks/depth_page.py: {end} -->" for end in ("begin", "end"))
COLUMNS = ["network", "training loss", "training error", "test error"]
SAME = ("iterations", "batch_size", "schedule", "momentum", "weight_decay")


def by_preset(runs: list[Run], preset: str) -> list[Group]:
    """The runs that a preset gives, whatever their recipe was called then."""
    settings = PRESETS[preset](20, 50_000).settings()
    found = [
        Run(run.config | {"recipe": run.config["recipe"] | {"name": preset}}, run.records)
        for run in runs
        if all(run.config["recipe"][name] == settings[name] for name in SAME)
    ]
    if not found:
        raise ValueError(f"no run was trained as the preset {preset!r} says: {settings}")
    return group_runs(found)


def by_recipe(runs: list[Run]) -> dict[str, list[Group]]:
    """All runs, by the name of their recipe."""
    names = dict.fromkeys(run.config["recipe"]["name"] for run in runs)
    return {
        name: group_runs([run for run in runs if run.config["recipe"]["name"] == name])
        for name in names
    }


def table(groups: list[Group]) -> str:
    """A row a network, as in README's first table."""
    rows = [
        [group.name, *(with_spread(group, value, form) for value, form in FIGURES.items())]
        for group in groups
    ]
    return markdown_table(COLUMNS, rows)


def recipe(groups: list[Group]) -> str:
    """Iterations, batch and rate in words."""
    settings = groups[0].config["recipe"]
    return (
        f"{counted(settings['iterations'])} iterations of {settings['batch_size']} images, "
        f"learning rate {schedule_in_words(settings['schedule'])}"
    )


def tried(groups: list[Group]) -> list[str]:
    """One recipe's line in the table of the search: the first seed, which all recipes have."""
    settings = groups[0].config["recipe"]
    pair = ends([Group(g.name, [r for r in g.runs if r.config["seed"] == 0]) for g in groups])
    losses = [f"{group.mean('training_loss'):.3f}" for group in pair or ()]
    errors = [f"{group.mean('test_error'):.2%}" for group in pair or ()]
    return [settings["name"], recipe(groups), " / ".join(losses), " / ".join(errors)]


def section(groups: list[Group]) -> str:
    """Table, differences, verdict, and where it was measured."""
    data = groups[0].config["data"]
    about = f"{data}, {recipe(groups)}; {len(groups[0].runs)} seeds, mean ± standard deviation:"
    blocks = [about, table(groups), f"{difference(groups)}.", in_a_line(groups)]
    return "\n\n".join([*blocks, made(groups)])


def in_a_line(groups: list[Group]) -> str:
    """The verdict."""
    return verdict(groups).replace("\n", " ")


def page(search: list[Run], standard: list[Group], drawings: list[Group]) -> str:
    """docs/depth.md."""
    headings = ["recipe", "what it is", "training loss", "test error"]
    return "\n\n".join(
        [
            "# Where more depth pays",
            "This page is made by `python benchmarks/depth_page.py`, from runs of "
            "`benchmarks/depth_recipes.py`. Training figures are means over the last eighth of the "
            "iterations, on augmented batches; test errors after the last iteration.",
            "## CIFAR-10: the preset `standard`",
            section(standard),
            "![Error of plain and residual networks](depth.png)",
            "## The built-in drawings: the preset `depth`",
            section(drawings),
            "## What was tried on CIFAR-10",
            "ResNet-20 / ResNet-56, seed 0:",
            markdown_table(headings, [tried(groups) for groups in by_recipe(search).values()]),
        ]
    )


def block(standard: list[Group], drawings: list[Group]) -> str:
    """README's second block."""
    losses = ", ".join(f"{g.name} {with_spread(g, 'training_loss', '{:.3f}')}" for g in drawings)
    return "\n\n".join(
        [
            f"The same networks by the preset `standard`, {recipe(standard)}, with "
            f"{len(standard[0].runs)} seeds ([all of it](docs/depth.md)):",
            table(standard),
            f"{in_a_line(standard)} {difference(standard)}.",
            "![Both halves of the lesson: depth hurts without shortcuts, and pays with "
            "them](docs/depth.png)",
            f"The drawings, by the preset `depth`: {losses} (training losses). "
            f"{in_a_line(drawings)}",
            made(standard),
        ]
    )


def put(path: Path, text: str) -> None:
    """Write a block between its marks."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} has no lines {BEGIN} and {END}, between which the block belongs")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def main(
    search: Annotated[Path, typer.Option(help="runs on CIFAR-10")] = RESULTS / "depth-cifar10.json",
    drawings: Annotated[Path, typer.Option(help="of drawings")] = RESULTS / "depth-drawings.json",
    readme: Annotated[Path, typer.Option(help="gets the block")] = ROOT / "README.md",
    docs: Annotated[Path, typer.Option(help="folder of page and picture")] = ROOT / "docs",
) -> None:
    """Write page, picture and block."""
    runs = kept_runs(search)
    standard, small = by_preset(runs, "standard"), by_preset(kept_runs(drawings), "depth")
    draw_error_curves(standard, docs / "depth.png")
    (docs / "depth.md").write_text(page(runs, standard, small) + "\n", encoding="utf-8")
    put(readme, block(standard, small))


if __name__ == "__main__":
    typer.run(main)
