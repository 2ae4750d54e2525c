"""The paper's three shortcuts, and none: what do their parameters buy?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..common.pictures import COLOURS, new_figure
from ..nn import Shortcut
from .identity import LossCurve, read_curve
from .lab import Lab
from .probe import Probe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OPTIONS: dict[str, Shortcut] = {
    "no shortcut (plain)": None,
    "A: identity, padded with zeros": "A",
    "B: projection where the shape changes": "B",
    "C: projections everywhere": "C",
}


@dataclass(frozen=True)
class ShortcutStudy:
    """Training curves and numbers of parameters, by option."""

    curves: dict[str, LossCurve]
    parameters: dict[str, int]
    depth: int
    described: str


def measure(lab: Lab, *, depth: int = 20) -> ShortcutStudy:
    """Train one network with each option, from the same weights on the same batches."""
    curves, parameters = {}, {}
    for name, shortcut in OPTIONS.items():
        model = lab.trained(depth, shortcut)
        parameters[name] = sum(p.data.size for p in model.parameters())
        curves[name] = read_curve(lab.place(depth, shortcut))
    return ShortcutStudy(curves, parameters, depth, lab.described())


def draw(result: ShortcutStudy) -> Figure:
    """Training loss against iterations."""
    figure, axes = new_figure(
        f"{result.depth} layers with the paper's shortcuts\n{result.described}", 1
    )
    figure.set_size_inches(8, 4.5)
    axes[0].set(xlabel="iterations", ylabel="training loss")
    styles = zip(COLOURS, (":", "-", "--", "-."), strict=False)
    for (name, curve), (colour, style) in zip(result.curves.items(), styles, strict=False):
        axes[0].plot(curve.steps, curve.loss, style, color=colour, linewidth=2, label=name)
    axes[0].legend(frameon=False)
    return figure


def tell(result: ShortcutStudy) -> list[str]:
    """Mean loss over the last eighth, with the number of parameters."""
    return [
        f"{name}: {result.parameters[name]:,} parameters, training loss {curve.last:.2f} (mean "
        "over the last eighth)."
        for name, curve in result.curves.items()
    ]


SHORTCUTS = Probe(
    name="shortcuts",
    title="Options A, B and C: what a shortcut has to be",
    what=(
        "Networks of 20 layers without shortcuts and with the paper's three kinds, trained from "
        "the same weights on the same batches. Training loss, measured while learning, on "
        "augmented batches; one seed."
    ),
    look_for=(
        "The step from no shortcut to A, which has no parameters, against the steps from A to B "
        "and C. He et al. (table 3, 34 layers, ImageNet) find B a little better than A and C than "
        "B, and conclude that projections are not what degradation needs."
    ),
    source="He et al. 2015, sec. 4.1, 'Identity vs. projection shortcuts', table 3",
    measure=measure,
    draw=draw,
    tell=tell,
)
