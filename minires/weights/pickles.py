"""What torch.save writes, read without running anything.

A pickle is a program for a small stack machine, and in the ordinary reader that program may call
any function that it can name. Here the machine is our own: it knows the instructions that
torch.save writes, and these build numbers, text, tuples, lists, dicts and tensors. Nothing that the
file names is imported or called.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from ..autograd.function import Array

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


@dataclass(eq=False)
class Storage:
    """A run of numbers in the file; `read` gives its bytes."""

    dtype: str
    count: int
    read: Callable[[], bytes]

    @property
    def nbytes(self) -> int:
        """How many bytes it takes."""
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
        if dtype == "bfloat16":  # the upper half of a float32
            halves = np.frombuffer(content, "<u2").astype(np.uint32)
            content, dtype = (halves << 16).tobytes(), "float32"
        plain = np.dtype(dtype).newbyteorder("<")
        strides = tuple(plain.itemsize * stride for stride in self.strides)
        return np.ndarray(self.shape, plain, content, self.offset * plain.itemsize, strides)


def rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> StoredTensor:
    """A tensor, after a look at whether it lies within its storage."""
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
    return StoredTensor(storage, offset, tuple(shape), tuple(strides))


def empty_dict(*arguments: Any) -> dict[str, Any]:
    """An OrderedDict; torch.save fills it in later."""
    if arguments:
        raise ValueError("an OrderedDict with contents is not what torch.save writes")
    return {}


KNOWN: dict[str, Any] = {
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
        """As a file's."""
        self.left -= size
        if self.left < 0:
            raise ValueError(f"its list of tensors is longer than {LARGEST:,} bytes")
        return self.file.read(size)

    def readline(self) -> bytes:
        """As a file's."""
        line = self.file.readline(min(self.left, 1000) + 1)
        self.left -= len(line)
        return line


def load(file: IO[bytes], storage: Callable[[Any], Storage]) -> Any:
    """The object that a pickle in `file` describes; leaves off behind it.

    `storage` makes a Storage from what torch.save notes of it. Raises ValueError for anything else
    than tensors in dicts and lists.
    """
    try:
        return Machine(storage).run(file)
    except ValueError:
        raise
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise ValueError(f"it is damaged ({type(error).__name__}: {error})") from error


class Machine:
    """The stack, the marks in it and the memo, and a method for each instruction."""

    def __init__(self, storage: Callable[[Any], Storage]) -> None:
        self.storage = storage
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, file: IO[bytes]) -> Any:
        """Follow the instructions to the last."""
        for instruction, argument, _ in pickletools.genops(Limited(file)):  # type: ignore[arg-type]
            name = instruction.name
            if name in PUSHED:
                self.stack.append(PUSHED[name](argument))
            elif name in STEPS:
                STEPS[name](self, argument)
            elif name not in IGNORED:
                raise ValueError(f"it holds the instruction {name}, which torch.save never writes")
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        """What was pushed since the last mark."""
        start = self.marks.pop()
        items, self.stack[start:] = self.stack[start:], []
        return items

    def mark(self, _: None) -> None:
        """Remember where the stack is."""
        self.marks.append(len(self.stack))

    def name(self, name: str) -> None:
        """A global: one of ours, or none."""
        if name not in KNOWN:
            raise ValueError(f"it asks for {name.replace(' ', '.')}, which is refused")
        self.stack.append(KNOWN[name])

    def name_on_stack(self, _: None) -> None:
        """The same with module and name on the stack."""
        name, module = self.stack.pop(), self.stack.pop()
        self.name(f"{module} {name}")

    def put(self, key: int) -> None:
        """Remember the top under a number."""
        self.memo[key] = self.stack[-1]

    def put_next(self, _: None) -> None:
        """Remember the top under the next number."""
        self.memo[len(self.memo)] = self.stack[-1]

    def get(self, key: int) -> None:
        """What was remembered."""
        self.stack.append(self.memo[key])

    def tuple_since_mark(self, _: None) -> None:
        """What was pushed since the mark, as a tuple."""
        self.stack.append(tuple(self.since_mark()))

    def tuple_of(self, count: int) -> None:
        """The last `count` as a tuple."""
        items, self.stack[-count:] = self.stack[-count:], []
        self.stack.append(tuple(items))

    def reduce(self, _: None) -> None:
        """Call a function: one of ours."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if function not in CALLED or type(arguments) is not tuple:
            raise ValueError("it calls something that is no function")
        self.stack.append(function(*arguments))

    def build(self, _: None) -> None:
        """Attributes of an object: only those of a dict (names of versions), which don't matter."""
        self.stack.pop()
        if type(self.stack[-1]) is not dict:
            raise ValueError("it sets attributes of something that is no dict")

    def append(self, items: list[Any]) -> None:
        """Add to a list."""
        if type(self.stack[-1]) is not list:
            raise ValueError("it appends to something that is no list")
        self.stack[-1] += items

    def set_items(self, items: list[Any]) -> None:
        """Add to a dict; names are text or, in other parts of a file, numbers."""
        target, keys = self.stack[-1], items[::2]
        if type(target) is not dict or not all(type(key) in (str, int) for key in keys):
            raise ValueError("it fills a dict in a way that torch.save does not")
        target.update(zip(keys, items[1::2], strict=True))

    def persistent(self, _: None) -> None:
        """A storage."""
        self.stack.append(self.storage(self.stack.pop()))


CALLED = [known for known in KNOWN.values() if callable(known)]
IGNORED = ("PROTO", "FRAME", "STOP")
PUSHED: dict[str, Callable[[Any], Any]] = {
    "EMPTY_DICT": lambda _: {},
    "EMPTY_LIST": lambda _: [],
    "EMPTY_TUPLE": lambda _: (),
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    **dict.fromkeys(["BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"], lambda value: value),
    **dict.fromkeys(["BINUNICODE", "SHORT_BINUNICODE"], lambda value: value),
}
STEPS: dict[str, Callable[[Machine, Any], None]] = {
    "MARK": Machine.mark,
    "GLOBAL": Machine.name,
    "STACK_GLOBAL": Machine.name_on_stack,
    "BINPUT": Machine.put,
    "LONG_BINPUT": Machine.put,
    "MEMOIZE": Machine.put_next,
    "BINGET": Machine.get,
    "LONG_BINGET": Machine.get,
    "TUPLE": Machine.tuple_since_mark,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "REDUCE": Machine.reduce,
    "BUILD": Machine.build,
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "BINPERSID": Machine.persistent,
}
