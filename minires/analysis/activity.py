"""Is the network alive? Units that are never active, and how far a step moves the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..autograd import Tensor, no_grad
from ..autograd.function import Array
from ..common.expecting import expects
from ..common.pictures import COLOURS, new_figure
from ..models import CifarResNet
from ..nn import Module, ReLU, Shortcut
from ..training import Trainer
from ..training.norms import norm
from .lab import Lab
from .probe import Probe
from .propagation import train_and_look
from .surgery import without_batch_norm
from .watching import untouched, watching

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = (1, 10, 100)
DEPTH = 20
LEAST = 10  # percent that the scale of dead channels shows at least
NETWORKS: dict[str, tuple[Shortcut, Callable[[CifarResNet], CifarResNet]]] = {
    f"plain-{DEPTH}, no batch norm": (None, without_batch_norm),
    f"plain-{DEPTH}": (None, lambda model: model),
    f"ResNet-{DEPTH}": ("A", lambda model: model),
}


@expects(model=Module, images=np.ndarray)
def dead_shares(model: Module, images: Array) -> Array:
    """For each ReLU in order: the share of its channels that are 0 everywhere on all images.

    Such a unit gets no gradient from any of them. Evaluation mode; the model is left as it was.
    """
    with untouched(model), no_grad(), watching(model, ReLU, output=dead_share) as seen:
        model.eval()(Tensor(images))
    return np.array([sight.output for sight in seen])


def dead_share(y: Array) -> float:
    """Share of channels without a single value above 0."""
    return float(np.mean(y.max(axis=tuple(range(y.ndim - 1))) <= 0))


@expects(before=Mapping, model=Module)
def update_ratios(before: dict[str, Array], model: Module) -> Array:
    """Norm of the change over norm of the weight, for each weight of `before` in order."""
    after = dict(model.named_parameters())
    return np.array([norm(after[name].data - w) / norm(w) for name, w in before.items()])


def weights_of(model: Module) -> dict[str, Array]:
    """Copies of the weights of convolutions and of the classifier."""
    return {name: p.data.copy() for name, p in model.named_parameters() if p.ndim > 1}


@dataclass(frozen=True)
class Activity:
    """By network, and for each step.

    Attributes:
        dead: share of dead channels behind each ReLU after the step, (steps, ReLUs).
        ratios: update over weight of each layer in that step, (steps, layers).
    """

    steps: tuple[int, ...]
    dead: dict[str, Array]
    ratios: dict[str, Array]
    described: str


def measure(lab: Lab, *, steps: tuple[int, ...] = STEPS, images: int = 256) -> Activity:
    """Train three networks for a while, and look at some steps."""
    steps = tuple(step for step in steps if step <= lab.recipe(DEPTH).iterations)
    batch, _ = lab.images(images)
    dead, ratios = {}, {}
    for name, (shortcut, change) in NETWORKS.items():
        model = change(lab.fresh(DEPTH, shortcut))
        watcher = Watcher(steps, batch)
        train_and_look(lab, model, f"activity-{name.replace(' ', '-')}", max(steps), watcher)
        dead[name], ratios[name] = np.array(watcher.dead), np.array(watcher.ratios)
    return Activity(steps, dead, ratios, lab.described(trained=False))


class Watcher:
    """Looks at a trainer after some steps, and at the weights one step before each."""

    def __init__(self, steps: tuple[int, ...], images: Array) -> None:
        self.steps, self.images = steps, images
        self.before: dict[str, Array] = {}
        self.dead: list[Array] = []
        self.ratios: list[Array] = []

    def __call__(self, trainer: Trainer) -> None:
        """Look, if it is time to."""
        if trainer.step in self.steps:
            self.ratios.append(update_ratios(self.before, trainer.model))
            self.dead.append(dead_shares(trainer.model, self.images))
        if trainer.step + 1 in self.steps:
            self.before = weights_of(trainer.model)


def draw(result: Activity) -> Figure:
    """Dead units (above) and update ratios (below); a column for each network."""
    columns = len(result.dead)
    figure, axes = new_figure(f"Is the network alive?\n{result.described}", 2 * columns, rows=2)
    styles = ("-", "--", "-.", ":")
    for column, name in enumerate(result.dead):
        above, below = axes[column], axes[columns + column]
        above.set(title=name, xticks=range(0, DEPTH + 1, 5))
        below.set(yscale="log", xlabel="layer", xticks=range(0, DEPTH + 1, 5))
        below.axhline(1e-3, color="0.5", linewidth=0.8)
        rows = zip(result.steps, result.dead[name], result.ratios[name], strict=True)
        for (step, dead, ratios), colour, style in zip(rows, COLOURS, styles, strict=False):
            label = f"step {step}"
            above.plot(np.arange(1, len(dead) + 1), 100 * dead, style, color=colour, label=label)
            below.plot(np.arange(1, len(ratios) + 1), ratios, style, color=colour, label=label)
    most = 100 * max(dead.max() for dead in result.dead.values())
    axes[0].set_ylim(-0.02 * max(most, LEAST), 1.05 * max(most, LEAST))
    axes[0].legend(frameon=False)
    axes[0].set_ylabel("dead channels, %")
    axes[columns].set_ylabel("update / weight, norms")
    return figure


def tell(result: Activity) -> list[str]:
    """Means over the layers after the last step."""
    return [
        f"{name}, step {result.steps[-1]}: {result.dead[name][-1].mean():.1%} of the channels are "
        f"dead; the step moves a layer's weights by {np.median(result.ratios[name][-1]):.1e} of "
        f"their norm (median), from {result.ratios[name][-1].min():.1e} to "
        f"{result.ratios[name][-1].max():.1e}."
        for name in result.dead
    ]


ACTIVITY = Probe(
    name="activity",
    title="Dead ReLUs, and the size of updates",
    what=(
        "Three networks learn for 100 steps. Above: the share of a ReLU's channels that are 0 at "
        "all places of 256 training images (evaluation mode). Below: norm of a step's change of "
        "each layer's weights over the norm of the weights."
    ),
    look_for=(
        "A dead unit gets no gradient and stays dead. Batch norm brings every channel's mean near "
        "0 and so revives it; compare with the network without. An update of about a thousandth "
        "of the weights (grey line) is a common rule of thumb; far less and a layer stands still, "
        "far more and it forgets. Are all layers of a network moved alike?"
    ),
    source=(
        "Dead ReLUs: Maas et al. 2013. Update-to-weight ratio: a rule of thumb from teaching "
        "(Karpathy, CS231n notes on monitoring the learning process), not a law"
    ),
    measure=measure,
    draw=draw,
    tell=tell,
)
