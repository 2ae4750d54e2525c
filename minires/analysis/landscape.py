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
from ..common.expecting import COUNT, PAIR, SEED, Each, expects
from ..common.pictures import COLOURS, new_figure
from ..nn import Module, Shortcut
from ..nn import functional as F
from .lab import Batch, Lab
from .probe import Probe
from .watching import untouched

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Direction = dict[str, Array]
HIGHEST = 100.0  # contours end at this loss
NETWORKS: tuple[tuple[int, Shortcut], ...] = ((56, None), (56, "A"))


@expects(model=Module, rng=np.random.Generator)
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
    try:
        for step, direction in steps:
            for name, change in direction.items():
                parameter = parameters[name]
                parameter[...] = parameter.data + change * np.asarray(step, change.dtype)
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
            F.cross_entropy(model(Tensor(images[part])), labels[part]).item() for part in parts
        ]
    return float(np.average(losses, weights=[len(labels[part]) for part in parts]))


@dataclass(frozen=True)
class Landscape:
    """Losses of one network.

    Attributes:
        line: steps along a line, (points,).
        lines: losses on lines in several directions, (directions, points).
        side: steps along a side of the square, (size,).
        plane: losses, (size, size), [i, j] at side[i] in the first and side[j] in the second
            direction.
    """

    line: Array
    lines: Array
    side: Array
    plane: Array

    def around(self, distance: float) -> Array:
        """Losses at this distance, on both sides and in all directions; empty if none was taken."""
        return self.lines[:, np.isclose(np.abs(self.line), distance)].ravel()


@expects(
    model=Module,
    batch=Each(np.ndarray, PAIR),
    points=COUNT,
    directions=COUNT,
    size=COUNT,
    plane_images=COUNT,
    reach=float,
    seed=SEED,
)
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
    """Lines above, planes below; a column for each network, with one scale."""
    names = list(result.networks)
    figure, axes = new_figure(
        f"Training loss around trained networks\n{result.described}", 2 * len(names), rows=2
    )
    levels = loss_levels([scene.plane for scene in result.networks.values()])
    for column, name in enumerate(names):
        scene, above, below = result.networks[name], axes[column], axes[len(names) + column]
        above.set(title=name, xlabel="step, in filter lengths", yscale="log")
        for losses, colour in zip(scene.lines, COLOURS, strict=False):
            above.plot(scene.line, losses, ".-", color=colour, linewidth=1.6)
        draw_plane(figure, below, scene, levels)
    axes[0].set_ylabel("loss, three directions")
    axes[len(names)].set_ylabel("step in the second direction")
    return figure


def loss_levels(planes: list[Array]) -> Array:
    """Where contours go: from the lowest loss to the highest, but at most to `HIGHEST`."""
    losses = np.concatenate([plane[np.isfinite(plane)] for plane in planes])
    low = losses.min()
    return np.geomspace(low, max(min(losses.max(), HIGHEST), 1.1 * low), 21)


def draw_plane(figure: Figure, axis: Axes, scene: Landscape, levels: Array) -> None:
    """Contours of the loss, at equal ratios."""
    image = axis.contourf(
        scene.side,
        scene.side,
        np.minimum(scene.plane.T, levels[-1]),  # a row of what is drawn is one height
        levels=levels,
        norm="log",
        cmap="cividis",
    )
    axis.plot(0, 0, "w+", markersize=10, markeredgewidth=2)
    axis.set(xlabel="step in the first direction", aspect="equal")
    axis.grid(visible=False)
    bar = figure.colorbar(image, ax=axis, label="loss")
    ticks = [tick for tick in (1, 2, 3, 5, 10, 20, 30, 50) if levels[0] <= tick < levels[-1]]
    highest = f"{'≥ ' if scene.plane.max() > levels[-1] else ''}{levels[-1]:.3g}"
    bar.set_ticks([*ticks, levels[-1]], labels=[*map(str, ticks), highest])
    bar.minorticks_off()


def tell(result: LandscapeStudy) -> list[str]:
    """How fast the loss rises from the middle."""
    return [
        f"{name}: loss {scene.around(0.0).mean():.2f} where training ended"
        + "".join(
            f"; {words} filter length away {around.mean():.3g}, from {around.min():.3g} to "
            f"{around.max():.3g}"
            for words, around in (("half a", scene.around(0.5)), ("a whole", scene.around(1.0)))
            if around.size
        )
        + " (on both sides, in all directions)."
        for name, scene in result.networks.items()
    ]


LANDSCAPE = Probe(
    name="landscape",
    title="The loss landscape around trained networks",
    what=(
        "From where training ended, all weights of convolutions and of the classifier move along "
        "random directions, each filter in proportion to its own length; biases and batch norm's "
        "parameters stay. Above: "
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
