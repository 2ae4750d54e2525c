"""When training breaks down: which layer is the first at fault?"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np

from ..autograd import Tensor, no_grad
from ..nn import Module
from ..nn.module import Hook


class DivergedError(ArithmeticError):
    """The loss or a gradient is NaN or infinite; the text names the first layer at fault."""


def first_fault(model: Module, images: np.ndarray) -> str:
    """Where NaN or infinity first appears when the network runs on these images."""
    for name, parameter in model.named_parameters():
        if not np.isfinite(parameter.data).all():
            return f"the parameter {name}"
    if not np.isfinite(images).all():
        return "the input images"
    faults: list[str] = []
    with ExitStack() as hooks, no_grad():
        for name, module in model.named_modules():
            if not list(module.named_children()):
                hooks.enter_context(module.register_forward_hook(fault_recorder(name, faults)))
        with np.errstate(all="ignore"):
            model(Tensor(images))
    return f"the output of layer {faults[0]}" if faults else "the loss"


def fault_recorder(name: str, faults: list[str]) -> Hook:
    """A hook that notes a layer whose output is not finite."""

    def record(module: Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        if not np.isfinite(output.data).all():
            faults.append(f"{name} ({type(module).__name__})")

    return record


def first_faulty_gradient(model: Module) -> str:
    """The last layer in the network whose gradient is not finite: backward reaches it first."""
    for name, parameter in reversed(list(model.named_parameters())):
        if parameter.grad is not None and not np.isfinite(parameter.grad).all():
            return f"the gradient of {name}"
    return "the gradient norm"
