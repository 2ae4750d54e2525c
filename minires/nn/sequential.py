"""Layers that run one after the other."""

from __future__ import annotations

from collections.abc import Iterator

from ..autograd import Tensor
from . import fusing
from .module import Module, must_be_module


def in_turn(x: Tensor, *layers: Module) -> Tensor:
    """Each layer's output is the next one's input: in_turn(x, f, g) is g(f(x)).

    A convolution runs as one operation with the batch norm and ReLU that follow it, unless a hook
    watches one of the layers (`fusing.joined`).
    """
    for layer in fusing.joined(*layers):
        x = layer(x)
    return x


class Sequential(Module):
    """Modules one after the other, named "0", "1", ..."""

    def __init__(self, *modules: Module) -> None:
        super().__init__()
        for number, module in enumerate(modules):
            setattr(self, str(number), must_be_module(type(self).__name__, module))

    def forward(self, x: Tensor) -> Tensor:
        return in_turn(x, *self)

    def __iter__(self) -> Iterator[Module]:
        return (module for _, module in self.named_children())

    def __len__(self) -> int:
        return len(self._children)

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]
