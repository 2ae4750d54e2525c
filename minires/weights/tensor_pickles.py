"""What torch.save writes, read without running anything.

This adds tensors, and the storages that they are views of, to what `minires.common.pickles` reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from ..autograd.function import Array
from ..common.pickles import PUSHED, Machine

DTYPES = {
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "BoolStorage": "bool",
}
SIZES = {name: 2 if name == "bfloat16" else np.dtype(name).itemsize for name in DTYPES.values()}
LARGEST = 4 << 20  # bytes of a pickle; those of torchvision's networks have up to 150 kB


def widened(content: bytes) -> bytes:
    """Numbers in bfloat16 as float32, of which they are the upper half."""
    return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).tobytes()


@dataclass(eq=False)
class Storage:
    """A run of numbers in the file; `read` gives its bytes."""

    dtype: str
    count: int
    read: Callable[[], bytes]

    @property
    def nbytes(self) -> int:
        return self.count * SIZES[self.dtype]


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A view of a storage; shape and strides, in elements, lie within it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def load(self) -> Array:
        """The numbers, as a view of what was read; bfloat16 becomes float32."""
        content, dtype = self.storage.read(), self.storage.dtype
        if dtype == "bfloat16":
            content, dtype = widened(content), "float32"
        plain = np.dtype(dtype).newbyteorder("<")
        strides = tuple(plain.itemsize * stride for stride in self.strides)
        return np.ndarray(self.shape, plain, content, self.offset * plain.itemsize, strides)


def rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> StoredTensor:
    """A tensor, after a look at whether it lies within its storage.

    Strides that are never taken may be anything, in PyTorch too; here they are 0.
    """
    numbers = (offset, *shape, *strides)
    whole = all(type(number) is int and number >= 0 for number in numbers)
    if not (isinstance(storage, Storage) and whole and len(shape) == len(strides) <= 8):
        raise ValueError("a tensor in it is described in a way that makes no sense")
    count = math.prod(shape)
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if count > storage.count or (count and last >= storage.count):
        raise ValueError(
            f"a tensor of shape {shape} with strides {strides} reaches beyond its "
            f"{storage.count} numbers"
        )
    used = (stride if count and n > 1 else 0 for n, stride in zip(shape, strides, strict=True))
    return StoredTensor(storage, offset, tuple(shape), tuple(used))


def empty_dict(*arguments: Any) -> dict[str, Any]:
    """An OrderedDict; torch.save fills it in later."""
    if arguments:
        raise ValueError("an OrderedDict with contents is not what torch.save writes")
    return {}


class Aside:
    """What training programs keep beside the weights, of which nothing is read."""


def aside(*_: Any) -> Aside:
    """Stands for the classes and functions of such things; nothing of theirs is called."""
    return Aside()


ASIDE = (
    *("collections Counter", "collections defaultdict", "argparse Namespace", "torch Size"),
    *("numpy ndarray", "numpy dtype", "torch device", "_codecs encode", "pathlib PosixPath"),
    *(f"{module} {name}" for module in ("builtins", "__builtin__") for name in ("list", "set")),
    *(f"torch {name}" for name in SIZES),
    *("numpy.core.multiarray scalar", "numpy._core.multiarray scalar"),
    *("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct"),
)
KNOWN: dict[str, Any] = {
    **dict.fromkeys(ASIDE, aside),
    "collections OrderedDict": empty_dict,
    "torch._utils _rebuild_tensor": rebuild_tensor,
    "torch._utils _rebuild_tensor_v2": rebuild_tensor,
    "torch._utils _rebuild_parameter": lambda tensor, *_: tensor,
    **{f"torch {name}": dtype for name, dtype in DTYPES.items()},
}


class Limited:
    """A file that refuses to give more than `LARGEST` bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.left = file, LARGEST

    def read(self, size: int) -> bytes:
        self.left -= size
        if self.left < 0:
            raise ValueError(f"its list of tensors is longer than {LARGEST:,} bytes")
        return self.file.read(size)

    def readline(self) -> bytes:
        line = self.file.readline(min(self.left, 1000) + 1)
        self.left -= len(line)
        return line


def load(file: IO[bytes], storage: Callable[[Any], Storage]) -> Any:
    """The object that a pickle in `file` describes; stops behind it.

    `storage` makes a Storage from what torch.save notes of it. Raises ValueError for anything but
    tensors in dicts and lists.
    """
    return TensorMachine(storage).load(Limited(file))  # type: ignore[arg-type]


class TensorMachine(Machine):
    """Knows tensors."""

    writer, known = "torch.save", KNOWN
    pushed = PUSHED | dict.fromkeys(["SHORT_BINBYTES", "BINBYTES"], lambda content: content)

    def __init__(self, storage: Callable[[Any], Storage]) -> None:
        super().__init__()
        self.storage = storage

    def set_state(self, target: Any, state: Any) -> None:
        """Attributes of an object: only those of a dict (names of versions), which don't matter."""
        if type(target) not in (dict, Aside):
            raise ValueError("it sets attributes of something that is no dict")

    def set_items(self, items: list[Any]) -> None:
        """Add to a dict; what is aside keeps nothing."""
        if type(self.stack[-1]) is not Aside:
            super().set_items(items)

    def kept_outside(self, note: Any) -> Storage:
        return self.storage(note)
