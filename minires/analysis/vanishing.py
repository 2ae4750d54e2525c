"""What really makes gradients vanish or explode: factors below or above one, layer after layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..common.pictures import COLOURS, new_figure
from ..nn import Sequential
from .lab import Lab
from .probe import Probe
from .propagation import Propagation, propagate_noise
from .surgery import scale_shortcuts, scale_weights, stack, without_batch_norm, zero_gamma

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAYERS = 108


def weights_times(factor: float) -> Callable[[int], Sequential]:
    """Plain stacks without batch norm, with weights of another scale than He et al.'s."""
    return lambda seed: scale_weights(
        without_batch_norm(stack(LAYERS, shortcut=None, seed=seed)), factor
    )


def shortcuts_times(factor: float) -> Callable[[int], Sequential]:
    """Residual stacks with batch norm whose shortcuts are scaled."""
    return lambda seed: scale_shortcuts(stack(LAYERS, shortcut="A", seed=seed), factor)


def bare_shortcuts_times(factor: float) -> Callable[[int], Sequential]:
    """The same with silent branches: the scaled shortcuts are the only way."""
    return lambda seed: zero_gamma(shortcuts_times(factor)(seed))


PANELS: dict[str, dict[str, Callable[[int], Sequential]]] = {
    "plain, no batch norm": {f"weights x {f:g}": weights_times(f) for f in (0.7, 1, 1.4)},
    "residual, batch norm": {
        "shortcuts x 1": shortcuts_times(1),
        "shortcuts x 0.5": shortcuts_times(0.5),
        "shortcuts x 0.5, branches silent": bare_shortcuts_times(0.5),
        "shortcuts x 1, branches silent": bare_shortcuts_times(1),
    },
}


@dataclass(frozen=True)
class Extremes:
    """Propagation through stacks of 108 layers, by panel and by variant."""

    panels: dict[str, dict[str, Propagation]]


def measure(lab: Lab | None = None, *, seeds: int = 3) -> Extremes:
    """All variants, at initialisation, with noise for images. No data are needed."""
    return Extremes(
        {
            title: {name: propagate_noise(build, seeds=seeds) for name, build in variants.items()}
            for title, variants in PANELS.items()
        }
    )


def draw(result: Extremes) -> Figure:
    """Gradient behind every block, relative to the output."""
    figure, axes = new_figure(
        f"The gradient that really vanishes, and the one that explodes\n"
        f"{LAYERS} layers at initialisation, 16 channels, 8 x 8 maps",
        2,
    )
    for axis, (title, variants) in zip(axes, result.panels.items(), strict=True):
        axis.set(title=title, xlabel="layer", yscale="log")
        axis.axhline(1, color="0.5", linewidth=0.8)
        styles = zip(COLOURS, ("-", "--", "-.", ":"), strict=False)
        for (name, run), (colour, style) in zip(variants.items(), styles, strict=False):
            layer = np.linspace(0, LAYERS, len(run.gradient))
            relative = run.gradient / run.gradient[-1]
            axis.plot(layer, relative, style, color=colour, linewidth=2.2, label=name)
        axis.legend(frameon=False, fontsize="small")
    axes[0].set_ylabel("gradient / that at the output")
    return figure


def tell(result: Extremes) -> list[str]:
    """Gradient at the input over gradient at the output."""
    return [
        f"{title}, {name}: {run.gain:.2g} times the output's gradient arrives at the input."
        for title, variants in result.panels.items()
        for name, run in variants.items()
    ]


VANISHING = Probe(
    name="vanishing",
    title="The true vanishing gradient, and the exploding one",
    what=(
        "Random gradients run back through stacks of 108 layers at initialisation. Left: plain, "
        "without batch norm, with the weights of He et al.'s initialisation times 0.7, 1 and 1.4. "
        "Right: residual, with batch norm, with shortcuts that hand on their input, or half of it; "
        "and the same with branches that are silent (batch norm's weight is 0). Training mode, "
        "geometric means of 3 seeds."
    ),
    look_for=(
        "A factor of 0.7 a layer is the textbook's vanishing gradient, 1.4 the exploding one; a "
        "good initialisation prevents most of both, and what batch norm does is the next probe. On "
        "the right, halved shortcuts alone make the gradient vanish as 0.5 to the power of the "
        "blocks, apart from the ReLU (see shortcuts x 1). Do they still do so where the branches "
        "take part? Batch norm keeps a branch's variance at one, however little the shortcut "
        "carries: through which of the two does the gradient come then?"
    ),
    source=(
        "He et al. 2015, 'Delving deep into rectifiers', sec. 2.2 (the scale of weights); He et "
        "al. 2016, arXiv 1603.05027, sec. 2 and 3.1 (scaled shortcuts)"
    ),
    measure=measure,
    draw=draw,
    tell=tell,
)
