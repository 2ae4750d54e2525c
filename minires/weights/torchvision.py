"""State dicts between torchvision's layout and ours; the names are the same.

| | PyTorch | minires |
|---|---|---|
| weight of a convolution | (C_out, C_in, kh, kw) | (kh, kw, C_in, C_out) |
| weight of a linear layer | (out, in) | (in, out) |
| the same behind a flattened map | in is (C, H, W) | in is (H, W, C) |
| batch norm's `num_batches_tracked` | 0-d | not kept |
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd.function import Array
from ..common.expecting import expects
from ..common.files import atomic
from ..nn import Conv2d, Dropout, Linear, Module
from .pth import write_pth
from .reading import (
    NETWORK,
    Checkpoint,
    Tensors,
    header_of,
    numbers_of,
    read_checkpoint,
    read_state,
)
from .recognise import by_title, described, recognise, refuse_other_padding, renamed

COUNTER = "num_batches_tracked"
SUFFIXES = (".safetensors", ".pth", ".pt")


@dataclass(frozen=True)
class Slot:
    """A parameter or buffer that PyTorch has too, and its layout there."""

    module: Module
    last: str  # its name within the module
    shape: tuple[int, ...]  # ours

    @property
    def axes(self) -> tuple[int, ...]:
        """PyTorch's order of our axes."""
        if self.last == "weight" and isinstance(self.module, Conv2d):
            return (3, 2, 0, 1)
        if self.last == "weight" and isinstance(self.module, Linear):
            return (1, 0)
        return tuple(range(len(self.shape)))

    @property
    def of_map(self) -> tuple[int, int, int] | None:
        """(H, W, C) if the rows of the weight are a flattened map."""
        return (
            self.module.of_map if isinstance(self.module, Linear) and len(self.shape) > 1 else None
        )

    @property
    def torch_shape(self) -> tuple[int, ...]:
        return tuple(self.shape[axis] for axis in self.axes)

    def to_torch(self, array: Array) -> Array:
        if self.of_map:
            array = array.reshape(*self.of_map, -1).transpose(2, 0, 1, 3).reshape(self.shape)
        return np.ascontiguousarray(array.transpose(self.axes))

    def from_torch(self, array: Array) -> Array:
        array = array.transpose(np.argsort(self.axes))
        if self.of_map:
            height, width, channels = self.of_map
            array = array.reshape(channels, height, width, -1).transpose(1, 2, 0, 3)
        return array.reshape(self.shape)


@expects(path=Path, model=Module)
def load_torchvision(path: Path | str, model: Module | None = None) -> Module:
    """Load a torchvision state dict, `.safetensors` or `.pth`, into a network, and return it.

    Without a `model` the architecture is recognised by the names and shapes, and a new network
    comes in evaluation mode: resnet18 to resnet152 with torchvision's strides ("v1.5"), wide
    ResNets and ResNeXts, VGG-16 and 19, GoogLeNet (taken for the published one: with
    `transform_input`), and the networks for CIFAR whose last layer is called `linear` (their
    shortcuts A pad on both sides). A given model is changed only if everything fits, and stays in
    its mode. The file may hold the state dict itself or a dict with it under "state_dict", "model",
    "net" or the like; names may all begin with "module.", "backbone." or the like: `reading.py`
    lists them. Numbers are cast to the model's dtype. Files that say how their network was made, as
    `minires train` writes them, and a Trainer's checkpoints give any network of this package.

    Raises:
        ValueError: lists what is missing, unexpected or of another shape (in PyTorch's layout), or
            says what else is wrong with the file. No file can make this run code.
        FileNotFoundError: there is no such file.
    """
    path = Path(path).expanduser()
    if (own := read_checkpoint(path)) is not None:
        return load_checkpoint_of(path, own, model)
    found = read_state(path)
    entries = renamed(found)
    if model is None:
        model = network_of({name: entry.shape for name, entry in found.items()}, path).eval()
    refuse_other_padding(model, found, path)
    slots = slots_of(model)
    if problems := misfits(slots, entries):
        kind = getattr(model, "name", type(model).__name__)
        raise ValueError(f"{path} does not fit the {kind}:\n  " + "\n  ".join(problems))
    state = model.state_dict()
    for name, slot in slots.items():
        numbers = numbers_of(name, entries[name], path)
        state[name] = slot.from_torch(numbers).astype(state[name].dtype)
    model.load_state_dict(state)
    return model


