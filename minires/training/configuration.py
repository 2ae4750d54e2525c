"""What a run is: network, data, recipe and seed, and what they were made with."""

from __future__ import annotations

import hashlib
import re
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.json_files import read_json, write_json
from ..environment import environment
from ..kernels import precision

if TYPE_CHECKING:
    from .recipes import Recipe
    from .trainer import Trainer


def identity(trainer: Trainer) -> dict[str, Any]:
    """What a run must share with the checkpoint from which it goes on."""
    dataset, recipe = trainer.dataset, trainer.recipe
    return {
        "network": trainer.name,
        "parameters": sum(p.data.size for p in trainer.model.parameters()),
        "data": dataset.name,
        "training_images": len(dataset.train_images),
        "test_images": len(dataset.test_labels[: recipe.test_images]),
        "seed": trainer.batches.seed,
        "recipe": recipe.settings() | {"schedule": schedule_text(recipe)},
    }


def schedule_text(recipe: Recipe) -> str:
    """A schedule as others can compare it; one without a text of its own by its values.

    A function's `repr` holds its place in memory, which is another in each process.
    """
    text = repr(recipe.schedule)
    if not re.search(r" at 0x[0-9a-fA-F]+", text):
        return text
    rates = np.array([recipe.schedule(step) for step in range(recipe.iterations)], np.float64)
    digest = hashlib.sha256(rates.tobytes()).hexdigest()[:16]
    return f"a function from {rates[0]:g} to {rates[-1]:g}, sha256 of all values {digest}"


def write_configuration(trainer: Trainer) -> None:
    """The file `config.json` of a new run."""
    about = {
        "classes": len(trainer.dataset.classes),
        "begun": time.strftime("%Y-%m-%d %H:%M %Z"),
        "device": trainer.model.device,
        "precision": precision.current(),
        "made with": environment() | trainer.world.about(),
    }
    write_json(trainer.folder / "config.json", trainer.identity | about)


def update_configuration(trainer: Trainer) -> None:
    """Write the recipe anew: the run goes on by another."""
    path = trainer.folder / "config.json"
    write_json(path, read_json(path) | trainer.identity)
