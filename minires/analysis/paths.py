"""A residual network is a sum over paths: how long are they, and which of them carry the gradient?

Every block offers two ways, its branch and its shortcut, so n blocks make 2^n paths from input to
output. A path's length is the number of branches on it. Veit et al. 2016, arXiv 1605.06431.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from ..autograd import Tensor, no_grad
from ..autograd.function import Array
from ..common.expecting import COUNT, SEED, Each, expects
from ..common.pictures import COLOURS, new_figure
from ..models import CifarResNet
from ..nn import BasicBlock, Module
from ..nn import functional as F
from ..nn.sequential import in_turn
from ..training.norms import norm
from .lab import Lab
from .probe import Probe
from .watching import blocks_by_name, replaced, untouched

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class OneWay(Module):
    """A block with the result of both ways, whose gradient takes one of them."""

    def __init__(self, block: BasicBlock, *, through_branch: bool) -> None:
        super().__init__()
        self.block, self.through_branch = block, through_branch

    def forward(self, x: Tensor) -> Tensor:
        return self.block.relu(self.branch(x) + self.skip(x))

    def branch(self, x: Tensor) -> Tensor:
        """F(x), a constant to the gradient unless it is the way."""
        block = self.block
        with nullcontext() if self.through_branch else no_grad():
            return block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x)))))

    def skip(self, x: Tensor) -> Tensor:
        """The shortcut, a constant to the gradient unless it is the way."""
        if self.block.downsample is None:
            raise ValueError(
                "paths: a plain network has one alone, for its blocks have no shortcut"
            )
        return self.block.downsample(x.detach() if self.through_branch else x)


@expects(model=Module, images=np.ndarray, labels=np.ndarray, through=Each(str))
def path_gradient(
    model: CifarResNet, images: Array, labels: Array, through: Collection[str]
) -> Array:
    """The loss's gradient at the first block's input, along one path alone.

    The path takes the branch of the blocks that `through` names and the shortcut of the others.
    Forward, nothing changes; so the gradients of all 2^n paths sum up to the usual one. Training
    mode. Shape: that of the map behind the first convolution.

    Raises: ValueError for a name that no block has, or a plain network.
    """
    blocks = blocks_by_name(model)
    if unknown := [name for name in through if name not in blocks]:
        raise ValueError(f"path_gradient: no block is called {unknown[0]!r}: {', '.join(blocks)}")
    ways = {name: OneWay(block, through_branch=name in through) for name, block in blocks.items()}
    with untouched(model), replaced(model, ways):
        model.train()
        return gradient_behind_stem(model, images, labels)


def gradient_behind_stem(model: CifarResNet, images: Array, labels: Array) -> Array:
    """The loss's gradient with respect to the map that enters the first block."""
    with no_grad():
        first = in_turn(Tensor(images), model.conv1, model.bn1, model.relu)
    x = Tensor(first.data, requires_grad=True)
    logits = model.fc(model.pool(model.layer3(model.layer2(model.layer1(x)))))
    F.cross_entropy(logits, labels).backward()
    assert x.grad is not None
    return x.grad


@dataclass(frozen=True)
class Paths:
    """By length of path, from 0 to the number of blocks; all (blocks + 1,).

    Attributes:
        count_share: share of all paths that are so long: a binomial distribution.
        norm: mean gradient norm of a path of that length, of those that were drawn.
        gradient_share: count times norm, as a share of all lengths.
    """

    count_share: Array
    norm: Array

    @property
    def gradient_share(self) -> Array:
        """How much of the gradient comes over paths of each length."""
        weight = self.count_share * self.norm
        return weight / weight.sum()

    def middle(self, share: Array, part: float = 0.9) -> tuple[int, int]:
        """The lengths between which the middle `part` of a distribution lies."""
        total = np.cumsum(share)
        low, high = np.searchsorted(total, [(1 - part) / 2, (1 + part) / 2])
        return int(low), int(high)


def count_shares(blocks: int) -> Array:
    """Share of the 2^blocks paths by length."""
    return np.array([comb(blocks, k) / 2**blocks for k in range(blocks + 1)])


