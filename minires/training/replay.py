"""A training step on a GPU, replayed as a CUDA graph as long as nothing about it changes.

A graph repeats launches, not Python. So before each step everything is looked at that decides what
Python would launch: modules, their attributes and hooks, arrays. Where something is new, the step
is recorded anew; where somebody must see it, it runs as it is. The bits are the same either way.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from ..autograd.function import Array, tracer
from ..cuda_graph import Agree, CudaGraph, GraphError
from ..data import Batches
from ..data.photographs import PhotographBatches
from ..kernels import precision
from ..kernels.devices import wait_for_stream
from ..kernels.recording import Recorder
from ..nn import Module
from ..nn.fusing import is_on
from ..nn.module import Parameter
from ..optim import Groups, Optimizer

Left = list[tuple[Parameter, Array | None]]  # each parameter's gradient
REGISTRIES = ("_parameters", "_buffers", "_children", "_hooks")
RESTLESS = 10  # changes one after the other, after which it is said that they never end


class Replay:
    """Does the parts of a training step: by a replay on a GPU, else by calling them.

    Within `with replay:` recordings are kept; at the end they, and their memory, are let go.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | Groups,
        batches: Batches | PhotographBatches,
        name: str,
        never: str = "",
        agree: Agree = str,
    ) -> None:
        self.model, self.optimizer, self.batches, self.name = model, optimizer, batches, name
        self.never = never  # why no step can be replayed
        self.agree = agree  # gives all ranks the reason that one has
        self.on_gpu = model.device == "cuda"
        self.graphs: dict[Callable[[], None], CudaGraph[Left]] = {}
        self.seen: list[Any] = []
        self.changes = 0
        self.reason = ""  # why it runs as it is
        self.told: set[str] = set()

    def __call__(self, part: Callable[[], None]) -> None:
        """Do a part of the step, which takes nothing, returns nothing and counts nothing."""
        if not self.on_gpu or self.has_changed() or self.reason:
            part()
            return
        try:
            left = self.graph_of(part)()
        except GraphError as error:
            self.give_up(str(error))
            part()
            return
        for parameter, grad in left:
            parameter.grad = grad

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.seen = []
        self.forget()

    def graph_of(self, part: Callable[[], None]) -> CudaGraph[Left]:
        """The part's graph. Graphs share their memory: only one of them runs at a time."""
        if part not in self.graphs:
            others = list(self.graphs.values())
            recorder = others[0].recorder if others else Recorder()
            self.graphs[part] = CudaGraph(lambda: self.left_by(part), recorder, self.agree)
        return self.graphs[part]

    def forget(self) -> None:
        """Let all recordings go, once they have run: the next may get their stream's counters."""
        if self.graphs:
            wait_for_stream()
        self.graphs = {}

    def left_by(self, part: Callable[[], None]) -> Left:
        """Run the part; returns what it leaves in Python objects."""
        part()
        return [(parameter, parameter.grad) for parameter in self.optimizer.parameters]

    def has_changed(self) -> bool:
        """Whether anything is new since the last step: then no recording is valid any more."""
        now = what_decides(self.model, self.optimizer)
        if len(now) == len(self.seen) and all(map(operator.is_, now, self.seen)):
            self.changes = 0
            return False
        self.seen = now
        self.forget()
        self.changes += 1
        self.reason = ""
        own = self.never or why_not(self.model, self.optimizer, self.batches)
        if reason := self.agree(own):
            self.give_up(reason)
        elif self.changes > RESTLESS:
            self.tell("it changes something about itself in every step")
        return True

    def give_up(self, reason: str) -> None:
        """Run as it is until something changes."""
        self.forget()
        self.reason = reason
        self.tell(reason)

    def tell(self, reason: str) -> None:
        """Warn, but of each reason only once."""
        if reason not in self.told:
            self.told.add(reason)
            warnings.warn(f"{self.name} trains without replay: {reason}", stacklevel=2)


class NoReplay(Replay):
    """For steps that are others each time: all run as they are."""

    def has_changed(self) -> bool:
        """Always, so that nothing is recorded."""
        return True


def what_decides(model: Module, optimizer: Optimizer | Groups) -> list[Any]:
    """All objects that decide what a step launches, to be compared by identity."""
    found: list[Any] = [tracer.get(), precision.current(), is_on()]
    found += optimizer.decides()
    to_visit = [model]
    while to_visit:
        attributes = vars(to_visit.pop())
        found += attributes.values()
        for registry in REGISTRIES:
            found += attributes[registry].values()
        to_visit += attributes["_children"].values()
    for parameter in optimizer.parameters:
        found += (parameter, parameter.data, parameter.grad_buffer, parameter.requires_grad)
        found += parameter.hooks
    return found


def why_not(
    model: Module, optimizer: Optimizer | Groups, batches: Batches | PhotographBatches
) -> str:
    """Why a step can't be replayed, or an empty string."""
    if not batches.is_replayable:
        return "the training images take too much of the GPU's memory to lie there"
    if tracer.get():
        return "its operations are being traced"
    for name, module in model.named_modules():
        if reason := why_not_module(module):
            return f"{name or 'the network'} ({type(module).__name__}) {reason}"
    trained = set(optimizer.parameters)
    for name, parameter in model.named_parameters():
        if parameter.hooks:
            return f"a hook watches the gradient of {name}"
        if parameter not in trained:
            return f"the optimiser does not know the parameter {name}: make a new Trainer"
    return ""


def why_not_module(module: Module) -> str:
    """Why a layer must run in Python each time, or an empty string."""
    if module.is_watched:
        return "is watched by a hook"
    values = [*vars(module).values(), *vars(module)["_buffers"].values()]
    if any(isinstance(value, np.ndarray | np.random.Generator) for value in values):
        return "has a state on the host, which each step changes"
    return ""
