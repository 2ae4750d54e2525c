"""Shattered gradients: how much does the gradient at one input tell about that at the next?

Balduzzi et al. 2017, "The shattered gradients problem", arXiv 1702.08591. A network is a function
of one number here, so its gradient is a curve that can be looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..autograd import Tensor
from ..autograd.function import Array
from ..common.expecting import COUNT, SEED, expects
from ..common.pictures import COLOURS, new_figure
from ..nn import functional as F
from .lab import Lab
from .probe import Probe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEPTHS = (2, 10, 24, 50)
SEEDS, LAGS = 10, 15
EPS = 1e-5


@dataclass(frozen=True)
class Kind:
    """A multilayer perceptron: with shortcuts or not, with batch norm or not.

    `branch_scale` is what a residual layer's branch is multiplied by, Balduzzi's beta.
    """

    skip: bool
    batch_norm: bool
    branch_scale: float = 1.0


KINDS = {
    "plain, no batch norm": Kind(skip=False, batch_norm=False),
    "residual, no batch norm": Kind(skip=True, batch_norm=False, branch_scale=0.1),
    "plain, batch norm": Kind(skip=False, batch_norm=True),
    "residual, batch norm": Kind(skip=True, batch_norm=True, branch_scale=0.5),
}


def network(
    x: Tensor, depth: int, kind: Kind, rng: np.random.Generator, width: int = 200
) -> Tensor:
    """Numbers (N, 1) through `depth` layers of random weights to numbers (N, 1).

    A layer is batch norm, ReLU and a product with a matrix, in this order (pre-activation). Batch
    norm's statistics are those of the N inputs, but constants to the gradient.
    """
    h = x @ Tensor(rng.standard_normal((1, width))) + Tensor(rng.standard_normal(width))
    for _ in range(depth):
        weight = Tensor(rng.standard_normal((width, width)) * np.sqrt(2 / width))
        branch = F.relu(normalised(h) if kind.batch_norm else h) @ weight
        h = h + branch * kind.branch_scale if kind.skip else branch
    return h @ Tensor(rng.standard_normal((width, 1)) / np.sqrt(width))


def normalised(h: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the first axis, both held fixed in the backward pass."""
    return (h - Tensor(h.data.mean(0))) / Tensor(np.sqrt(h.data.var(0) + EPS))


@expects(depth=COUNT, kind=Kind, seed=SEED, points=COUNT)
def gradient_curve(depth: int, kind: Kind, seed: int, *, points: int = 256) -> Array:
    """df/dx of one random network at `points` numbers from -2 to 2, (points,)."""
    x = Tensor(np.linspace(-2, 2, points)[:, None], requires_grad=True)
    network(x, depth, kind, np.random.default_rng(seed)).sum().backward()
    assert x.grad is not None
    return x.grad[:, 0]


@expects(curve=np.ndarray, lags=SEED)
def autocorrelation(curve: Array, lags: int = LAGS) -> Array:
    """Correlation of a curve with itself, shifted by 0, 1, ... `lags` points, (lags + 1,)."""
    if curve.ndim != 1 or lags >= len(curve):
        raise ValueError(
            f"autocorrelation: {lags} lags need a curve (N,) of more points, not {curve.shape}"
        )
    centred = curve - curve.mean()
    products = [centred[lag:] @ centred[: len(centred) - lag] for lag in range(lags + 1)]
    return np.array(products) / products[0]


@dataclass(frozen=True)
class Shattering:
    """For each kind and depth: the mean autocorrelation over seeds, and one seed's curve."""

    autocorrelations: dict[str, dict[int, Array]]
    curves: dict[str, Array]
    shown_depth: int
    seeds: int


def measure(
    lab: Lab | None = None, *, depths: tuple[int, ...] = DEPTHS, seeds: int = SEEDS
) -> Shattering:
    """All kinds and depths. No data and no training are needed."""
    shown = depths[-2] if len(depths) > 1 else depths[-1]
    return Shattering(
        {
            name: {depth: mean_autocorrelation(depth, kind, seeds) for depth in depths}
            for name, kind in KINDS.items()
        },
        {name: gradient_curve(shown, kind, seed=0) for name, kind in KINDS.items()},
        shown,
        seeds,
    )


def mean_autocorrelation(depth: int, kind: Kind, seeds: int) -> Array:
    """The autocorrelation of one kind of network, averaged over random networks."""
    curves = [gradient_curve(depth, kind, seed) for seed in range(seeds)]
    return np.mean([autocorrelation(curve) for curve in curves], axis=0)


def draw(result: Shattering) -> Figure:
    """Two gradients as curves (left), and autocorrelations of all kinds by depth."""
    figure, axes = new_figure(
        "Gradients of random networks, functions of one number x: do neighbours agree?\n"
        f"ReLU networks of width 200, 256 points x; correlations: mean of {result.seeds} seeds",
        6,
        rows=2,
        share_y=False,
    )
    curves = axes[0], axes[3]
    panels = axes[1], axes[2], axes[4], axes[5]
    x = np.linspace(-2, 2, 256)
    for axis, name in zip(curves, ("plain, batch norm", "residual, batch norm"), strict=True):
        curve = result.curves[name]
        axis.plot(x, curve / np.abs(curve).max(), color="0.2", linewidth=1)
        axis.set(
            title=f"{name},\n{result.shown_depth} layers: one gradient", ylabel="df/dx, scaled"
        )
    curves[1].set_xlabel("x")
    for axis, (name, by_depth) in zip(panels, result.autocorrelations.items(), strict=True):
        axis.set(title=name, ylim=(-0.25, 1.05))
        axis.axhline(0, color="0.5", linewidth=0.8)
        styles = zip(COLOURS, ("-", "--", "-.", ":"), strict=False)
        for (depth, values), (colour, style) in zip(by_depth.items(), styles, strict=False):
            axis.plot(values, style, color=colour, linewidth=2, label=f"{depth} layers")
        axis.set_ylabel("autocorrelation")
    panels[2].legend(frameon=False, fontsize="small", loc="upper right")
    for axis in panels[2:]:
        axis.set_xlabel("distance, in points")
    return figure


def tell(result: Shattering) -> list[str]:
    """Correlations of gradients one and five points apart."""
    return [
        f"{name}: correlation of the gradients of points 1 / 5 apart: "
        + ", ".join(f"{a[1]:.2f} / {a[5]:.2f} ({depth} layers)" for depth, a in by_depth.items())
        + "."
        for name, by_depth in result.autocorrelations.items()
    ]


SHATTERING = Probe(
    name="shattering",
    title="Shattered gradients: what separates plain from residual networks",
    what=(
        "Random ReLU networks (width 200) as functions of one number. For 256 numbers x from -2 to "
        "2 the gradient df/dx is computed, batch norm's statistics held fixed; shown is the "
        "correlation of gradients that are 1, 2, ... points apart, mean of ten random networks."
    ),
    look_for=(
        "Where the correlation of neighbours is near 0, the gradient is white noise: that at one "
        "image says nothing about that at a similar one, and a step that helps one does not help "
        "the other. Which of the four kinds gets there, and at which depth? Do the norms tell the "
        "same kinds apart, at initialisation ('propagation') and a hundred steps later "
        "('first-steps')?"
    ),
    source=(
        "Balduzzi et al. 2017, arXiv 1702.08591: correlations decay as 2 to the power of minus "
        "depth in plain networks, much slower with shortcuts"
    ),
    measure=measure,
    draw=draw,
    tell=tell,
)
