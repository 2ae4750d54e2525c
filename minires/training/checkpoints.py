"""Checkpoints: everything that the rest of a run depends on, in one safetensors file.

The arrays are the network's and the optimiser's; everything else is JSON in the file's header.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.files import atomic
from ..data import Dataset, Photographs, Preprocessing
from ..models import made_as
from .meters import Meter

if TYPE_CHECKING:
    from .trainer import Trainer

Arrays = dict[str, np.ndarray]
CHECKPOINT = "checkpoint.safetensors"  # in the folder of a run
METADATA_KEY = "minires"
METERS = ("since_record", "since_evaluation")
PARTS = ("model", "sgd", "average", "images")  # network, any optimiser, average, moments
CHANGEABLE = {"name", "schedule", "iterations"}  # of a recipe, if asked for
STATE = {"identity": dict, "step": int, "seconds": float, **dict.fromkeys(METERS, dict)}


def save(trainer: Trainer) -> None:
    """Write the trainer's state into its checkpoint."""
    model = {f"model.{name}": array for name, array in trainer.model.state_dict().items()}
    optimizer = {f"sgd.{name}": array for name, array in trainer.optimizer.state_dict().items()}
    state = {"identity": trainer.identity, "step": trainer.step, "seconds": trainer.seconds}
    state |= {meter: asdict(getattr(trainer.records, meter)) for meter in METERS}
    averages = trainer.average.state_dict() if trainer.average else {}
    average = {f"average.{name}": array for name, array in averages.items()}
    images, about = about_images(trainer)
    arrays = model | optimizer | average | images
    save_checkpoint(trainer.checkpoint_path, arrays, state | about)


def about_images(trainer: Trainer) -> tuple[Arrays, dict[str, Any]]:
    """What others need to use the network: how it sees images, and what its outputs mean."""
    if not isinstance(trainer.dataset, Dataset | Photographs):
        return {}, {}
    seen = Preprocessing.of(trainer.dataset)
    arrays = {"images.mean": np.asarray(seen.mean), "images.std": np.asarray(seen.std)}
    sizes = {"resize": seen.resize, "crop": seen.crop}
    classes = list(trainer.dataset.classes)
    return arrays, {"made_as": made_as(trainer.model), "classes": classes, "sizes": sizes}


def restore_arrays(trainer: Trainer, *, changed: bool = False) -> dict[str, Any]:
    """Take the arrays over from the trainer's checkpoint; returns the rest of the state.

    With `changed` the recipe may be another in what is CHANGEABLE.

    Raises: FileNotFoundError, or ValueError if the checkpoint is damaged or of another run.
    """
    path = trainer.checkpoint_path
    arrays, state = load_checkpoint(path)
    refuse_no_state(path, arrays, state)
    refuse_other_run(path, trainer.identity, state["identity"], changed=changed)
    refuse_fewer_iterations(path, state["step"], trainer.recipe.iterations)
    parts: dict[str, Arrays] = {part: {} for part in PARTS}
    for name, array in arrays.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = array
    trainer.model.load_state_dict(parts["model"])
    trainer.optimizer.load_state_dict(parts["sgd"])
    if trainer.average:
        trainer.average.load_state_dict(parts["average"])
    return state


def restore_counts(trainer: Trainer, state: dict[str, Any]) -> None:
    """Take over steps, seconds and meters."""
    trainer.step, trainer.seconds = state["step"], state["seconds"]
    for meter in METERS:
        setattr(trainer.records, meter, Meter(**state[meter]))


def refuse_no_state(path: Path, arrays: Arrays, state: dict[str, Any]) -> None:
    """A checkpoint holds what `save` writes, or it is none."""
    meter = {field.name for field in fields(Meter)}
    if (
        not all(isinstance(state.get(key), kind) for key, kind in STATE.items())
        or not all(set(state[key]) == meter for key in METERS)
        or not all(name.startswith(tuple(f"{part}." for part in PARTS)) for name in arrays)
    ):
        raise ValueError(
            f"{path} is damaged, or not a checkpoint of a minires run: delete it to start afresh"
        )


def changes_of(saved: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """What a recipe has otherwise than before: the old value and the new one, by name."""
    names = sorted(own.keys() | saved.keys())
    return {k: [saved.get(k), own.get(k)] for k in names if saved.get(k) != own.get(k)}


def refuse_fewer_iterations(path: Path, done: int, iterations: int) -> None:
    if done > iterations:
        raise ValueError(
            f"{path} has done {done} iterations, more than the recipe's {iterations}: give it more"
        )


def refuse_other_run(
    path: Path, own: dict[str, Any], saved: dict[str, Any], *, changed: bool = False
) -> None:
    """A checkpoint may only be resumed by the run that wrote it, perhaps with a changed recipe."""
    differing = [key for key in own if own[key] != saved.get(key)]
    may_be_meant = differing == ["recipe"] and is_changeable(saved.get("recipe"), own["recipe"])
    if differing and not (changed and may_be_meant):
        lines = [f"{key}: saved {saved.get(key)!r}, now {own[key]!r}" for key in differing]
        lines += ["if the change is meant: resume(changed=True)"] if may_be_meant else []
        raise ValueError(
            f"{path} belongs to another run; resume with the same options, or choose another "
            "folder:\n  " + "\n  ".join(lines)
        )


def is_changeable(saved: Any, own: dict[str, Any]) -> bool:
    """Whether a run may go on by another recipe, if that is asked for."""
    return isinstance(saved, dict) and changes_of(saved, own).keys() <= CHANGEABLE


def save_checkpoint(path: Path, arrays: Arrays, state: dict[str, Any]) -> None:
    """Write arrays, and `state` as JSON in the header, into one safetensors file."""
    from safetensors.numpy import save_file

    try:
        with atomic(path) as temporary:
            save_file(arrays, temporary, metadata={METADATA_KEY: json.dumps(state)})
    except OSError as error:
        raise OSError(f"{error}. Then go on from there: resume(), or --resume") from error


def load_checkpoint(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """Read what `save_checkpoint` wrote.

    Raises: FileNotFoundError, or ValueError for a file that is damaged or not from minires.
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint {path}: nothing to resume from")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path} is not a whole safetensors file ({error}): delete it to start afresh"
        ) from None
    return arrays, run_state(path, metadata.get(METADATA_KEY, ""))


def run_state(path: Path, text: str) -> dict[str, Any]:
    """What a checkpoint's header says about its run."""
    try:
        state = json.loads(text)
    except ValueError:
        state = None
    if not isinstance(state, dict):
        raise ValueError(f"{path} is a safetensors file, but not a checkpoint of a minires run")
    return state