def network_of(shapes: Mapping[str, tuple[int, ...]], path: Path) -> Module:
    """The network of a file, by what it says or else by its tensors; its weights are zeros."""
    if NETWORK not in (header := header_of(path)):
        return recognise(shapes, path)
    try:
        made = json.loads(header[NETWORK])
    except ValueError:
        made = header[NETWORK]
    return described(made, shapes, path)


def load_checkpoint_of(path: Path, own: Checkpoint, model: Module | None) -> Module:
    """A network as a Trainer's checkpoint has it, made as its run says, or by the run's name."""
    if model is None:
        shapes = {name: array.shape for name, array in own.model.items()}
        model = (
            described(own.state["made_as"], shapes, path)
            if own.state.get("made_as")
            else by_title(own.state["identity"]["network"], len(own.model.get("fc.bias", ())), path)
        ).eval()
    try:
        model.load_state_dict(own.model)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return model


@expects(model=Module, path=Path)
def save_torchvision(
    model: Module, path: Path | str, *, about: Mapping[str, str] | None = None
) -> None:
    """Write a network's state dict as torchvision has it, to `.safetensors` or `.pth`.

    `about` goes into the metadata of a `.safetensors` file.

    `torchvision.models.NAME().load_state_dict(...)` takes it. Networks that torchvision does not
    have (plain ones, shortcuts A and C, pre-activation) are written in the same way. The file is
    there whole or not at all.

    Raises: ValueError for another suffix.
    """
    path = Path(path).expanduser()
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: the name must end in {', '.join(SUFFIXES)}")
    with atomic(path) as temporary:
        if path.suffix == ".safetensors":
            from safetensors.numpy import save_file

            save_file(torch_state(model), temporary, metadata={"format": "pt", **(about or {})})
        else:
            write_pth(temporary, torch_state(model))


def torch_state(model: Module) -> dict[str, Array]:
    """The state dict that PyTorch's twin of this network has, in its order."""
    state, result = model.state_dict(), {}
    for name, slot in slots_of(model).items():
        result[name] = slot.to_torch(state[name])
        if slot.last == "running_var":
            result[name.replace("running_var", COUNTER)] = np.zeros((), np.int64)
    return result


def slots_of(model: Module) -> dict[str, Slot]:
    """Everything that has a counterpart in PyTorch, by name, layer by layer."""
    slots = {}
    for prefix, module in model.named_modules():
        if not isinstance(module, Dropout):  # it counts batches, which PyTorch's does not
            for last, value in own_tensors(module):
                slots[f"{prefix}.{last}" if prefix else last] = Slot(module, last, value.shape)
    return slots


def own_tensors(module: Module) -> Iterator[tuple[str, Any]]:
    """A module's own parameters and buffers, without those of its children."""
    named = [*module.named_parameters(), *module.named_buffers()]
    return ((name, value) for name, value in named if "." not in name)


def misfits(slots: Mapping[str, Slot], entries: Mapping[str, Tensors]) -> list[str]:
    """A line for everything that is missing, unexpected or of another shape; 20 at most."""
    lines = [f"missing: {name} {slots[name].torch_shape}" for name in slots if name not in entries]
    for name, entry in entries.items():
        if name not in slots:
            lines += [] if name.endswith(COUNTER) else [f"unexpected: {name} {entry.shape}"]
        elif entry.shape != slots[name].torch_shape:
            lines.append(f"{name}: expected {slots[name].torch_shape}, but got {entry.shape}")
    return lines if len(lines) <= 20 else [*lines[:19], f"and {len(lines) - 19} more"]
