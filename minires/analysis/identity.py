"""The solution that exists: a trained shallow plain network inside a deep one, exactly.

He et al. 2015, sec. 1: "There exists a solution by construction to the deeper model: the added
layers are identity mapping, and the other layers are copied from the learned shallower model." So a
deeper network can do at least as well. That training does not find as much is what they call
degradation, and it is neither overfitting nor lack of capacity.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..autograd import Tensor, no_grad
from ..autograd.function import Array
from ..common.expecting import expects
from ..common.pictures import COLOURS, new_figure
from ..models import CifarResNet, cifar_resnet
from ..nn import BasicBlock, BatchNorm2d, Conv2d, Sequential
from ..training import LinearDecay, Trainer, evaluate_split
from ..training.records import read_records
from .lab import Lab
from .probe import Probe
from .watching import untouched, watching

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHALLOW, DEEP = 20, 56
STAGES = ("layer1", "layer2", "layer3")


@expects(small=CifarResNet, depth=int, images=np.ndarray)
def embed(small: CifarResNet, depth: int, images: Array) -> CifarResNet:
    """A plain network of `depth` layers that computes what the plain network `small` computes.

    Each stage begins with copies of the small network's blocks; those after them are identities:
    the convolutions hand on each channel, and batch norm undoes by its weight and bias what it does
    by its statistics, those of the map there on `images` (N, 32, 32, 3). ReLU changes nothing,
    since the maps behind a ReLU are not negative. In evaluation mode it is exact up to rounding;
    in training mode nearly so, as each batch has its own statistics.

    Raises: ValueError if `small` has shortcuts or is not the shallower one.
    """
    if small.shortcut is not None or small.depth >= depth:
        raise ValueError(
            f"embed: takes a plain network and a larger depth, but got {small.name} and {depth}"
        )
    weight = small.fc.weight
    large = cifar_resnet(depth, shortcut=None, classes=weight.shape[1], dtype=weight.dtype)
    moments = moments_behind_stages(small, images)
    for name in ("conv1", "bn1", "fc"):
        getattr(large, name).load_state_dict(getattr(small, name).state_dict())
    for name in STAGES:
        fill_stage(getattr(large, name), getattr(small, name), *moments[name])
    return large


def fill_stage(large: Sequential, small: Sequential, mean: Array, var: Array) -> None:
    """Copies of the small stage's blocks, then identities."""
    for number, block in enumerate(large):
        if number < len(small):
            block.load_state_dict(small[number].state_dict())
        else:
            assert isinstance(block, BasicBlock)
            make_identity(block, mean, var)


def make_identity(block: BasicBlock, mean: Array, var: Array) -> None:
    """A plain block that hands on maps whose channels have these moments, none negative."""
    for conv, norm in ((block.conv1, block.bn1), (block.conv2, block.bn2)):
        hand_on(conv)
        undo_itself(norm, mean, var)


