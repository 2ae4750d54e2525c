"""Unpickling without trust: plain values and numeric NumPy arrays, and nothing that can run."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..common.pickles import PUSHED, Machine

NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
PLAIN = (None, None, None, -1, -1, 0)  # no parts and no fields: what is left of a dtype's state
MOST_AXES = 8


def arrays_only(content: bytes) -> Any:
    """The object in a pickle of dicts, lists, tuples, numbers, text, bytes and numeric arrays.

    A pickle is a program that may call any function it can name. Here it can name three, those
    that rebuild an array, and they are ours. Arrays come out where they are values of a dict.
    Text written by Python 2 comes as bytes. Raises ValueError for a pickle that names anything
    else and for bytes that are no pickle.
    """
    try:
        found = ArrayMachine().load(io.BytesIO(content))
    except ValueError as error:
        raise ValueError(f"not a pickle of plain arrays ({error})") from error
    return {key: plain(found[key]) for key in found} if type(found) is dict else found


def plain(value: Any) -> Any:
    """A stand-in's array; anything else as it is."""
    return value.values if isinstance(value, StandInArray) else value


@dataclass(eq=False)
class StandInDtype:
    """What a pickle says of a dtype. NumPy's own would believe all of it, and crash."""

    code: str
    order: str = "|"

    def fill(self, state: Any) -> None:
        """The order of the bytes; nothing else is taken."""
        if type(state) is not tuple or len(state) != 8 or state[0] not in (3, 4):
            raise ValueError("it describes a dtype in a way that NumPy does not")
        order = as_text(state[1])
        if order not in ("|", "<", ">", "=") or state[2:] != PLAIN:
            raise ValueError("it holds an array of something else than plain numbers")
        self.order = order

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.order + self.code)


@dataclass(eq=False)
class StandInArray:
    """An array, empty until its state comes."""

    values: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))

    def fill(self, state: Any) -> None:
        """Version, shape, dtype, whether columns come first, and the numbers."""
        if type(state) is not tuple or len(state) != 5:
            raise ValueError("it describes an array in a way that NumPy does not")
        _, shape, dtype, by_columns, content = state
        if not isinstance(dtype, StandInDtype) or type(content) is not bytes:
            raise ValueError("it holds an array of something else than plain numbers")
        if not is_shape(shape) or len(content) != math.prod(shape) * dtype.dtype.itemsize:
            raise ValueError("it holds an array whose shape does not fit its numbers")
        flat = np.frombuffer(content, dtype.dtype)
        self.values = flat.reshape(shape[::-1]).T if by_columns is True else flat.reshape(shape)


def stand_in_dtype(code: Any, *_: Any) -> StandInDtype:
    """A dtype of numbers: one of `NUMBERS`."""
    code = as_text(code)
    if code not in NUMBERS:
        raise ValueError(f"it holds an array of {code[:20]!r}, not of numbers")
    return StandInDtype(code)


def from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> StandInArray:
    """An array as protocol 5 has it: its numbers first."""
    content = bytes(content) if type(content) is bytearray else content
    array = StandInArray()
    array.fill((1, shape, dtype, as_text(order) == "F", content))
    return array


def encoded(text: Any, encoding: Any = "latin1") -> bytes:
    """Bytes as protocols 0 to 2 have them: as text."""
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise ValueError("it encodes something that is no text of bytes")
    return text.encode("latin-1")


def as_text(value: Any) -> str:
    """Text that Python 2 or 3 wrote; "" for anything else."""
    value = value.decode("latin-1") if type(value) is bytes else value
    return value if type(value) is str else ""


def is_shape(shape: Any) -> bool:
    """Whether it is a tuple of a few whole numbers."""
    few = type(shape) is tuple and len(shape) <= MOST_AXES
    return few and all(type(side) is int and side >= 0 for side in shape)


class ArrayMachine(Machine):
    """Knows arrays and Python 2's strings, which may be bytes."""

    writer = "NumPy"
    known: ClassVar = {
        "numpy.core.multiarray _reconstruct": lambda *_: StandInArray(),  # NumPy 1
        "numpy._core.multiarray _reconstruct": lambda *_: StandInArray(),  # NumPy 2
        "numpy ndarray": None,  # only ever handed to _reconstruct, which needs no subtype
        "numpy dtype": stand_in_dtype,
        "numpy.core.numeric _frombuffer": from_buffer,
        "numpy._core.numeric _frombuffer": from_buffer,
        "_codecs encode": encoded,
    }
    pushed = PUSHED | {
        **dict.fromkeys(["SHORT_BINSTRING", "BINSTRING"], lambda text: text.encode("latin-1")),
        "STRING": lambda text: text.encode("latin-1"),
        **dict.fromkeys(["SHORT_BINBYTES", "BINBYTES", "BINBYTES8"], lambda content: content),
        **dict.fromkeys(["INT", "LONG", "FLOAT", "UNICODE", "BYTEARRAY8"], lambda value: value),
    }

    def set_state(self, target: Any, state: Any) -> None:
        """The state of an array or a dtype."""
        if not isinstance(target, StandInArray | StandInDtype):
            raise ValueError("it sets attributes of something that is no array")
        target.fill(state)
