"""Networks that differ from the paper's in one thing: exchange a part, keep the rest.

Each function changes a network in place and returns it. A network is a tree of modules, and a
residual block runs whatever stands in the place of its batch norm or its shortcut.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TypeVar

import numpy as np

from ..autograd import Tensor
from ..nn import BasicBlock, BatchNorm2d, Conv2d, Identity, Module, Parameter, Sequential, Shortcut
from .watching import blocks_by_name, replace

Network = TypeVar("Network", bound=Module)


class Scaled(Module):
    """Another module's result times a constant."""

    def __init__(self, inner: Module, factor: float) -> None:
        super().__init__()
        self.inner, self.factor = inner, factor

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.factor


class SkipInit(Module):
    """x times one learned number, which starts at `alpha`: De & Smith 2020, sec. 4."""

    def __init__(self, alpha: float, *, dtype: np.typing.DTypeLike) -> None:
        super().__init__()
        self.alpha = Parameter(np.full(1, alpha, dtype))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.alpha


def stack(
    layers: int, *, shortcut: Shortcut, seed: int = 0, channels: int = 16, dtype: type = np.float32
) -> Sequential:
    """`layers` 3x3 convolutions in blocks of two and nothing else: all maps are alike."""
    rng, shortcut_rng = np.random.default_rng(seed).spawn(2)
    block = partial(BasicBlock, channels, channels, shortcut=shortcut, dtype=dtype)
    return Sequential(
        *(block(rng=rng, shortcut_rng=shortcut_rng) for _ in range(layers // 2)),
    )


def without_batch_norm(model: Network) -> Network:
    """Every batch norm becomes a bias of the convolution before it, 0 at the start."""
    for _, parent in list(model.named_modules()):
        for (_, conv), (name, norm) in pairwise(list(parent.named_children())):
            if isinstance(norm, BatchNorm2d) and isinstance(conv, Conv2d):
                conv.bias = Parameter(np.zeros_like(norm.bias.data))
                replace(parent, {name: Identity()})
    return model


def scale_weights(model: Network, factor: float) -> Network:
    """All convolutions' weights times a constant."""
    for _, module in model.named_modules():
        if isinstance(module, Conv2d):
            module.weight[...] = module.weight.data * np.asarray(factor, module.weight.dtype)
    return model


def scale_shortcuts(model: Network, factor: float) -> Network:
    """Every shortcut's result times a constant, as in He et al. 2016, sec. 3.1."""
    for block in blocks_by_name(model).values():
        assert block.downsample is not None, "a plain block has no shortcut"
        block.downsample = Scaled(block.downsample, factor)
    return model


def zero_gamma(model: Network) -> Network:
    """The last batch norm of each block starts with weight 0: every block starts as its shortcut.

    Goyal et al. 2017, sec. 5.1.
    """
    for block in blocks_by_name(model).values():
        block.bn2.weight[...] = 0
    return model


def skip_init(model: Network, alpha: float = 0.0) -> Network:
    """No batch norm, and each block's branch times one learned number that starts at `alpha`."""
    without_batch_norm(model)
    for block in blocks_by_name(model).values():
        replace(block, {"bn2": SkipInit(alpha, dtype=block.conv2.weight.dtype)})
    return model
