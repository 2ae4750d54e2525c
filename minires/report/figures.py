"""The pictures of the main job, like the paper's Fig. 6."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..common.expecting import SOME, Each, expects
from ..common.pictures import COLOURS, new_figure, save
from .curves import common_curve, layer_gradients
from .runs import Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def described(groups: list[Group], what: str) -> str:
    """What every picture says about its data, and what it shows of several seeds."""
    config = groups[0].runs[0].config
    recipe, seeds = config["recipe"], len(groups[0].runs)
    seen = f"{what} of {seeds} seeds" if seeds > 1 else "1 seed"
    return (
        f"{config['data']}, {seen}\n"
        f"preset {recipe['name']}: {recipe['iterations']:,} iterations of "
        f"{recipe['batch_size']} images"
    )


def colours_by_depth(groups: list[Group]) -> dict[int, str]:
    """One colour for each depth, the same in every panel."""
    depths = sorted({group.depth for group in groups})
    return {depth: COLOURS[i % len(COLOURS)] for i, depth in enumerate(depths)}


def split_kinds(groups: list[Group]) -> list[tuple[str, list[Group]]]:
    """Plain and residual networks, and any others, each with the title of their panel."""
    kinds = [
        ("plain networks", [g for g in groups if g.is_plain]),
        ("residual networks", [g for g in groups if g.is_residual]),
        ("other networks", [g for g in groups if not (g.is_plain or g.is_residual)]),
    ]
    return [(title, members) for title, members in kinds if members]


@expects(groups=Each(Group, SOME), path=Path)
def draw_error_curves(groups: list[Group], path: Path) -> Path:
    """Save the picture of `error_curves`."""
    return save(error_curves(groups), path)


def error_curves(groups: list[Group]) -> Figure:
    """Training error (dashed) and test error (solid) against iterations, as in Fig. 6."""
    kinds, colours = split_kinds(groups), colours_by_depth(groups)
    figure, axes = new_figure(
        f"Error while training\n{described(groups, 'mean and standard deviation')}", len(kinds)
    )
    for axis, (title, members) in zip(axes, kinds, strict=True):
        axis.set(title=title, xlabel="iterations")
        for group in members:
            draw_mean(axis, group, "training_error", colours[group.depth], "--", "training")
            draw_mean(axis, group, "test_error", colours[group.depth], "-", "test")
        axis.legend(frameon=False, fontsize="small")
    axes[0].set_ylabel("error, %")
    return figure


def draw_mean(axis: Axes, group: Group, value: str, colour: str, style: str, what: str) -> None:
    """Mean over the seeds, with a band of one standard deviation."""
    curve = common_curve(group.runs, "evaluation", value, factor=100)
    low, high = curve.mean - curve.std, curve.mean + curve.std
    width = 2.2 if style == "-" else 1.4
    label = f"{group.name}, {what}"
    axis.plot(curve.steps, curve.mean, style, color=colour, linewidth=width, label=label)
    axis.fill_between(curve.steps, low, high, color=colour, alpha=0.15, linewidth=0)


@expects(groups=Each(Group, SOME), path=Path)
def draw_gradient_norms(groups: list[Group], path: Path) -> Path:
    """Save the picture of `gradient_norms`."""
    return save(gradient_norms(groups), path)


def gradient_norms(groups: list[Group]) -> Figure:
    """Norm of each layer's weight gradient at the first and at the last iteration."""
    kinds, colours = split_kinds(groups), colours_by_depth(groups)
    figure, axes = new_figure(f"Gradient of each layer\n{described(groups, 'mean')}", len(kinds))
    for axis, (title, members) in zip(axes, kinds, strict=True):
        axis.set(title=title, xlabel="layer", yscale="log")
        axis.set_xticks([0, 1], ["first", "last"])
        for group in members:
            draw_gradients(axis, group, colours[group.depth])
        axis.legend(frameon=False, fontsize="small")
    axes[0].set_ylabel("norm of the weight gradient")
    return figure


def draw_gradients(axis: Axes, group: Group, colour: str) -> None:
    """A network's gradients, layer by layer, when training began (dotted) and when it ended."""
    recorded = layer_gradients(group.runs)
    places = zip(recorded[:1] + recorded[-1:], ":-", ("first", "last"), strict=False)
    for gradients, style, which in places:
        norms = gradients.values.mean(0)
        position = np.linspace(0, 1, len(norms))
        axis.plot(position, norms, style, color=colour, label=f"{group.name}, {which} iteration")
