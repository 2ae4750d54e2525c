"""Signal forward, gradient backward: how their size changes from block to block."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..autograd import Tensor
from ..autograd.function import Array
from ..common.expecting import expects
from ..common.pictures import COLOURS, new_figure
from ..models import CifarResNet
from ..nn import BasicBlock, Module, Sequential, Shortcut
from ..nn import functional as F
from ..training import Trainer
from ..training.norms import norm
from . import surgery
from .lab import Batch, Lab
from .probe import Probe
from .watching import rms, untouched, watching

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEPTHS = (18, 54, 108)
SEEDS = 3
STEPS = (0, 1, 10, 100)
KINDS: dict[str, tuple[Shortcut, bool]] = {
    "plain, no batch norm": (None, False),
    "residual, no batch norm": ("A", False),
    "plain, batch norm": (None, True),
    "residual, batch norm": ("A", True),
}


@dataclass(frozen=True)
class Propagation:
    """Sizes at what the model is given and behind every block, (blocks + 1,).

    `signal`: root mean square of the map. `gradient`: norm of the loss's gradient with respect to
    the map. What a stack is given is the input of its first block; a network is given images.
    """

    signal: Array
    gradient: Array

    @property
    def gain(self) -> float:
        """Gradient at the input over gradient at the output."""
        return float(self.gradient[0] / self.gradient[-1])

    @property
    def spread(self) -> float:
        """The largest gradient behind a block over the smallest."""
        return float(self.gradient[1:].max() / self.gradient[1:].min())


@expects(model=Module, x=np.ndarray, start_backward=Callable)
def propagate(model: Module, x: Array, start_backward: Callable[[Tensor], None]) -> Propagation:
    """Run `x` (N, H, W, C) forward and a gradient backward, and measure at every block.

    `start_backward` is given the model's result. The model is left as it was.
    """
    with untouched(model), watching(model, BasicBlock, output=rms, gradient=norm) as seen:
        tensor = Tensor(x, requires_grad=True)
        start_backward(model(tensor))
    if tensor.grad is None:
        raise ValueError("propagate: start_backward must call backward() on what it is given")
    return Propagation(
        signal=np.array([rms(x), *(sight.output for sight in seen)]),
        gradient=np.array([norm(tensor.grad), *(sight.gradient for sight in seen)]),
    )


def propagate_noise(build: Callable[[int], Sequential], *, seeds: int = SEEDS) -> Propagation:
    """Normal noise through a stack of blocks, and a random gradient back through it.

    32 maps of 8 x 8, in training mode; geometric means over the seeds, which `build` is given.
    """
    runs = []
    for seed in range(seeds):
        model, rng = build(seed), np.random.default_rng([seed, 1])
        weight = model[0].conv1.weight
        x = rng.standard_normal((32, 8, 8, weight.shape[2])).astype(weight.dtype)
        cotangent = rng.standard_normal(x.shape).astype(weight.dtype)
        runs.append(propagate(model, x, partial(Tensor.backward, grad=cotangent)))
    return Propagation(
        geometric_mean([run.signal for run in runs]),
        geometric_mean([run.gradient for run in runs]),
    )


def geometric_mean(arrays: list[Array]) -> Array:
    """Element by element."""
    return np.exp(np.mean(np.log(arrays), axis=0))


# -- four panels ---------------------------------------------------------------------------


def measure_at_initialisation(
    lab: Lab | None = None, *, depths: tuple[int, ...] = DEPTHS, seeds: int = SEEDS
) -> dict[str, dict[int, Propagation]]:
    """For each of the four kinds of stack and each depth. No data are needed."""
    return {
        kind: {
            depth: propagate_noise(partial(build_stack, kind, depth), seeds=seeds)
            for depth in depths
        }
        for kind in KINDS
    }


def build_stack(kind: str, depth: int, seed: int) -> Sequential:
    """One of the four kinds."""
    shortcut, batch_norm = KINDS[kind]
    model = surgery.stack(depth, shortcut=shortcut, seed=seed)
    return model if batch_norm else surgery.without_batch_norm(model)


def draw_four_panels(result: dict[str, dict[int, Propagation]]) -> Figure:
    """Batch norm off and on (rows), shortcuts off and on (columns); one scale for all."""
    figure, axes = new_figure(
        "Signal and gradient at initialisation\n"
        "3x3 convolutions, 16 channels, 8 x 8 maps, He initialisation",
        4,
        rows=2,
    )
    for axis, (kind, by_depth) in zip(axes, result.items(), strict=True):
        axis.set(title=kind, yscale="log", xlabel="layer", ylim=(3e-5, 1e9))
        axis.axhline(1, color="0.5", linewidth=0.8)
        for (depth, run), colour in zip(by_depth.items(), COLOURS, strict=False):
            layer = np.linspace(0, depth, len(run.gradient))
            backward = run.gradient / run.gradient[-1]
            axis.plot(
                layer, backward, color=colour, linewidth=2.2, label=f"gradient, {depth} layers"
            )
        deepest = by_depth[max(by_depth)].signal  # begins with those of the others
        layer = np.linspace(0, max(by_depth), len(deepest))
        axis.plot(layer, deepest / deepest[0], "--", color="0.3", linewidth=1.4, label="signal")
    axes[0].legend(frameon=False, fontsize="small", ncols=2)
    for axis in axes[::2]:
        axis.set_ylabel("signal / that at the input\ngradient / that at the output")
    return figure


def tell_gains(result: dict[str, dict[int, Propagation]]) -> list[str]:
    """The gradient at the input relative to the output, kind by kind."""
    return [
        f"{kind}: the gradient at the input is "
        + ", ".join(f"{run.gain:.2g}" for run in by_depth.values())
        + f" times that at the output ({', '.join(map(str, by_depth))} layers)."
        for kind, by_depth in result.items()
    ]


# -- the first steps of training -----------------------------------------------------------


@dataclass(frozen=True)
class FirstSteps:
    """For each network by name, its propagation after each of the steps; and what it ran on."""

    steps: tuple[int, ...]
    networks: dict[str, list[Propagation]]
    described: str


def measure_first_steps(
    lab: Lab, *, depth: int = 56, steps: tuple[int, ...] = STEPS, images: int = 128
) -> FirstSteps:
    """Train a plain and a residual network, and look at the same images after some steps.

    In training mode, with the batch's own statistics.
    """
    recipe = lab.recipe(depth)
    steps = tuple(step for step in steps if step <= recipe.iterations)
    batch = lab.images(images)
    networks = {}
    kinds: tuple[Shortcut, ...] = (None, "A")
    for shortcut in kinds:
        model = lab.fresh(depth, shortcut)
        networks[model.name] = propagate_while_training(lab, model, steps, batch)
    return FirstSteps(steps, networks, lab.described(trained=False))


def propagate_while_training(
    lab: Lab, model: CifarResNet, steps: tuple[int, ...], batch: Batch
) -> list[Propagation]:
    """After each of the steps."""
    runs: list[Propagation] = []

    def look(trainer: Trainer) -> None:
        if trainer.step in steps:
            runs.append(propagate(trainer.model, batch[0], cross_entropy(batch[1])))

    train_and_look(lab, model, f"first-steps-{model.name}", max(steps), look)
    return runs


def train_and_look(
    lab: Lab, model: Module, name: str, iterations: int, look: Callable[[Trainer], None]
) -> None:
    """Train for some iterations from scratch; `look` at the trainer before and after each step."""
    recipe = lab.recipe(56)
    recipe = dataclasses.replace(recipe, iterations=iterations, evaluate_every=iterations)
    trainer = lab.trainer(model, name, recipe)
    show = trainer.watch

    def watch(trainer: Trainer) -> None:
        show(trainer)
        look(trainer)

    look(trainer)
    trainer.watch = watch
    trainer.run()


def cross_entropy(labels: Array) -> Callable[[Tensor], None]:
    """Starts a backward pass from the loss."""
    return lambda logits: F.cross_entropy(logits, labels).backward()


def draw_first_steps(result: FirstSteps) -> Figure:
    """Gradient (above) and signal (below) of plain and residual network; a line for each step."""
    figure, axes = new_figure(
        f"Signal and gradient in the first steps of training\n{result.described}", 4, rows=2
    )
    styles = ("-", "--", "-.", ":")
    for column, (name, runs) in enumerate(result.networks.items()):
        above, below = axes[column], axes[2 + column]
        above.set(title=name, yscale="log")
        below.set(yscale="log", xlabel="block")
        for step, run, colour, style in zip(result.steps, runs, COLOURS, styles, strict=False):
            label = f"after {step} steps" if step != 1 else "after 1 step"
            above.plot(run.gradient, style, color=colour, linewidth=2, label=label)
            below.plot(run.signal, style, color=colour, linewidth=2, label=label)
        above.legend(frameon=False, fontsize="small")
    axes[0].set_ylabel("norm of the gradient")
    axes[2].set_ylabel("signal, root mean square")
    return figure


def tell_first_steps(result: FirstSteps) -> list[str]:
    """Gradients at the image and behind the blocks, relative to each other, by step."""
    return [
        f"{name}, after {', '.join(map(str, result.steps))} steps: the gradient at the image is "
        + ", ".join(f"{run.gain:.2g}" for run in runs)
        + " times that behind the last block; the largest behind a block is "
        + ", ".join(f"{run.spread:.2g}" for run in runs)
        + " times the smallest."
        for name, runs in result.networks.items()
    ]


PROPAGATION = Probe(
    name="propagation",
    title="Signal and gradient at initialisation: batch norm off and on, shortcuts off and on",
    what=(
        "Noise runs forward through a stack of 3x3 convolutions (16 channels, 8 x 8 maps, He "
        "initialisation, ReLU) and a random gradient runs back. Shown is the size of the map "
        "(dashed) and of the gradient (solid) behind every block, in training mode, geometric "
        f"mean of {SEEDS} seeds."
    ),
    look_for=(
        "The gradient enters on the right. In which of the four kinds does it shrink on its way to "
        "the input, in which does it grow, and how does that go on with depth? Every addition of "
        "a shortcut adds to signal and gradient. Batch norm keeps the signal's size; Yang et al. "
        "show that without shortcuts it makes the gradient grow exponentially with depth at "
        "initialisation, however the weights are chosen: the opposite of vanishing."
    ),
    source=(
        "He et al. 2015, sec. 4.1 (healthy norms with batch norm); Yang et al. 2019, "
        "arXiv 1902.08129 (batch norm without shortcuts makes gradients explode at initialisation)"
    ),
    measure=measure_at_initialisation,
    draw=draw_four_panels,
    tell=tell_gains,
)

FIRST_STEPS = Probe(
    name="first-steps",
    title="Signal and gradient after 0, 1, 10 and 100 steps of training",
    what=(
        "A plain and a residual network of 56 layers with batch norm learn. Before the first step "
        "and after some, 128 training images run forward and their loss's gradient runs back, in "
        "training mode; shown is the size of both behind every block."
    ),
    look_for=(
        "Does the explosion of the plain network at initialisation last? Yang et al. report that "
        "it is dramatically smaller after a single step (where a recipe warms up, as `quick` does, "
        "the first step is a small one: look at later ones). He et al. 2015 looked during training "
        "and saw healthy norms. Compare the first and the last line of the plain network, and its "
        "last line with the residual network's."
    ),
    source="Yang et al. 2019, arXiv 1902.08129; He et al. 2015, sec. 4.1",
    measure=measure_first_steps,
    draw=draw_first_steps,
    tell=tell_first_steps,
)
