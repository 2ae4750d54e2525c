"""Pickles, read without running anything.

A pickle is a program for a small stack machine, and in the ordinary reader that program may call
any function that it can name. Here the machine is our own: it knows the instructions that build
numbers, text, tuples, lists and dicts. What else a file may name is the business of those who
derive from it, and is of our own making too: nothing that the file names is imported or called.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any, ClassVar

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


class Machine:
    """The stack, the marks in it and the memo, and a method for each instruction.

    `writer` is who writes such files, `known` what a file may name there, and what stands for it;
    `pushed` are the instructions that only push a value.
    """

    writer: ClassVar[str]
    known: ClassVar[Mapping[str, Any]]
    pushed: ClassVar[Mapping[str, Callable[[Any], Any]]] = PUSHED

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def load(self, file: IO[bytes]) -> Any:
        """The object that the pickle in `file` describes; stops behind it.

        Raises: ValueError if anything is wrong with it.
        """
        try:
            return self.run(file)
        except ValueError:
            raise
        except Exception as error:  # a damaged pickle can raise nearly anything
            raise ValueError(f"it is damaged ({type(error).__name__}: {error})") from error

    def run(self, file: IO[bytes]) -> Any:
        for instruction, argument, _ in pickletools.genops(file):
            self.follow(instruction.name, argument)
        return self.stack.pop()

    def follow(self, name: str, argument: Any) -> None:
        if name in self.pushed:
            self.stack.append(self.pushed[name](argument))
        elif name in STEPS:
            STEPS[name](self, argument)
        elif name not in IGNORED:
            raise ValueError(f"it holds the instruction {name}, which {self.writer} never writes")

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
        if name not in self.known:
            raise ValueError(f"it asks for {name.replace(' ', '.')}, which is refused")
        self.stack.append(self.known[name])

    def name_on_stack(self, _: None) -> None:
        """The same with module and name on the stack."""
        name, module = self.stack.pop(), self.stack.pop()
        if not type(name) is type(module) is str:  # as text, nested tuples could be without end
            raise ValueError("it asks for something whose name is no text")
        self.name(f"{module} {name}")

    def put(self, key: int) -> None:
        """Remember the top under a number."""
        self.memo[key] = self.stack[-1]

    def put_next(self, _: None) -> None:
        """Remember the top under the next number."""
        self.memo[len(self.memo)] = self.stack[-1]

    def get(self, key: int) -> None:
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
        called = [known for known in self.known.values() if callable(known)]
        if function not in called or type(arguments) is not tuple:
            raise ValueError("it calls something that is no function")
        self.stack.append(function(*arguments))

    def build(self, _: None) -> None:
        state = self.stack.pop()
        self.set_state(self.stack[-1], state)

    def set_state(self, target: Any, state: Any) -> None:
        """Fill in an object of our own making."""
        raise ValueError("it sets attributes, which nothing in it has")

    def append(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise ValueError("it appends to something that is no list")
        self.stack[-1] += items

    def set_items(self, items: list[Any]) -> None:
        """Add to a dict; names are text or numbers: what holds others may take ages to hash."""
        target, keys = self.stack[-1], items[::2]
        if type(target) is not dict or not all(type(key) in (str, bytes, int) for key in keys):
            raise ValueError(f"it fills a dict in a way that {self.writer} does not")
        target.update(zip(keys, items[1::2], strict=True))

    def dict_since_mark(self, _: None) -> None:
        """What was pushed since the mark, as a dict."""
        items = self.since_mark()
        self.stack.append({})
        self.set_items(items)

    def persistent(self, _: None) -> None:
        """Something that is kept outside the pickle."""
        self.stack.append(self.kept_outside(self.stack.pop()))

    def kept_outside(self, note: Any) -> Any:
        """What the pickle refers to by this note."""
        raise ValueError("it refers to something outside, where nothing is")


STEPS: dict[str, Callable[[Machine, Any], None]] = {
    "MARK": Machine.mark,
    "GLOBAL": Machine.name,
    "STACK_GLOBAL": Machine.name_on_stack,
    "PUT": Machine.put,
    "BINPUT": Machine.put,
    "LONG_BINPUT": Machine.put,
    "MEMOIZE": Machine.put_next,
    "GET": Machine.get,
    "BINGET": Machine.get,
    "LONG_BINGET": Machine.get,
    "DICT": Machine.dict_since_mark,
    "LIST": lambda machine, _: machine.stack.append(machine.since_mark()),
    "TUPLE": Machine.tuple_since_mark,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "REDUCE": Machine.reduce,
    "NEWOBJ": Machine.reduce,
    "BUILD": Machine.build,
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "BINPERSID": Machine.persistent,
}
