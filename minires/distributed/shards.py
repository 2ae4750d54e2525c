"""A batch in shards: each is normalised for itself, and the gradient is the mean over all of them.

The number of shards belongs to the recipe. How many ranks compute them does not change a bit: each
computes consecutive shards and adds them up in a balanced tree; the ranks' sums go on as the upper
part of the same tree. What travels is one vector: gradients, then mean and unbiased variance of
every batch norm. Statistics of each shard alone: Goyal et al. 2017, arXiv 1706.02677. On a GPU
nothing here waits for it, so that a step can be replayed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import kernels
from ..kernels.devices import namespace
from ..nn import BatchNorm2d, Dropout, Module
from ..nn.module import Parameter
from ..optim import Flat
from .alone import Alone
from .tree import Tree

Array = np.ndarray
Pass = Callable[[Array, Array, Array], None]
MANY = 2**60  # values: a variance of so many is unbiased as it is


class Shards:
    """Cuts the batches of a training, and brings back the mean gradient of all shards.

    `flats` are where a GPU's optimisers have the gradients side by side.

    Raises: ValueError if the numbers don't fit, or the ranks' networks differ.
    """

    def __init__(
        self,
        model: Module,
        parameters: list[Parameter],
        count: int,
        batch_size: int,
        world: Alone,
        flats: Sequence[Flat] = (),
    ) -> None:
        refuse_what_does_not_fit(count, batch_size, world.size)
        self.parameters, self.count, self.world = parameters, count, world
        self.flats = flats
        modules = [module for _, module in model.named_modules()]
        self.norms = [m for m in modules if isinstance(m, BatchNorm2d)]
        self.dropouts = [m for m in modules if isinstance(m, Dropout)]
        self.images = batch_size // count
        per_rank = count // world.size
        self.own = range(world.rank * per_rank, (world.rank + 1) * per_rank)
        statistics = [s for norm in self.norms for s in (norm.running_mean, norm.running_var)]
        gradients = [f.grad.shape for f in flats] or [p.shape for p in parameters]
        self.shapes = gradients + [s.shape for s in statistics]
        world.agree("the shapes of their networks", self.shapes)

    def __call__(self, images: Array, labels: Array, run: Pass) -> Array:
        """Run the own shards of a batch; leaves the mean gradient and moves the statistics.

        `run` makes the gradients of a shard, and adds what it counts to a row (2,). Returns the
        rows of all shards, in order.
        """
        tree, rows = Tree(), self.zeros((len(self.own), 2), np.float64)
        for place, shard in enumerate(self.own):
            part = slice(shard * self.images, (shard + 1) * self.images)
            vector = self.empty_vector()
            with self.alone(shard, self.views(vector)):
                run(images[part], labels[part], rows[place])
            self.take_gradients(self.views(vector))
            tree.add(vector)
        self.count_batches()
        mean = self.world.sum(tree.root())
        mean /= self.count  # exact, for it is a power of two
        self.hand_over(self.views(mean))
        return self.world.gather(rows)

    # -- the vector ------------------------------------------------------------------------

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Zeros where the network computes."""
        zeros: Array = namespace(self.parameters[0].data).zeros(shape, dtype)
        return zeros

    def empty_vector(self) -> Array:
        """Zeros for everything that travels."""
        size = sum(int(np.prod(shape)) for shape in self.shapes)
        return self.zeros((size,), self.parameters[0].dtype)

    def views(self, vector: Array) -> list[Array]:
        """The parts of a vector, each in its shape: gradients, then means and variances."""
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        parts = zip(itertools.accumulate(sizes), sizes, self.shapes, strict=True)
        return [vector[end - size : end].reshape(shape) for end, size, shape in parts]

    def gradients(self) -> list[Array | None]:
        """What a backward has left: one array of each flat, or one of each parameter."""
        return [f.grad for f in self.flats] or [p.grad for p in self.parameters]

    def take_gradients(self, views: list[Array]) -> None:
        """Put the gradients of a shard into its vector."""
        for gradient, view in zip(self.gradients(), views, strict=False):
            if gradient is not None:
                view[...] = gradient

    def hand_over(self, views: list[Array]) -> None:
        """Make the mean the parameters' gradients, and let the running statistics follow."""
        for flat, view in zip(self.flats, views, strict=False):
            flat.grad[...] = view
        for parameter, view in zip([] if self.flats else self.parameters, views, strict=False):
            if parameter.grad is not None:
                parameter.grad = view
        for norm, mean, var in self.statistics(views):
            if norm.training:
                follow(norm, mean, var)

    def statistics(self, views: list[Array]) -> Iterator[tuple[BatchNorm2d, Array, Array]]:
        """Each batch norm with its parts of a vector."""
        rest = iter(views[len(views) - 2 * len(self.norms) :])
        return zip(self.norms, rest, rest, strict=True)

    # -- what a shard moves beside gradients -----------------------------------------------

    @contextmanager
    def alone(self, shard: int, views: list[Array]) -> Iterator[None]:
        """Within, batch norm leaves this shard's statistics in the vector, and moves nothing else.

        With a momentum of 1, what was zero becomes the batch's own. Dropout counts on from the
        shards before, on whichever rank.
        """
        before: list[tuple[BatchNorm2d, Any, Any, float]] = []
        for norm, mean, var in self.statistics(views):
            if norm.training:
                before.append((norm, norm.running_mean, norm.running_var, norm.momentum))
                norm.running_mean, norm.running_var, norm.momentum = mean, var, 1.0
        counts = [dropout.batches.copy() for dropout in self.dropouts]
        for dropout in self.dropouts:
            dropout.batches += shard
        try:
            yield
        finally:
            for norm, *state in before:
                norm.running_mean, norm.running_var, norm.momentum = state
            for dropout, count in zip(self.dropouts, counts, strict=True):
                dropout.batches[...] = count

    def count_batches(self) -> None:
        """Count every shard's batch, for the masks of the next step."""
        for dropout in self.dropouts:
            dropout.batches += self.count * dropout.training


def follow(norm: BatchNorm2d, mean: Array, var: Array) -> None:
    """Move running statistics towards these, whose variance is unbiased; a GPU does it at once."""
    running = norm.running_mean, norm.running_var
    if norm.device == "cuda":
        kernels.update_running_statistics(*running, mean, var, momentum=norm.momentum, count=MANY)
        return
    keep = 1 - norm.momentum
    norm.running_mean[...] = keep * norm.running_mean + norm.momentum * mean
    norm.running_var[...] = keep * norm.running_var + norm.momentum * var


def is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def refuse_what_does_not_fit(shards: int, batch_size: int, ranks: int = 1) -> None:
    """Shards are cut from batches, and ranks take as many shards each."""
    if not is_power_of_two(shards):
        raise ValueError(f"shards must be a power of two (1, 2, 4, ...), but is {shards}")
    if batch_size % shards or batch_size // shards < 2:
        raise ValueError(
            f"{shards} shards don't divide a batch of {batch_size} images into parts of 2 or more: "
            "take fewer shards, or another batch_size"
        )
    if shards % ranks:
        raise ValueError(
            f"{shards} shards can't be computed by {ranks} ranks alike: start 1, 2, 4, ... ranks, "
            f"at most {shards}"
        )


def largest_group(shards: int, ranks: int) -> int:
    """How many ranks share a run: a power of two, no more than there are shards."""
    size = 1
    while 2 * size <= min(shards, ranks):
        size *= 2
    return size
