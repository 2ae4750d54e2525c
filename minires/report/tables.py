"""The results table of the main job."""

from __future__ import annotations

import math

import numpy as np
from rich.table import Table
from rich.text import Text

from ..common.expecting import SOME, Each, expects
from ..training.pace import duration
from .curves import layer_gradients
from .runs import Group

GRADIENT_HEADINGS = (
    "weight gradients of convolutions",
    "first layer ÷ last, at the start",
    "first layer ÷ last, at the end",
    "largest ÷ smallest, at the start",
    "largest ÷ smallest, at the end",
)


@expects(groups=Each(Group, SOME))
def results_table(groups: list[Group]) -> Table:
    """One row a network: training loss and error over the last eighth, test error, time."""
    config = groups[0].runs[0].config
    table = Table(
        title=Text(f"{config['data']}, preset {config['recipe']['name']}, {over_seeds(groups[0])}"),
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
            Text(group.name),
            f"{group.runs[0].config['parameters']:,}",
            *final_figures(group),
            f"{group.mean('seconds'):.0f} s",
        )
    return table


def final_figures(group: Group) -> list[str]:
    """Training loss, training error and test error."""
    forms = {"training_loss": "{:.2f}", "training_error": "{:.1%}", "test_error": "{:.1%}"}
    return [with_spread(group, value, form) for value, form in forms.items()]


def detector_row(group: Group) -> dict[str, str]:
    """A detector's figures; of precisions, means and deviations of the last evaluations."""
    loss, wrong, _ = final_figures(group)
    return {
        "detector": group.name,
        "seeds": str(len(group.runs)),
        "parameters": f"{group.config['parameters']:,}",
        "sum of losses": loss,
        "wrong regions": wrong,
        "mAP@.5": precision_of(group, "mAP50"),
        "mAP@[.5,.95]": precision_of(group, "mAP"),
        "time": duration(group.mean("seconds")),
    }


def precision_of(group: Group, field: str) -> str:
    """A mean average precision after the last iteration, over the seeds."""
    last = [100 * run.curve("detection", field)[1][-1] for run in group.runs]
    spread = f" ± {np.std(last, ddof=1):.1f}" if len(last) > 1 else ""
    return f"{np.mean(last):.1f}{spread} %"


def with_spread(group: Group, value: str, form: str) -> str:
    """A mean, with its standard deviation where there are several seeds."""
    mean = form.format(group.mean(value))
    return mean if len(group.runs) == 1 else f"{mean} ± {form.format(group.std(value))}"


def over_seeds(group: Group) -> str:
    """What a figure of its table is, in words."""
    seeds = len(group.runs)
    return f"mean ± standard deviation of {seeds} seeds" if seeds > 1 else "one seed"


def gradients_table(groups: list[Group]) -> Table:
    """How the gradients of a network's layers compare, for the terminal."""
    table = Table(title="Norms of weight gradients, means over the seeds")
    for heading in GRADIENT_HEADINGS:
        table.add_column(heading, justify="right")
    for row in gradient_rows(groups):
        table.add_row(*map(Text, row))
    return table


def gradient_rows(groups: list[Group]) -> list[list[str]]:
    """A row for each network, as `GRADIENT_HEADINGS` says; none without records."""
    return [row for group in groups if (row := gradient_row(group))]


def gradient_row(group: Group) -> list[str]:
    """The network, and two ratios, each at the first and at the last iteration."""
    recorded = layer_gradients(group.runs)
    if len(recorded) < 2:
        return []
    begin, end = recorded[0], recorded[-1]
    ratios = (
        *(begin.first_to_last, end.first_to_last),
        *(begin.largest_to_smallest, end.largest_to_smallest),
    )
    return [group.name, *map(ratio, ratios)]


def ratio(value: float) -> str:
    """A factor with two significant digits."""
    if math.isnan(value):
        return "not recorded"
    return f"{float(f'{value:.2g}'):,.15g}"
