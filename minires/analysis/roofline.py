"""A roofline: what a machine can do at most, and how far below it kernels are.

A kernel that does `intensity` operations for each byte that it moves can't do more in a second than
the machine's arithmetic allows, nor more than intensity times the bytes that memory moves.
(Williams, Waterman & Patterson 2009, "Roofline: an insightful visual performance model".)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..common.pictures import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

APART = 1.3  # times as high: two labels that do not touch
LEFT = 0.8  # of the last point's intensity: a point that is labelled on its other side


@dataclass(frozen=True)
class Ceilings:
    """What the machine can do: GFLOP/s of a large matrix product, GB/s of a large copy."""

    gflops: float
    gbs: float

    def roof(self, intensity: float) -> float:
        """GFLOP/s at most, at so many operations a byte."""
        return min(self.gflops, self.gbs * intensity)


@dataclass(frozen=True)
class Point:
    """A kernel that was timed: its operations, the bytes that it moves, and seconds."""

    name: str
    operations: int
    bytes: int
    seconds: float

    @property
    def gflops(self) -> float:
        """10**9 operations a second."""
        return self.operations / self.seconds / 1e9

    @property
    def gbs(self) -> float:
        """10**9 bytes a second."""
        return self.bytes / self.seconds / 1e9

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.operations / self.bytes


def draw_roofline(title: str, ceilings: Ceilings, points: Sequence[Point]) -> Figure:
    """The rungs of a ladder under the roof, joined in their order; the last is the engine's own."""
    figure, (axis,) = new_figure(title, 1)
    figure.set_size_inches(8.6, 5.6)
    intensities = [point.intensity for point in points]
    ridge = ceilings.gflops / ceilings.gbs
    reach = np.geomspace(min(*intensities, ridge) / 6, max(*intensities, ridge) * 8, 200)
    axis.loglog(reach, [ceilings.roof(i) for i in reach], color="black", linewidth=2)
    rungs = points[:-1]
    axis.plot(intensities[:-1], [p.gflops for p in rungs], color="grey", linewidth=1, zorder=1)
    axis.scatter(intensities[:-1], [p.gflops for p in rungs], color=COLOURS[0], zorder=2)
    axis.scatter(intensities[-1:], [points[-1].gflops], color=COLOURS[1], marker="D", zorder=2)
    label(axis, points)
    name_the_roof(axis, ceilings, reach)
    axis.set_ylim(min(p.gflops for p in points) / 2, max(ceilings.gflops, points[-1].gflops) * 2.5)
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_formatter("{x:g}")
    axis.set_xlabel("operations for each byte moved")
    axis.set_ylabel("GFLOP/s")
    return figure


def label(axis: Axes, points: Sequence[Point]) -> None:
    """Names beside the points, moved apart where points lie close together."""
    height = 0.0
    numbered = [(p, f"{i}  {p.name}") for i, p in enumerate(points[:-1], 1)]
    for point, name in sorted(
        [*numbered, (points[-1], points[-1].name)], key=lambda pair: pair[0].gflops
    ):
        height = max(point.gflops, height * APART)
        to_the_left = point.intensity < LEFT * points[-1].intensity
        axis.text(
            point.intensity * (0.8 if to_the_left else 1.25),
            height,
            f"{name}: {point.gflops:.3g}",
            ha="right" if to_the_left else "left",
            va="center",
            fontsize=10,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )


def name_the_roof(axis: Axes, ceilings: Ceilings, reach: np.ndarray) -> None:
    """What each part of the roof is, and how high."""
    ridge = ceilings.gflops / ceilings.gbs
    left = np.sqrt(reach[0] * ridge)
    arithmetic = f"arithmetic: {ceilings.gflops:.0f} GFLOP/s"
    axis.text(ridge, ceilings.gflops * 1.1, arithmetic, va="bottom", fontsize=9)
    axis.annotate(
        f"memory: {ceilings.gbs:.0f} GB/s",
        (left, ceilings.gbs * left),
        (-8, 4),
        textcoords="offset points",
        ha="right",
        fontsize=9,
    )


def draw_traffic(title: str, names: Sequence[str], moved: dict[str, Sequence[float]]) -> Figure:
    """Bytes for each multiply-add, a panel a kind of memory, a bar a kernel."""
    figure, axes = new_figure(title, len(moved), share_y=True)
    colours = [*[COLOURS[0]] * (len(names) - 1), COLOURS[1]]
    for axis, (memory, values) in zip(axes, moved.items(), strict=True):
        bars = axis.barh(range(len(names)), values, color=colours)
        axis.bar_label(bars, [f"{value:.2g}" for value in values], padding=3)
        axis.set_yticks(range(len(names)), names)
        axis.margins(x=0.15)
        axis.set_axisbelow(True)
        axis.grid(visible=False, axis="y")
        axis.set_title(memory)
        axis.set_xlabel("bytes for each multiply-add")
    axes[0].invert_yaxis()
    return figure