@expects(model=Module, images=np.ndarray, labels=np.ndarray, samples=COUNT, seed=SEED)
def measure_paths(
    model: CifarResNet, images: Array, labels: Array, *, samples: int = 5, seed: int = 0
) -> Paths:
    """Draw `samples` paths of each length and measure the gradient along each alone."""
    names, rng = list(blocks_by_name(model)), np.random.default_rng(seed)
    norms = [
        np.mean(
            [
                norm(path_gradient(model, images, labels, set(rng.permutation(names)[:length])))
                for _ in range(samples)
            ]
        )
        for length in range(len(names) + 1)
    ]
    return Paths(count_shares(len(names)), np.array(norms))


@dataclass(frozen=True)
class PathStudy:
    """Paths before and after training."""

    networks: dict[str, Paths]
    described: str


def measure(lab: Lab, *, depth: int = 56, images: int = 32, samples: int = 5) -> PathStudy:
    """A residual network at initialisation and trained."""
    batch = lab.images(images)
    models = {"at initialisation": lab.fresh(depth, "A"), "trained": lab.trained(depth, "A")}
    results = {
        when: measure_paths(model, *batch, samples=samples) for when, model in models.items()
    }
    return PathStudy(results, f"ResNet-{depth}; {lab.described()}")


def draw(result: PathStudy) -> Figure:
    """Number of paths, gradient of one path, and both together, by length."""
    figure, axes = new_figure(
        f"Paths through a residual network, by length\n{result.described}", 3, share_y=False
    )
    counts = next(iter(result.networks.values())).count_share
    lengths = np.arange(len(counts))
    axes[0].bar(lengths, 100 * counts, color="0.6")
    axes[0].set(title="how many paths", ylabel="share of all paths, %")
    axes[1].set(title="gradient of one path", ylabel="mean norm", yscale="log")
    axes[2].set(title="gradient of all paths of a length", ylabel="share, %")
    axes[2].bar(lengths, 100 * counts, color="0.85", label="share of paths")
    for (when, study), colour in zip(result.networks.items(), COLOURS, strict=False):
        axes[1].plot(lengths, study.norm, color=colour, linewidth=2, label=when)
        axes[2].plot(lengths, 100 * study.gradient_share, color=colour, linewidth=2, label=when)
    for axis in axes:
        axis.set_xlabel("length: branches on the path")
    axes[1].legend(frameon=False, fontsize="small")
    axes[2].legend(frameon=False, fontsize="small")
    return figure


def tell(result: PathStudy) -> list[str]:
    """Where the middle of both distributions lies."""
    first = next(iter(result.networks.values()))
    low, high = first.middle(first.count_share)
    lines = [f"Nine tenths of all paths lead through {low} to {high} branches."]
    for when, study in result.networks.items():
        low, high = study.middle(study.gradient_share)
        mean = study.gradient_share @ np.arange(len(study.norm))
        lines.append(
            f"{when}: nine tenths of the gradient come over paths of {low} to {high} branches "
            f"({mean:.1f} on average); one path through all branches carries "
            f"{study.norm[-1] / study.norm[0]:.2g} times as much as the one through none."
        )
    return lines


PATHS = Probe(
    name="paths",
    title="Path lengths, and which paths carry the gradient",
    what=(
        "ResNet-56 has 27 blocks and so 2^27 paths. Five paths of each length are drawn, and the "
        "gradient at the first block's input is computed along each alone: in every block it takes "
        "the branch or the shortcut, while the forward pass stays as it is. 32 training images, "
        "training mode. Shares add up norms, though gradients may cancel each other."
    ),
    look_for=(
        "Does one long path carry less gradient than a short one? Then most of the gradient comes "
        "over paths shorter than most paths are, as Veit et al. found in a trained 110-layer "
        "network (10 to 34 of 54 branches): it trains as a collection of shallower networks. See "
        "whether that holds before training as well."
    ),
    source="Veit et al. 2016, arXiv 1605.06431, sec. 3 and 5",
    measure=measure,
    draw=draw,
    tell=tell,
)
