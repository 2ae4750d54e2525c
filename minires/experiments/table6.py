"""The page of `examples/table6.py`: the paper's table 6 and figure 6 beside our runs."""

from __future__ import annotations

from ..report import Group, verdict
from ..report.paper import counted, printed_parameters, printed_test_error, schedule_in_words
from ..report.tables import with_spread
from .network_comparison import ranking
from .origin import made
from .result import markdown_table

HEADINGS = ["network", "parameters", "paper", "here", "training error", "training loss", "seeds"]


def page(groups: list[Group], picture: str) -> str:
    """Markdown: what was done, the table, what the numbers say, the curves."""
    blocks = [
        "# Table 6 and figure 6: CIFAR-10 by depth",
        "This page is made by `examples/table6.py`, from the records of its runs.",
        what_was_done(groups),
        markdown_table(HEADINGS, [row(group) for group in groups]),
        "Errors in %: the paper's on the test images, the best of five runs for 110 layers (mean ± "
        "standard deviation in brackets); ours on the test images after the last iteration. "
        "Training figures are means over the last eighth of the iterations, on augmented batches. "
        "The paper prints no numbers for its plain networks, but draws their curves.",
        verdict(groups).replace("\n", " "),
        ranking(groups),
        f"![Error of all networks]({picture})",
        "Dashed: training; solid: test.",
        made(groups),
    ]
    return "\n\n".join(blocks) + "\n"


def what_was_done(groups: list[Group]) -> str:
    """Data, recipe and how it differs from the paper's."""
    config, recipe = groups[0].config, groups[0].config["recipe"]
    share = recipe["iterations"] / 64_000
    schedules = dict.fromkeys(g.config["recipe"]["schedule"] for g in groups)
    return (
        f"{config['data']}, {counted(recipe['iterations'])} iterations of {recipe['batch_size']} "
        f"images, {'as' if share == 1 else f'{share:.3g} times as many as'} in the paper; learning "
        f"rate {'; or '.join(map(schedule_in_words, schedules))}. Mean ± standard deviation where "
        "there are several seeds."
    )


def row(group: Group) -> list[str]:
    """A network's line."""
    return [
        group.name,
        f"{group.config['parameters']:,} (paper: {printed_parameters(group)})",
        printed_test_error(group).replace("%", ""),
        in_percent(group, "test_error"),
        in_percent(group, "training_error"),
        with_spread(group, "training_loss", "{:.3f}"),
        str(len(group.runs)),
    ]


def in_percent(group: Group, value: str) -> str:
    """An error as the paper prints it."""
    return with_spread(group, value, "{:.2%}").replace("%", "")
