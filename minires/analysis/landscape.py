"""The loss around a trained network, along directions that fit its filters.

Li et al. 2018, "Visualizing the loss landscape of neural nets", arXiv 1712.09913. A network with
batch norm computes the same with all weights of a filter doubled, so a step of a given length means
nothing until it is measured against the filter that it moves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..autograd import Tensor, no_grad
from ..autograd.function import Array
from ..nn import Module, Shortcut
from ..nn import functional as F
from ..pictures import COLOURS, new_figure
from .lab import Batch, Lab
from .probe import Probe
from .watching import untouched

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Direction = dict[str, Array]
NETWORKS: tuple[tuple[int, Shortcut], ...] = ((56, None), (56, "A"))


def filter_normalised_direction(model: Module, rng: np.random.Generator) -> Direction:
    """Normal noise for every weight, each filter of it as long as the network's own filter.

    A filter is everything that leads to one output channel, `weight[..., channel]`. Biases and
    batch norm's parameters stay where they are, as Li et al. do.
    """
    return {
        name: as_long_as(parameter.data, rng.standard_normal(parameter.shape))
        for name, parameter in model.named_parameters()
        if parameter.ndim > 1
    }


def as_long_as(weight: Array, noise: Array) -> Array:
    """Noise scaled so that noise[..., c] has the norm of weight[..., c]."""
    axes = tuple(range(weight.ndim - 1))
    wanted, own = (np.sqrt(np.square(a, dtype=np.float64).sum(axes)) for a in (weight, noise))
    return (noise * (wanted / own)).astype(weight.dtype)


@contextmanager
def moved(model: Module, steps: list[tuple[float, Direction]]) -> Iterator[None]:
    """The network with its weights moved along directions, for the time of the block."""
    parameters = dict(model.named_parameters())
    before = {name: p.data.copy() for name, p in parameters.items()}
    for step, direction in steps:
        for name, change in direction.items():
            parameter = parameters[name]
            parameter[...] = parameter.data + change * np.asarray(step, change.dtype)
    try:
        yield
    finally:
        for name, parameter in parameters.items():
            parameter[...] = before[name]


def loss_at(model: Module, batch: Batch, steps: list[tuple[float, Direction]]) -> float:
    """Mean loss of the moved network on these images, in evaluation mode."""
    images, labels = batch
    with untouched(model), moved(model, steps), no_grad(), np.errstate(all="ignore"):
        model.eval()
        parts = [slice(start, start + 128) for start in range(0, len(images), 128)]
        losses = [
            F.softmax_cross_entropy(model(Tensor(images[part])), labels[part]).item()
            for part in parts
        ]
    return float(np.average(losses, weights=[len(labels[part]) for part in parts]))


@dataclass(frozen=True)
class Landscape:
    """Losses of one network.

    Attributes:
        line: steps along a line, (points,).
        lines: losses on lines in several directions, (directions, points).
        side: steps along a side of the square, (size,).
        plane: losses, (size, size), [i, j] at side[i] in one and side[j] in another direction.
    """

    line: Array
    lines: Array
    side: Array
    plane: Array


def loss_surface(
    model: Module,
    batch: Batch,
    *,
    points: int = 21,
    directions: int = 3,
    size: int = 13,
    plane_images: int = 256,
    reach: float = 1.0,
    seed: int = 0,
) -> Landscape:
    """Losses along lines, and on a plane (of fewer images), out to `reach` filter lengths."""
    rng = np.random.default_rng(seed)
    ways = [filter_normalised_direction(model, rng) for _ in range(max(2, directions))]
    line, side = np.linspace(-reach, reach, points), np.linspace(-reach, reach, size)
    few = batch[0][:plane_images], batch[1][:plane_images]
    return Landscape(
        line,
        np.array([[loss_at(model, batch, [(t, w)]) for t in line] for w in ways[:directions]]),
        side,
        np.array([[loss_at(model, few, [(a, ways[0]), (b, ways[1])]) for b in side] for a in side]),
    )


@dataclass(frozen=True)
class LandscapeStudy:
    """Landscapes by network; and what they were measured on."""

    networks: dict[str, Landscape]
    described: str


def measure(lab: Lab, *, images: int = 512, points: int = 21, size: int = 13) -> LandscapeStudy:
    """A trained plain and a residual network, on the first training images."""
    batch = lab.images(images)
    trained = [lab.trained(depth, shortcut) for depth, shortcut in NETWORKS]
    results = {
        model.name: loss_surface(model, batch, points=points, size=size) for model in trained
    }
    return LandscapeStudy(results, lab.described())


def draw(result: LandscapeStudy) -> Figure:
    """Lines above, planes below; a column for each network."""
    names = list(result.networks)
    figure, axes = new_figure(
        f"Training loss around trained networks\n{result.described}", 2 * len(names), rows=2
    )
    for column, name in enumerate(names):
        scene, above, below = result.networks[name], axes[column], axes[len(names) + column]
        above.set(title=name, xlabel="step, in filter lengths", yscale="log")
        for losses, colour in zip(scene.lines, COLOURS, strict=False):
            above.plot(scene.line, losses, ".-", color=colour, linewidth=1.6)
        draw_plane(figure, below, scene)
    axes[0].set_ylabel("loss, three directions")
    axes[len(names)].set_ylabel("step in a second direction")
    return figure


def draw_plane(figure: Figure, axis: Axes, scene: Landscape) -> None:
    """Contours of the logarithm of the loss."""
    levels = np.linspace(np.log10(0.8), 2, 21)
    logs = np.clip(np.log10(scene.plane), levels[0], levels[-1])
    image = axis.contourf(scene.side, scene.side, logs, levels=levels, cmap="cividis")
    axis.plot(0, 0, "w+", markersize=10, markeredgewidth=2)
    axis.set(xlabel="step in one direction", aspect="equal")
    axis.grid(visible=False)
    bar = figure.colorbar(image, ax=axis, label="loss", ticks=np.log10([1, 2, 5, 10, 30, 100]))
    bar.ax.set_yticklabels(["1", "2", "5", "10", "30", "≥ 100"])


def tell(result: LandscapeStudy) -> list[str]:
    """How fast the loss rises from the middle."""
    lines = []
    for name, scene in result.networks.items():
        middle = scene.lines[:, len(scene.line) // 2].mean()
        half = [scene.lines[:, np.abs(np.abs(scene.line) - d).argmin()].mean() for d in (0.5, 1.0)]
        lines.append(
            f"{name}: loss {middle:.2f} where training ended; half a filter length away "
            f"{half[0]:.3g}, a whole one away {half[1]:.3g} (means over the directions)."
        )
    return lines


LANDSCAPE = Probe(
    name="landscape",
    title="The loss landscape around trained networks",
    what=(
        "From where training ended, all convolutions' weights move along random directions, each "
        "filter in proportion to its own length; biases and batch norm's parameters stay. Above: "
        "mean training loss on three lines (512 images). Below: on a plane through the first two "
        "directions (256 images). Evaluation mode, images not augmented."
    ),
    look_for=(
        "Li et al. show the 56-layer plain network's surface as chaotic and the residual one's as "
        "almost convex. They trained to the end; compare with what a short training gives: how "
        "wide is the valley, is it smooth and convex, and does the network lie at its bottom? A "
        "network that has learned little has little to lose."
    ),
    source="Li et al. 2018, arXiv 1712.09913, sec. 4 (filter normalisation) and 5",
    measure=measure,
    draw=draw,
    tell=tell,
)
