"""What all pictures share: colours, panels, and how they are written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's colours: distinct to colour-blind readers too
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def new_figure(
    title: str, panels: int, *, rows: int = 1, share_y: bool = True
) -> tuple[Figure, list[Axes]]:
    """Panels side by side, row by row; those of a row share their y axis. Needs no screen."""
    from matplotlib.figure import Figure

    columns = panels // rows
    figure = Figure(figsize=(4.7 * columns, 0.7 + 3.5 * rows), layout="constrained", dpi=150)
    figure.suptitle(title)
    grid = figure.subplots(rows, columns, sharey="row" if share_y else False, squeeze=False)
    axes = list(grid.ravel())
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: Figure, path: Path) -> Path:
    """Write a figure, whole or not at all. Raises: ValueError for a name of another kind."""
    from .files import atomic

    if path.suffix[1:].lower() not in figure.canvas.get_supported_filetypes():
        raise ValueError(f"{path} is no name of a picture: expected one that ends in .png, say")
    with atomic(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:])
    return path
