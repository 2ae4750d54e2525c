"""The results table of the main job."""

from __future__ import annotations

from rich.table import Table

from .runs import Group


def results_table(groups: list[Group]) -> Table:
    """One row a network: training loss and error over the last eighth, test error, time."""
    config = groups[0].runs[0].config
    seeds = len(groups[0].runs)
    spread = f"mean ± standard deviation of {seeds} seeds" if seeds > 1 else "one seed"
    table = Table(
        title=f"{config['data']}, preset {config['recipe']['name']}, {spread}",
        caption=(
            "Training figures: mean over the last eighth of the iterations, on augmented batches. "
            f"Test: {config['test_images']:,} images, after the last iteration."
        ),
    )
    table.add_column("network")
    for heading in ("parameters", "training loss", "training error", "test error", "time"):
        table.add_column(heading, justify="right")
    for group in groups:
        table.add_row(
            group.name,
            f"{group.runs[0].config['parameters']:,}",
            with_spread(group, "training_loss", "{:.2f}"),
            with_spread(group, "training_error", "{:.1%}"),
            with_spread(group, "test_error", "{:.1%}"),
            f"{group.mean('seconds'):.0f} s",
        )
    return table


def with_spread(group: Group, value: str, form: str) -> str:
    """A mean, with its standard deviation where there are several seeds."""
    mean = form.format(group.mean(value))
    return mean if len(group.runs) == 1 else f"{mean} ± {form.format(group.std(value))}"
