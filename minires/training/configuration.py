"""What a run is: network, data, recipe and seed, and what they were made with."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..common.json_files import write_json
from ..environment import environment
from ..kernels import precision

if TYPE_CHECKING:
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
        "recipe": recipe.settings(),
    }


def write_configuration(trainer: Trainer) -> None:
    """The file `config.json` of a new run."""
    about = {
        "classes": len(trainer.dataset.classes),
        "begun": time.strftime("%Y-%m-%d %H:%M %Z"),
        "precision": precision.current(),
        "made with": environment() | trainer.world.about(),
    }
    write_json(trainer.folder / "config.json", trainer.identity | about)
