"""Lesions: take a block out of a trained network, or let two change places, and test it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ..autograd import Tensor
from ..autograd.function import Array
from ..common.expecting import COUNT, expects
from ..common.pictures import COLOURS, new_figure
from ..data import Dataset
from ..models import CifarResNet
from ..nn import BasicBlock, Identity, Module, Shortcut, SubsampleAndPad
from ..training import evaluate_split
from .lab import Lab
from .probe import Probe
from .watching import blocks_by_name, replaced, untouched

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NETWORKS: tuple[tuple[int, Shortcut], ...] = ((20, None), (20, "A"), (56, "A"))


class Bypass(Module):
    """What is left of a block without its branch: relu(shortcut(x)).

    A plain block has no shortcut; in its place stands the parameter-free one, option A.
    """

    def __init__(self, block: BasicBlock) -> None:
        super().__init__()
        self.shortcut = block.downsample or parameter_free_shortcut(block)
        self.relu = block.relu

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.shortcut(x))


def parameter_free_shortcut(block: BasicBlock) -> Module:
    """Option A for this block's shapes."""
    in_channels, channels = block.conv1.weight.shape[2:]
    stride = block.conv1.stride
    if stride == 1 and in_channels == channels:
        return Identity()
    return SubsampleAndPad(channels, stride=stride)


@dataclass(frozen=True)
class Lesions:
    """Test errors (shares, 0 to 1) of one network.

    Attributes:
        whole: of the network as it is.
        removed: without each block, (blocks,).
        swapped: with each block and the next one in each other's place; (pairs,).
        pairs: the number of the first block of each pair; both have the same shapes.
    """

    whole: float
    removed: Array
    swapped: Array
    pairs: Array


@expects(model=Module, dataset=Dataset, images=COUNT)
def lesion_errors(model: CifarResNet, dataset: Dataset, *, images: int = 1000) -> Lesions:
    """Test errors on the first `images` test images, in evaluation mode.

    Batch norm's statistics are those of the whole network. The model is left as it was.
    """

    def error(changes: dict[str, Module]) -> float:
        with untouched(model), replaced(model, changes):
            return evaluate_split(model, dataset, limit=images).error

    blocks = blocks_by_name(model)
    names = list(blocks)
    alike = [i for i, pair in enumerate(pairwise(blocks.values())) if same_shapes(*pair)]
    swaps = [{names[i]: blocks[names[i + 1]], names[i + 1]: blocks[names[i]]} for i in alike]
    return Lesions(
        whole=error({}),
        removed=np.array([error({name: Bypass(block)}) for name, block in blocks.items()]),
        swapped=np.array([error(dict(swap)) for swap in swaps]),
        pairs=np.array(alike, int),
    )


def same_shapes(a: BasicBlock, b: BasicBlock) -> bool:
    """Whether two blocks may change places."""
    return a.conv1.weight.shape == b.conv1.weight.shape and a.conv1.stride == b.conv1.stride


@dataclass(frozen=True)
class LesionStudy:
    """Lesions by network; and what they were measured on."""

    networks: dict[str, Lesions]
    images: int
    described: str


def measure(lab: Lab, *, images: int = 1000) -> LesionStudy:
    """A trained plain network and residual ones."""
    trained = [lab.trained(depth, shortcut) for depth, shortcut in NETWORKS]
    results = {model.name: lesion_errors(model, lab.dataset, images=images) for model in trained}
    return LesionStudy(results, images, lab.described())


def draw(result: LesionStudy) -> Figure:
    """Error after removing each block (left) and after swapping two (right)."""
    figure, axes = new_figure(
        f"Lesions of trained networks: {result.images:,} test images\n{result.described}", 2
    )
    axes[0].set(title="one block removed", ylabel="test error, %")
    axes[1].set(title="a block and the next one swapped")
    for axis in axes:
        axis.set(xlabel="place of the block: 0 first, 1 last")
        axis.axhline(90, color="0.5", linewidth=0.8, label="guessing")
    for (name, study), colour in zip(result.networks.items(), COLOURS, strict=False):
        last = len(study.removed) - 1
        places = np.arange(last + 1) / last, (study.pairs + 0.5) / last
        for axis, x, y in zip(axes, places, (study.removed, study.swapped), strict=True):
            axis.plot(x, 100 * y, "o-", color=colour, linewidth=1.6, markersize=4, label=name)
            axis.axhline(100 * study.whole, color=colour, linestyle=":", linewidth=1.4)
    axes[1].plot([], [], ":", color="0.3", label="unharmed")
    axes[1].legend(frameon=False, fontsize="small")
    return figure


def tell(result: LesionStudy) -> list[str]:
    """What an average lesion costs, in percentage points."""
    return [
        f"{name}: test error {study.whole:.1%}; without one block {study.removed.mean():.1%} on "
        f"average (median {np.median(study.removed):.1%}, at most {study.removed.max():.1%}); "
        f"with two swapped {study.swapped.mean():.1%} on average."
        for name, study in result.networks.items()
    ]


LESIONS = Probe(
    name="lesions",
    title="Lesions: remove a block, swap two",
    what=(
        "From trained networks one block is taken out, so that its shortcut alone is left (plain "
        "networks get option A's in that place), or a block and the next one change places. The "
        "test error of the first 1,000 test images is measured after each lesion, with nothing "
        "trained again; evaluation mode, with the running statistics of the whole network."
    ),
    look_for=(
        "Veit et al. removed layers from VGG, and the error rose to that of guessing; from a "
        "110-layer ResNet, and it rose little, but where the map shrinks. Blocks of a residual "
        "network behave like members of an ensemble, those of a plain one like links of a chain."
    ),
    source="Veit et al. 2016, arXiv 1605.06431, sec. 4.1 and 4.3",
    measure=measure,
    draw=draw,
    tell=tell,
)
