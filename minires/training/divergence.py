"""A training that breaks down is stopped, and the first layer at fault is named."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ..autograd import Tensor, no_grad
from ..nn import Module
from ..nn.module import Hook
from .meters import Meter
from .norms import norm

if TYPE_CHECKING:
    from .trainer import Trainer


class DivergedError(ArithmeticError):
    """The loss or a gradient is NaN or infinite; the text names the first layer at fault."""


def check_loss(trainer: Trainer, counted: Meter, find_fault: Callable[[], str]) -> None:
    """Stop if a loss was not finite."""
    if not np.isfinite(counted.loss_sum):
        diverge(trainer, "loss", counted.loss, find_fault())


def check_gradients(trainer: Trainer) -> None:
    """Stop if a gradient is not finite; what it has made, or would make, is not saved."""
    trainer.gradient_norm = value = norm(*trainer.optimizer.gradients())
    if not np.isfinite(value):
        diverge(trainer, "gradient norm", value, first_faulty_gradient(trainer.model))


def diverge(trainer: Trainer, what: str, value: float, fault: str) -> NoReturn:
    """Stop, naming the first layer at fault; the last good checkpoint stays."""
    kept = (
        f"the last good checkpoint is {trainer.checkpoint_path}"
        if trainer.checkpoint_path.exists()
        else "no checkpoint had been written yet"
    )
    reason = f"the {what} is {value} at iteration {trainer.step}; the first fault is in {fault}"
    trainer.records.add("diverged", trainer, reason=reason)
    raise DivergedError(
        f"{trainer.name}: {reason}. Try a smaller learning rate (it is "
        f"{trainer.recipe.schedule(trainer.step):g}) or a longer warm-up; {kept}."
    )


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
