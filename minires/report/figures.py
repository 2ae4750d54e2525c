"""The pictures of the main job, in the manner of the paper's Fig. 6."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..pictures import COLOURS, new_figure, save
from .runs import Group, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def described(groups: list[Group], what: str) -> str:
    """What every picture says about its data, and what it shows of several seeds."""
    config = groups[0].runs[0].config
    recipe, seeds = config["recipe"], len(groups[0].runs)
    seen = f"{what} of {seeds} seeds" if seeds > 1 else "1 seed"
    return (
        f"{config['data']}, preset {recipe['name']} ({recipe['iterations']:,} iterations of "
        f"{recipe['batch_size']} images), {seen}"
    )


def colours_by_depth(groups: list[Group]) -> dict[int, str]:
    """One colour for each depth, the same in every panel."""
    depths = sorted({group.depth for group in groups})
    return {depth: COLOURS[i % len(COLOURS)] for i, depth in enumerate(depths)}


def split_kinds(groups: list[Group]) -> list[tuple[str, list[Group]]]:
    """Plain and residual networks, each with the title of their panel."""
    kinds = [
        ("plain networks", [g for g in groups if g.is_plain]),
        ("residual networks", [g for g in groups if not g.is_plain]),
    ]
    return [(title, members) for title, members in kinds if members]


def draw_error_curves(groups: list[Group], path: Path) -> Path:
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
    return save(figure, path)


def draw_mean(axis: Axes, group: Group, value: str, colour: str, style: str, what: str) -> None:
    """Mean over the seeds, with a band of one standard deviation."""
    curves = [run.curve("evaluation", value) for run in group.runs]
    steps, values = curves[0][0], 100 * np.array([curve[1] for curve in curves])
    mean, std = values.mean(0), values.std(0, ddof=1) if len(values) > 1 else np.zeros(len(steps))
    width = 2.2 if style == "-" else 1.4
    axis.plot(steps, mean, style, color=colour, linewidth=width, label=f"{group.name}, {what}")
    axis.fill_between(steps, mean - std, mean + std, color=colour, alpha=0.15, linewidth=0)


def draw_gradient_norms(groups: list[Group], path: Path) -> Path:
    """Norm of each layer's weight gradient at the first and at the last iteration."""
    kinds, colours = split_kinds(groups), colours_by_depth(groups)
    figure, axes = new_figure(f"Gradient of each layer\n{described(groups, 'mean')}", len(kinds))
    for axis, (title, members) in zip(axes, kinds, strict=True):
        axis.set(title=title, xlabel="layer", yscale="log")
        axis.set_xticks([0, 1], ["first", "last"])
        for group in members:
            for place, style, what in ((0, ":", "first iteration"), (-1, "-", "last iteration")):
                norms = np.mean([layer_norms(run, place) for run in group.runs], axis=0)
                position = np.linspace(0, 1, len(norms))
                axis.plot(
                    position,
                    norms,
                    style,
                    color=colours[group.depth],
                    label=f"{group.name}, {what}",
                )
        axis.legend(frameon=False, fontsize="small")
    axes[0].set_ylabel("norm of the weight gradient")
    return save(figure, path)


def layer_norms(run: Run, place: int) -> np.ndarray:
    """Gradient norms in layer order, projections of shortcuts left out, at one iteration."""
    norms = [r["norms"] for r in run.records if r["kind"] == "gradients"][place]
    return np.array([norm for name, norm in norms.items() if "downsample" not in name])
