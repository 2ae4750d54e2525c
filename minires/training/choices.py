"""What a recipe chooses beside batch size and schedule: optimiser, loss, mixed images, averages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.mixing import mixup
from ..kernels.devices import move
from ..nn import Module, Parameter
from ..nn.averaging import WeightAverage
from ..optim import SGD, AdamW, Groups, Optimizer

if TYPE_CHECKING:
    from .recipes import Recipe
    from .trainer import Trainer


def optimizer_of(model: Module, recipe: Recipe) -> Optimizer | Groups:
    """The optimiser that a recipe asks for, at the rate of the first iteration."""
    parameters, decay = model.parameters(), recipe.weight_decay
    if recipe.decay_norms:
        return one_optimizer(parameters, recipe, decay)
    parts = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]
    decays = zip(parts, (decay, 0.0), strict=True)
    return Groups(*(one_optimizer(part, recipe, each) for part, each in decays if part))


def one_optimizer(parameters: list[Parameter], recipe: Recipe, decay: float) -> Optimizer:
    """An optimiser for parameters that have the same weight decay."""
    rate = recipe.schedule(0)
    if recipe.optimizer == "adamw":
        return AdamW(parameters, rate, weight_decay=decay)
    settings: dict[str, Any] = {"momentum": recipe.momentum, "nesterov": recipe.nesterov}
    return SGD(parameters, rate, weight_decay=decay, **settings)


def loss_options(model: Module, recipe: Recipe) -> dict[str, Any]:
    """Settings of the training loss; weights lie where the network computes."""
    weight: Any = recipe.class_weights
    if weight is not None:
        weight = move(np.asarray(weight, model.parameters()[0].dtype), model.device)
    return {"weight": weight, "label_smoothing": recipe.label_smoothing}


def average_of(model: Module, recipe: Recipe) -> WeightAverage | None:
    """The average of the weights that a recipe evaluates; None where it evaluates the last ones."""
    return WeightAverage(model, recipe.average) if recipe.average else None


def mixed(trainer: Trainer, images: Any, labels: Any) -> tuple[Any, Any]:
    """The batch of an iteration, mixed if the recipe says so, by its seed and number."""
    if not trainer.recipe.mixup:
        return images, labels
    rng = np.random.default_rng([trainer.batches.seed, 2, trainer.step])
    classes, alpha = len(trainer.dataset.classes), trainer.recipe.mixup
    return mixup(images, labels, classes=classes, rng=rng, alpha=alpha)


def why_never_replayed(recipe: Recipe) -> str:
    """Why the host has a part in each step, or an empty string."""
    return "the recipe's mixup draws its numbers on the host" if recipe.mixup else ""
