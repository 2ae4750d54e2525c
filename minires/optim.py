"""Stochastic gradient descent with momentum."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from . import kernels
from .autograd import Tensor
from .autograd.function import Array
from .from_pytorch import missing_from
from .kernels.devices import copy_to_host, device_of, move, namespace, shared_device
from .nn.module import Module, Parameter, mismatches


class SGD:
    """SGD with momentum and weight decay, in PyTorch's convention.

    velocity = momentum * velocity + (gradient + weight_decay * parameter)
    parameter = parameter - lr * velocity

    The defaults are the paper's, momentum 0.9 and weight decay 1e-4; PyTorch's are 0 and 0. Weight
    decay acts on every parameter, batch norm's among them. `lr` may be changed between steps. A
    parameter without a gradient is left alone.

    Raises: TypeError for what are no parameters or numbers; ValueError for none, for one that is
        given twice, for negative numbers.
    """

    _lr = 0.0

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float,
        *,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
    ) -> None:
        self.parameters = parameters_of(parameters)
        if not self.parameters:
            raise ValueError("SGD: there are no parameters to train: pass model.parameters()")
        if len(set(self.parameters)) < len(self.parameters):
            raise ValueError("SGD: a parameter is given twice, and would be moved twice a step")
        for name, value in {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}.items():
            if not isinstance(value, numbers.Real):
                raise TypeError(f"SGD: {name} must be a number, but is {value!r}")
            if not value >= 0:
                raise ValueError(f"SGD: {name} must be at least 0, but is {value}")
        self.flat = Flat(self.parameters) if self.parameters[0].device == "cuda" else None
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.velocities = (
            self.flat.views(self.flat.velocity)
            if self.flat
            else [np.zeros_like(p.data) for p in self.parameters]
        )

    @property
    def lr(self) -> float:
        """The learning rate; a step that a GPU replays follows its changes, too."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        if self.flat and value != self._lr:
            self.flat.set_rate(value)
        self._lr = value

    def step(self) -> None:
        """Move every parameter that has a gradient, in place."""
        if self.flat and self.flat.is_whole():
            for parameter in self.parameters:
                parameter.changes_in_place()
            self.move(self.flat.data, self.flat.grad, self.flat.velocity)
            return
        for parameter, velocity in zip(self.parameters, self.velocities, strict=True):
            if parameter.grad is not None:
                parameter.changes_in_place()
                self.move(parameter.data, parameter.grad, velocity)

    def move(self, parameter: Array, grad: Array, velocity: Array) -> None:
        """The step of one array."""
        kernels.sgd_step(
            parameter,
            grad,
            velocity,
            lr=self.flat.rate if self.flat else self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )

    def gradients(self) -> list[Array]:
        """All gradients; on a GPU, where they lie side by side, as one flat array."""
        if self.flat and self.flat.is_whole():
            return [self.flat.grad]
        return [p.grad for p in self.parameters if p.grad is not None]

    def zero_grad(self) -> None:
        """Forget all gradients; the next backward starts afresh."""
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, Array]:
        """Copies of the velocities, by the parameters' place in order: NumPy arrays."""
        return {f"velocity.{i}": copy_to_host(v) for i, v in enumerate(self.velocities)}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take over all velocities; ValueError if they belong to other parameters."""
        own = {f"velocity.{i}": v for i, v in enumerate(self.velocities)}
        problems = mismatches(own, state)
        if problems:
            raise ValueError("this state does not fit the SGD:\n  " + "\n  ".join(problems))
        for name, velocity in own.items():
            velocity[...] = move(state[name], device_of(velocity))


def parameters_of(given: Any) -> list[Parameter]:
    """The parameters, as a list; what is something else is named."""
    if isinstance(given, Module | Tensor):
        advice = "model.parameters()" if isinstance(given, Module) else "a list, [parameter]"
        raise TypeError(f"SGD takes parameters, but got a {type(given).__name__}: pass {advice}")
    parameters = list(given) if isinstance(given, Iterable) else [given]
    for one in parameters:
        if not isinstance(one, Tensor):
            raise TypeError(
                f"SGD takes parameters, but got {type(one).__name__} ({one!r:.60}): pass "
                "model.parameters(); groups with settings of their own are an SGD each"
            )
        if one.context is not None:
            raise TypeError(
                "SGD takes parameters, but got the result of an operation, whose gradient is not "
                "kept: pass the tensors that it was computed from"
            )
    return parameters


class Flat:
    """Parameters, gradients and velocities of a GPU side by side, for a step in one launch.

    The parameters' arrays become views into one; backward writes their gradients into another, so
    the next backward overwrites them. Each starts at a multiple of 64 values.
    """

    ALIGNMENT = 64

    def __init__(self, parameters: list[Parameter]) -> None:
        self.parameters = parameters
        shared_device("SGD", *(p.data for p in parameters))
        first, xp = parameters[0].data, namespace(parameters[0].data)
        sizes = [-(-p.data.size // self.ALIGNMENT) * self.ALIGNMENT for p in parameters]
        self.starts = [0, *itertools.accumulate(sizes)]
        self.data, self.grad, self.velocity = (
            xp.zeros(self.starts[-1], first.dtype) for _ in range(3)
        )
        self.rate = xp.zeros((), first.dtype)  # in memory, where a recorded step reads it anew
        self.data_views, self.grad_views = self.views(self.data), self.views(self.grad)
        for parameter, data, grad in zip(parameters, self.data_views, self.grad_views, strict=True):
            data[...] = parameter.data
            parameter.data, parameter.grad_buffer = data, grad

    def views(self, array: Array) -> list[Array]:
        """Each parameter's part of a flat array, in its shape."""
        return [
            array[start : start + p.data.size].reshape(p.shape)
            for start, p in zip(self.starts, self.parameters, strict=False)
        ]

    def set_rate(self, value: float) -> None:
        """Put the learning rate where the kernel reads it; nobody waits."""
        self.rate.fill(self.rate.dtype.type(value))

    def is_whole(self) -> bool:
        """Whether every parameter and every gradient is still in its place."""
        return all(
            p.data is data and p.grad is grad
            for p, data, grad in zip(self.parameters, self.data_views, self.grad_views, strict=True)
        )


__getattr__ = missing_from("minires.optim")
