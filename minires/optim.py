"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from . import kernels
from .autograd.function import Array
from .nn.module import Parameter, mismatches


class SGD:
    """SGD with momentum and weight decay, in PyTorch's convention.

    velocity = momentum * velocity + (gradient + weight_decay * parameter)
    parameter = parameter - lr * velocity

    As in the paper, weight decay acts on every parameter, batch norm's among them. `lr` may be
    changed between steps. A parameter without a gradient is left alone.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        *,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
    ) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError("SGD: there are no parameters to train: pass model.parameters()")
        if len(set(self.parameters)) < len(self.parameters):
            raise ValueError("SGD: a parameter is given twice, and would be moved twice a step")
        for name, value in {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}.items():
            if not value >= 0:
                raise ValueError(f"SGD: {name} must be at least 0, but is {value}")
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.velocities = [np.zeros_like(p.data) for p in self.parameters]

    def step(self) -> None:
        """Move every parameter that has a gradient, in place."""
        for parameter, velocity in zip(self.parameters, self.velocities, strict=True):
            if parameter.grad is None:
                continue
            parameter.changes_in_place()
            kernels.sgd_step(
                parameter.data,
                parameter.grad,
                velocity,
                lr=self.lr,
                momentum=self.momentum,
                weight_decay=self.weight_decay,
            )

    def zero_grad(self) -> None:
        """Forget all gradients; the next backward starts afresh."""
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, Array]:
        """Copies of the velocities, by the parameters' place in order."""
        return {f"velocity.{i}": v.copy() for i, v in enumerate(self.velocities)}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take over all velocities; ValueError if they belong to other parameters."""
        own = {f"velocity.{i}": v for i, v in enumerate(self.velocities)}
        problems = mismatches(own, state)
        if problems:
            raise ValueError("this state does not fit the SGD:\n  " + "\n  ".join(problems))
        for name, velocity in own.items():
            velocity[...] = state[name]
