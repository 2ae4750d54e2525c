"""Layers that a training leaves as they are: a frozen batch norm keeps its statistics, too.

With few images a batch, its statistics say nothing. So a frozen batch norm keeps those that it was
pretrained with, and its scale and shift: it is a factor of the weights in front of it, and the
weights' gradient is multiplied by it (`nn/fused.py`, `folded_gradients`). He et al. 2015, app. A.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..nn import BatchNorm2d, Module


def freeze(modules: Iterable[Module]) -> None:
    """Let no parameter of these modules be trained."""
    for module in modules:
        for parameter in module.parameters():
            parameter.requires_grad = False


def norms(model: Module) -> list[Module]:
    """All batch norms of a network."""
    return [module for module in model.modules() if isinstance(module, BatchNorm2d)]


def hold(frozen: Iterable[Module]) -> None:
    """Let batch norms use the statistics that they have, in training, too."""
    for norm in frozen:
        norm.training = False
