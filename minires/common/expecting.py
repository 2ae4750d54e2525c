"""A sentence for an argument of another kind, where it comes in."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..from_pytorch import ARGUMENTS

Kind = Any  # a class, a tuple of classes, a range of whole numbers, or Each of them
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


@dataclass(frozen=True)
class Each:
    """A list whose entries are all of one kind, and how many there may be."""

    kind: Kind
    counts: range = range(2**63)


COUNT, SEED = range(1, 2**63), range(2**63)
SOME, PAIR, TRIPLE = COUNT, range(2, 3), range(3, 4)  # entries of a list
ALSO: dict[Any, tuple[type, ...]] = {
    float: (int, float),
    range: (int,),
    Path: (str, os.PathLike),
    Sequence: (Sequence, np.ndarray),
}
WORDS: dict[Any, str] = {
    int: "a whole number",
    range: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "text",
    type(None): "None",
    Path: "a path",
    Callable: "a function",
    Iterable: "a list",
    list: "a list",
    Sequence: "a list",
    np.random.Generator: "a generator such as np.random.default_rng(0)",
    np.ndarray: "an array",
}


def must_be(kind: type, given: Any, what: str) -> None:
    """Raises: TypeError that says what was expected and what came."""
    as_kind(kind, given, what)


def as_kind(kind: Kind, given: Any, what: str) -> Any:
    """What was given, if it is of this kind: a number of NumPy's as Python's, text as a Path.

    Raises: TypeError that says what was expected and what came; ValueError beyond a range.
    """
    if isinstance(kind, Each):
        return entries(kind, given, what)
    plain = given.item() if isinstance(given, np.generic) else given
    kinds = kind if isinstance(kind, tuple) else (range if isinstance(kind, range) else kind,)
    is_flag = isinstance(plain, bool) and (int in kinds or range in kinds)
    if is_flag or not isinstance(plain, tuple(c for one in kinds for c in ALSO.get(one, (one,)))):
        words = " or ".join(WORDS.get(one) or f"a {one.__name__}" for one in kinds)
        value = f" ({given!r:.40})" if isinstance(given, int | float | str) else ""
        raise TypeError(f"{what} must be {words}, but is {type(given).__name__}{value}")
    if isinstance(kind, range) and plain not in kind:
        raise ValueError(f"{what} must be at least {kind.start}, but is {plain}")
    return Path(plain) if Path in kinds and isinstance(plain, str) else plain


def entries(each: Each, given: Any, what: str) -> Any:
    """The entries of a list as they should be; a text is no list of its letters."""
    found = list(as_kind(list if isinstance(given, str | bytes) else Iterable, given, what))
    if len(found) not in each.counts:
        least = "" if each.counts.stop == each.counts.start + 1 else "at least "
        raise ValueError(f"{what} must hold {least}{each.counts.start}, but holds {len(found)}")
    is_plain = isinstance(each.kind, type) and each.kind not in WORDS
    if not is_plain or not all(isinstance(one, each.kind) for one in found):
        found = [as_kind(each.kind, one, f"{what}: each") for one in found]
    return tuple(found) if isinstance(given, tuple) else found


def expects(**kinds: Kind) -> Callable[[Decorated], Decorated]:
    """Of a function, or of what makes a class: these arguments are of these kinds; see `as_kind`.

    A default passes as it is, so that None may stand for an argument left out.
    """

    def decorate(function: Decorated) -> Decorated:
        if isinstance(function, type):
            function.__init__ = decorate(function.__init__)  # type: ignore[misc]
            return function
        signature = inspect.signature(function)
        defaults = {argument: signature.parameters[argument].default for argument in kinds}
        is_method = function.__name__ == "__init__"

        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            name = type(arguments[0]).__name__ if is_method else function.__qualname__
            try:
                given = signature.bind(*arguments, **options)
            except TypeError as error:
                unknown = [a for a in options if a not in signature.parameters and a in ARGUMENTS]
                advice = "".join(f"; {argument}: {ARGUMENTS[argument]}" for argument in unknown)
                raise TypeError(f"{name}: {error}{advice}") from None
            for argument, kind in kinds.items():
                value = given.arguments.get(argument, defaults[argument])
                if value is not defaults[argument]:
                    given.arguments[argument] = as_kind(kind, value, f"{name}: {argument}")
            return function(*given.args, **given.kwargs)

        return call  # type: ignore[return-value]

    return decorate
