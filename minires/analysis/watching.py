"""Look into a network while it runs, and leave no trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.function import Array
from ..nn import BasicBlock, Module, keeping_modes
from ..nn import functional as F
from ..nn.module import Hook

Measure = Callable[[Array], Any]


@dataclass
class Sight:
    """One call of a module: what was measured of its output, and of that output's gradient.

    `gradient` is None until a backward pass has come by.
    """

    name: str
    output: Any
    gradient: Any = None


@contextmanager
def watching(
    model: Module,
    kind: type[Module],
    *,
    output: Measure | None = None,
    gradient: Measure | None = None,
) -> Iterator[list[Sight]]:
    """Measure every call of the modules of one kind, for the time of the block.

    Yields a list that grows by one `Sight` a call, in the order of the calls; a module that is
    called twice is there twice. `output` and `gradient` turn an array into what shall be kept of
    it, so that no map need stay in memory.
    """
    seen: list[Sight] = []
    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if isinstance(module, kind):
                hook = observer(name, seen, output, gradient)
                hooks.enter_context(module.register_forward_hook(hook))
        yield seen


def observer(
    name: str, seen: list[Sight], output: Measure | None, gradient: Measure | None
) -> Hook:
    """A hook that adds a sight of each call."""

    def observe(module: Module, inputs: tuple[Any, ...], result: Tensor) -> None:
        sight = Sight(name, output and output(result.data))
        seen.append(sight)
        if gradient is not None and result.requires_grad:
            result.register_hook(lambda grad: setattr(sight, "gradient", gradient(grad)))

    return observe


@contextmanager
def untouched(model: Module) -> Iterator[None]:
    """Mode, gradients and running statistics are put back as they were at the end of the block."""
    buffers = [(buffer, buffer.copy()) for _, buffer in model.named_buffers()]
    gradients = {parameter: parameter.grad for parameter in model.parameters()}
    model.zero_grad()
    try:
        with keeping_modes(model):
            yield
    finally:
        for buffer, value in buffers:
            buffer[...] = value
        for parameter, grad in gradients.items():
            parameter.grad = grad


@contextmanager
def replaced(model: Module, changes: Mapping[str, Module]) -> Iterator[None]:
    """Other modules in these places, such as "layer1.0", for the time of the block."""
    before = {name: module_at(model, name) for name in changes}
    replace(model, changes)
    try:
        yield
    finally:
        replace(model, before)


def replace(model: Module, changes: Mapping[str, Module]) -> None:
    """Put other modules in these places for good."""
    for name, module in changes.items():
        parent, _, last = name.rpartition(".")
        setattr(module_at(model, parent), last, module)


def module_at(model: Module, name: str) -> Module:
    """The module of that dotted name; the model itself for ""."""
    for part in filter(None, name.split(".")):
        model = getattr(model, part)
    return model


def blocks_by_name(model: Module) -> dict[str, BasicBlock]:
    """All residual (or plain) blocks by dotted name, from input to output."""
    return {name: m for name, m in model.named_modules() if isinstance(m, BasicBlock)}


def backward_pass(model: Module, images: Array, labels: Array) -> float:
    """Forward and backward: the gradients are in the parameters; returns the loss."""
    loss = F.cross_entropy(model(Tensor(images)), labels)
    loss.backward()
    return loss.item()


def rms(array: Array) -> float:
    """Size of a typical value: the root of the mean square."""
    return float(np.sqrt(np.square(array, dtype=np.float64).mean()))
