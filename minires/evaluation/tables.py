"""Results of an evaluation as a table, and of a classification as bars, for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..common.expecting import COUNT, Each, expects
from .classify import Guess
from .evaluate import Evaluation, Score

if TYPE_CHECKING:
    from rich.table import Table


@expects(result=Evaluation)
def evaluation_table(result: Evaluation) -> Table:
    """One row a network, and one for the ensemble."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(f"{result.data}: {result.images:,} images, {result.protocol}"),
        caption=(
            f"{result.seconds:.0f} s, {result.images / result.seconds:.1f} images/s; "
            f"{share_waited(result):.1%} of the time spent waiting for images"
        ),
    )
    table.add_column("network")
    table.add_column("top-1 error", justify="right")
    table.add_column("top-5 error", justify="right")
    for name, score in result.scores.items():
        table.add_row(Text(name), f"{score.top1_error:.2%}", top5(score, result.classes))
    return table


@expects(result=Evaluation)
def share_waited(result: Evaluation) -> float:
    """Share of the time in which the networks waited for images."""
    return result.waited / result.seconds


def top5(score: Score, classes: int) -> str:
    """The top-5 error; it says nothing where there are five classes or fewer."""
    return f"{score.top5_error:.2%}" if classes > 5 else "-"


@expects(guesses=Each(Guess), width=COUNT)
def bars(guesses: list[Guess], width: int = 40) -> Table:
    """A bar for each class, as long as its probability."""
    from rich.bar import Bar
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(overflow="fold", max_width=40)
    table.add_column(justify="right")
    table.add_column()
    for guess in guesses:
        bar = Bar(1, 0, guess.probability, width=width, color="cyan")
        table.add_row(Text(guess.name), f"{guess.probability:.1%}", bar)
    return table
