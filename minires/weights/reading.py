"""State dicts from the files that people have: wrapped, prefixed, of either kind.

What a file is, its first bytes say, not its name: downloads are called `w.pth?download=true`.
"""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..autograd.function import Array
from .pth import read_pth, read_range
from .tensor_pickles import StoredTensor, widened

NUMBERS = (
    *("F64", "F32", "F16", "BF16"),
    *("I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"),
)
# where training programs put the state dict, in the order in which it is looked for
WRAPPERS = ("state_dict", "model", "model_state_dict", "net", "network", "weights")
AVERAGES = ("state_dict_ema", "model_ema", "ema", "ema_state_dict")
# DataParallel's, torch.compile's, and those of networks that are an attribute of something
PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "net.", "network.")
AVERAGED = "n_averaged"  # a count that torch.optim.swa_utils keeps beside the weights
OTHERS = {  # first bytes of what is saved in place of weights
    b"version https://git-lfs": "it is a pointer of Git LFS, not the weights: run git lfs pull",
    b"<": "it is a web page: download the file itself",
}
HEAD = 64
CHECKPOINT = "minires"  # the metadata of a checkpoint
NETWORK, CLASSES, IMAGE_SIZE = "network", "classes", "image_size"  # of a network trained here


@dataclass(frozen=True)
class Lazy:
    """A tensor of a safetensors file: its shape, and how to get its numbers."""

    shape: tuple[int, ...]
    load: Callable[[], Array]


Tensors = StoredTensor | Lazy


def read_state(path: Path) -> dict[str, Tensors]:
    """The tensors of a file by name, in PyTorch's layout; their numbers are read when used.

    Raises: FileNotFoundError, or ValueError for what holds no state dict.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of weights {path}")
    refuse_others(path)
    found = read_safetensors(path) if is_safetensors(path) else state_in(read_pth(path), path)
    return without_prefixes(found)


def refuse_others(path: Path) -> None:
    """Name what is often there instead of weights."""
    with path.open("rb") as file:
        head = file.read(HEAD).lstrip()
    for start, sentence in OTHERS.items():
        if head.startswith(start) and not is_safetensors(path):
            raise ValueError(f"{path} can't be read as weights: {sentence}")


def is_safetensors(path: Path) -> bool:
    """Whether a file begins like one: the length of a JSON object, and its bracket."""
    with path.open("rb") as file:
        begins = file.read(9)[8:] == b"{"
    return begins or path.suffix == ".safetensors"


class Checkpoint(NamedTuple):
    """What a Trainer's checkpoint holds of a network: its arrays, in our layout.

    `state` is what its run was; `images` are the mean and standard deviation of its images.
    """

    model: dict[str, Array]
    images: dict[str, Array]
    state: dict[str, Any]


def read_checkpoint(path: Path) -> Checkpoint | None:
    """A checkpoint of a Trainer; None for another file."""
    from safetensors import safe_open

    if (about := header_of(path).get(CHECKPOINT)) is None:
        return None
    parts: dict[str, dict[str, Array]] = defaultdict(dict)
    with safe_open(path, framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118
            part, _, rest = name.partition(".")
            parts[part][rest] = file.get_tensor(name)
    return Checkpoint(parts["model"], parts["images"], json.loads(about))


def header_of(path: Path) -> dict[str, str]:
    """What a safetensors file says besides its tensors; {} for other files."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file() or not is_safetensors(path):
        return {}
    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except SafetensorError:  # other readers say what is wrong
        return {}


def numbers_of(name: str, entry: Tensors, path: Path) -> Array:
    """The numbers of a tensor, in PyTorch's layout."""
    try:
        return entry.load()
    except Exception as error:  # the file may be damaged in any way, or no longer there
        raise ValueError(f"{path}: the numbers of {name} can't be read: {error}") from error


def read_safetensors(path: Path) -> dict[str, Tensors]:
    """The tensors of a safetensors file."""
    from safetensors import SafetensorError, safe_open

    try:
        file = safe_open(path, framework="numpy")
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path} is not a whole safetensors file ({error}): get it again"
        ) from error
    for name, part in slices.items():
        if part.get_dtype() not in NUMBERS:
            raise ValueError(
                f"{path}: the numbers of {name} are {part.get_dtype()}, which is not supported: "
                "save them as F32"
            )
    return {
        name: Lazy(
            tuple(part.get_shape()),
            partial(bfloat16, path, name)
            if part.get_dtype() == "BF16"
            else partial(file.get_tensor, name),
        )
        for name, part in slices.items()
    }


def bfloat16(path: Path, name: str) -> Array:
    """A tensor of numbers that NumPy does not have, as float32; the file is known to be whole."""
    [length] = struct.unpack("<Q", read_range(path, 0, 8))
    entry = json.loads(read_range(path, 8, length))[name]
    start, end = entry["data_offsets"]
    content = read_range(path, 8 + length + start, end - start)
    return np.frombuffer(widened(content), "<f4").reshape(entry["shape"])


def state_in(content: Any, path: Path) -> dict[str, Tensors]:
    """The state dict in what torch.save wrote: the object itself, or the part that is one.

    What lies beside it, and what is no tensor, is left out.
    """
    while type(content) is dict and (part := wrapped(content)) is not None:
        content = part
    found = tensors_in(content)
    if not found:
        raise ValueError(f"{path} holds no state dict, that is, tensors by name")
    return found


def wrapped(content: dict[Any, Any]) -> Any:
    """The part of a training program's dict that is a network's."""
    parts = (content.get(name) for name in (*WRAPPERS, *AVERAGES))
    return next((part for part in parts if type(part) is dict and part), None)


def tensors_in(content: Any) -> dict[str, Tensors]:
    if type(content) is not dict:
        return {}
    return {str(n): value for n, value in content.items() if isinstance(value, StoredTensor)}


def without_prefixes(entries: Mapping[str, Tensors]) -> dict[str, Tensors]:
    """The entries without what all of their names begin with, as often as they do."""
    names = {name: entry for name, entry in entries.items() if name != AVERAGED}
    for prefix in PREFIXES:
        if names and all(name.startswith(prefix) for name in names):
            return without_prefixes({n.removeprefix(prefix): e for n, e in names.items()})
    return names