def hand_on(conv: Conv2d) -> None:
    """A convolution whose result is its input: 1 in the middle of each channel's own filter."""
    kernel, _, channels, _ = conv.weight.shape
    conv.weight[...] = 0.0
    conv.weight[kernel // 2, kernel // 2] = np.eye(channels, dtype=conv.weight.dtype)


def undo_itself(norm: BatchNorm2d, mean: Array, var: Array) -> None:
    """Batch norm whose result is its input: scale and shift are the inverse of normalising."""
    norm.running_mean[...], norm.running_var[...] = mean, var
    norm.weight[...] = np.sqrt(var + norm.eps)
    norm.bias[...] = mean


def moments_behind_stages(model: CifarResNet, images: Array) -> dict[str, tuple[Array, Array]]:
    """Mean and variance of each channel behind each stage, in evaluation mode."""
    axes = (0, 1, 2)
    with untouched(model), no_grad():
        model.eval()
        with watching(model, Sequential, output=lambda y: (y.mean(axes), y.var(axes))) as seen:
            model(Tensor(images))
    return {sight.name: sight.output for sight in seen if sight.name in STAGES}


@dataclass(frozen=True)
class LossCurve:
    """Training loss over intervals, at the iterations where they end."""

    steps: Array
    loss: Array

    @property
    def last(self) -> float:
        """Mean over the last eighth."""
        return float(self.loss[self.steps > self.steps[-1] * 7 / 8].mean())


@dataclass(frozen=True)
class IdentityStudy:
    """Training curves, and test losses of the shallow network and the deep one that holds it.

    Attributes:
        difference: largest difference of the two networks' logits on the test images.
        shallow, embedded: test losses before training goes on; equal.
        curves: "from scratch" of both depths, and "going on" from the shallow solution.
    """

    difference: float
    shallow: float
    embedded: float
    curves: dict[str, LossCurve]
    described: str


def measure(lab: Lab, *, images: int = 500) -> IdentityStudy:
    """Train a shallow and a deep plain network, embed the shallow one, and train on from there.

    Training goes on for half the recipe's iterations, at two fifths of its highest learning rate,
    falling to 0.
    """
    small = lab.trained(SHALLOW, None)
    lab.trained(DEEP, None)
    large = embed(small, DEEP, lab.images(images)[0])
    test = lab.images(images, "test")[0]
    difference = np.abs(logits(small, test) - logits(large, test)).max()
    shallow, embedded = (
        evaluate_split(model, lab.dataset, limit=images).loss for model in (small, large)
    )
    curves = {f"plain-{d}, from scratch": read_curve(lab.place(d, None)) for d in (SHALLOW, DEEP)}
    for model in (small, large):
        curves[f"{model.name}, going on"] = going_on(lab, model)
    return IdentityStudy(float(difference), shallow, embedded, curves, lab.described())


def logits(model: CifarResNet, images: Array) -> Array:
    """In evaluation mode."""
    with untouched(model), no_grad():
        return model.eval()(Tensor(images)).data


def going_on(lab: Lab, model: CifarResNet) -> LossCurve:
    """Train from where the model stands; the model is changed."""
    usual = lab.recipe(model.depth)
    iterations = usual.iterations // 2
    peak = 0.4 * max(usual.schedule(step) for step in range(usual.iterations))
    recipe = dataclasses.replace(
        usual, iterations=iterations, schedule=LinearDecay(peak=peak, start=0, stop=iterations)
    )
    trainer: Trainer = lab.trainer(model, f"going-on-{model.name}", recipe)
    trainer.run()
    return read_curve(trainer.folder)


def read_curve(folder: Path) -> LossCurve:
    """The loss of each interval, from the records of a run."""
    lines = [r for r in read_records(folder / "records.jsonl") if r["kind"] == "interval"]
    return LossCurve(np.array([r["step"] for r in lines]), np.array([r["loss"] for r in lines]))


def draw(result: IdentityStudy) -> Figure:
    """From scratch (left), and going on from the shallow network's solution (right)."""
    figure, axes = new_figure(
        f"A plain network of {DEEP} layers can do what one of {SHALLOW} does\n{result.described}",
        2,
    )
    axes[0].set(title="from scratch", xlabel="iterations", ylabel="training loss")
    axes[1].set(
        title=f"going on from plain-{SHALLOW}'s solution", xlabel="iterations from there on"
    )
    for name, curve in result.curves.items():
        axis = axes["going on" in name]
        colour = COLOURS[f"-{DEEP}" in name]
        label = name.split(",")[0]
        if "going on" in name and f"-{DEEP}" in name:
            label += f", holds plain-{SHALLOW}"
        axis.plot(curve.steps, curve.loss, color=colour, linewidth=2, label=label)
    for axis in axes:
        axis.legend(frameon=False)
    return figure


def tell(result: IdentityStudy) -> list[str]:
    """Existence, degradation, and what training makes of the solution."""
    lasts = {name: curve.last for name, curve in result.curves.items()}
    return [
        f"It exists: plain-{DEEP} with plain-{SHALLOW} inside has the test loss "
        f"{result.embedded:.4f}, plain-{SHALLOW} {result.shallow:.4f}; their logits differ by at "
        f"most {result.difference:.1e}, by rounding.",
        "Mean training loss over the last eighth: "
        + ", ".join(f"{name} {last:.2f}" for name, last in lasts.items())
        + ".",
    ]


IDENTITY = Probe(
    name="identity",
    title="A shallow network's solution inside a deep one",
    what=(
        "A trained plain-20 is put into a plain-56: its blocks are copied, and the 36 layers more "
        "are identities, with batch norms that undo themselves. Both compute the same. Then "
        "training goes on from there, for half as many iterations, from two fifths of the highest "
        "learning rate down to 0, for plain-20 and for plain-56 with the same batches. (The loss "
        "is measured while learning, on augmented batches.)"
    ),
    look_for=(
        "Does plain-56 from scratch end with the higher training loss, though a set of its weights "
        "exists that has plain-20's? Then this is neither overfitting nor lack of capacity: the "
        "solution is there, and training does not get to it. And when training starts from it, "
        "does plain-56 keep up with plain-20, or does it lose what it was given?"
    ),
    source="He et al. 2015, sec. 1 and 4.1",
    measure=measure,
    draw=draw,
    tell=tell,
)
