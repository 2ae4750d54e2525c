"""How much does a block's branch add to what its shortcut carries, and what if it starts at none?

De & Smith 2020, "Batch normalization biases residual blocks towards the identity function in deep
networks", arXiv 2002.10444.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..autograd import Tensor, no_grad
from ..autograd.function import Array
from ..common.expecting import expects
from ..common.pictures import COLOURS, new_figure
from ..models import CifarResNet
from ..nn import BasicBlock, Module
from ..training import DivergedError
from .identity import LossCurve, read_curve
from .lab import Lab
from .probe import Probe
from .surgery import skip_init, without_batch_norm, zero_gamma
from .watching import blocks_by_name, untouched

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VARIANTS: dict[str, Callable[[CifarResNet], CifarResNet]] = {
    "batch norm": lambda model: model,
    "batch norm, branches start at 0": zero_gamma,
    "no batch norm": without_batch_norm,
    "no batch norm, SkipInit 0": skip_init,
}


@expects(model=Module, images=np.ndarray)
def branch_to_skip(model: Module, images: Array) -> Array:
    """Variance of each block's branch over that of its shortcut, (blocks,).

    Variances are taken per channel, over images and places, and averaged over the channels. In
    training mode, block by block, on `images` (N, H, W, C) in a residual network.
    """
    ratios: list[float] = []

    def note(block: Module, inputs: tuple[Tensor, ...], result: Tensor) -> None:
        assert isinstance(block, BasicBlock)
        ratios.append(branch_variance(block, inputs[0]))

    with untouched(model), no_grad(), ExitStack() as hooks:
        for block in blocks_by_name(model).values():
            hooks.enter_context(block.register_forward_hook(note))
        model.train()(Tensor(images))
    return np.array(ratios)


def branch_variance(block: BasicBlock, x: Tensor) -> float:
    """Var F(x) / Var shortcut(x) of one block."""
    between = block.relu(block.bn1(block.conv1(x)))
    branch = block.bn2(block.conv2(between))
    if block.downsample is None:
        raise ValueError("branch_to_skip: a plain network has no shortcuts to compare with")
    return channel_variance(branch.data) / channel_variance(block.downsample(x).data)


def channel_variance(x: Array) -> float:
    """Variance per channel, averaged over the channels."""
    return float(x.var((0, 1, 2), dtype=np.float64).mean())


@dataclass(frozen=True)
class BranchStudy:
    """Ratios at initialisation, and training curves; those that diverge end early.

    Attributes:
        ratios: Var branch / Var shortcut of each block, by variant, (blocks,).
        curves: training loss, by variant.
        failures: for each variant that diverged, what the trainer said.
    """

    ratios: dict[str, Array]
    curves: dict[str, LossCurve]
    failures: dict[str, str]
    described: str


def measure(lab: Lab, *, depth: int = 56, images: int = 128) -> BranchStudy:
    """A residual network with and without batch norm, with branches that start at 0 or not.

    Training is the first third of the lab's recipe.
    """
    batch, _ = lab.images(images)
    ratios, curves, failures = {}, {}, {}
    for name, change in VARIANTS.items():
        model = change(lab.fresh(depth, "A"))
        ratios[name] = branch_to_skip(model, batch)
        curves[name], failure = train(lab, model, name)
        if failure:
            failures[name] = failure.split(";")[0].partition(": ")[2]
    described = f"ResNet-{depth}; {lab.dataset.name}, seed {lab.seed}"
    return BranchStudy(ratios, curves, failures, described)


def train(lab: Lab, model: CifarResNet, name: str) -> tuple[LossCurve, str]:
    """The training curve, and what the trainer said if it diverged."""
    usual = lab.recipe(model.depth)
    recipe = dataclasses.replace(
        usual, iterations=usual.iterations // 3, record_every=5, evaluate_every=usual.iterations
    )
    trainer = lab.trainer(model, f"branches-{model.name}-{name.replace(' ', '-')}", recipe)
    failure = ""
    try:
        with np.errstate(all="ignore"):
            trainer.run()
    except DivergedError as error:
        failure = str(error)
    return read_curve(trainer.folder), failure


def draw(result: BranchStudy) -> Figure:
    """Variances at initialisation (left), and training (right)."""
    figure, axes = new_figure(
        f"Branch and shortcut, with batch norm and without\n{result.described}",
        2,
        share_y=False,
    )
    axes[0].set(
        title="at initialisation", xlabel="block", ylabel="variance of branch / of shortcut"
    )
    axes[1].set(title="training", xlabel="iterations", ylabel="training loss", yscale="log")
    styles = dict(
        zip(result.ratios, zip(COLOURS, ("-", "--", "-.", ":"), strict=False), strict=False)
    )
    for name, (colour, style) in styles.items():
        ratios, curve = result.ratios[name], result.curves[name]
        blocks = np.arange(1, len(ratios) + 1)
        axes[0].plot(blocks, ratios, style, color=colour, linewidth=2, label=name)
        label = f"{name} (diverges)" if name in result.failures else name
        axes[1].plot(curve.steps, curve.loss, style, color=colour, linewidth=2, label=label)
    axes[1].grid(which="minor", axis="y", alpha=0.3)
    axes[1].yaxis.set_major_formatter("{x:g}")
    axes[1].yaxis.set_minor_formatter("{x:g}")
    axes[0].set_ylim(top=1.4 * max(ratios.max() for ratios in result.ratios.values()))
    for axis in axes:
        axis.legend(frameon=False, fontsize="small")
    return figure


def tell(result: BranchStudy) -> list[str]:
    """Ratios of the first and last block of each stage, and what training came to."""
    lines = [
        f"{name}: the branch's variance over the shortcut's {told(ratios)}."
        for name, ratios in result.ratios.items()
    ]
    for name, curve in result.curves.items():
        if name in result.failures:
            lines.append(f"{name}: training diverged, {result.failures[name]}.")
        elif len(curve.loss):
            lines.append(
                f"{name}: training loss {curve.last:.2f} after {curve.steps[-1]} iterations."
            )
    return lines


def told(ratios: Array) -> str:
    """How a ratio goes on from block to block."""
    if not ratios.any():
        return "is 0 in every block"
    stages = ", from ".join(f"{s[0]:.2f} to {s[-1]:.2f}" for s in np.split(ratios, 3))
    return f"goes from {stages} (first to last block of each of the three stages)"


BRANCHES = Probe(
    name="branches",
    title="Branch against shortcut, and training without batch norm",
    what=(
        "Left: the variance of what a block's branch adds over the variance of what its shortcut "
        "carries, at initialisation, 128 training images, training mode. Right: the training loss "
        "of the same networks in the first third of the recipe. 'Branches start at 0' is batch "
        "norm whose last weight in each block starts at 0; 'SkipInit 0' has no batch norm, but one "
        "number a block that multiplies the branch and starts at 0."
    ),
    look_for=(
        "De & Smith: with batch norm a branch adds a variance of about one while the shortcut's "
        "grows from block to block, so the ratio falls like one over the number of blocks, and "
        "deep blocks start near the identity. Does it fall like that within a stage, and what "
        "happens where a stage begins and option A fills half the shortcut's channels with zeros? "
        "How large is a branch without batch norm? If small branches are what batch norm is for, "
        "then one that starts at 0 should train without it: does it here?"
    ),
    source=(
        "De & Smith 2020, arXiv 2002.10444, sec. 3 and 4; branches that start at 0: Goyal et al. "
        "2017, arXiv 1706.02677, sec. 5.1"
    ),
    measure=measure,
    draw=draw,
    tell=tell,
)
