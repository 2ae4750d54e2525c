"""Run the student's file: everything that can go wrong becomes a sentence and a line number."""

from __future__ import annotations

import importlib.util
import inspect
import io
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .task import Case, Task, describe

MAX_PRINTED = 4000  # characters of the student's own output that are kept


@dataclass(frozen=True)
class Problem:
    """What is wrong, as far as is known; everything but `kind` and `sentence` may be missing.

    `case` describes the call, `number` counts it from 1, for `example`.
    """

    kind: str
    sentence: str
    line: int | None = None
    source: str = ""
    case: str = ""
    number: int = 0
    place: str = ""
    expected: Any = None
    got: Any = None
    shape: tuple[int, ...] = ()
    where: str = ""
    mistake: str = ""
    diagnosis: str = ""


class Trouble(Exception):
    """Carries a Problem out of the student's code."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.sentence)
        self.problem = problem


def load(path: Path) -> ModuleType:
    """Run the student's file; it may import its neighbours. Raises Trouble."""
    if not path.exists():
        raise Trouble(Problem("missing", f"there is no file {path}"))
    folder = str(path.parent.resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(f"student_{path.stem}", path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with trouble(path, f"{path.name} can't be loaded"):
        spec.loader.exec_module(module)
    return module


def function_of(module: ModuleType, task: Task, case: Case, path: Path) -> Callable[..., Any]:
    """The student's function, if there is one that takes the case's arguments."""
    function = getattr(module, task.function, None)
    wanted = f"{task.function}({', '.join(case.arguments)})"
    if not callable(function):
        raise Trouble(
            Problem("missing", f"{path.name} has no function {wanted}: was it renamed or removed?")
        )
    try:
        inspect.signature(function).bind(*case.arguments)
    except TypeError:
        own = f"{task.function}{inspect.signature(function)}"
        raise Trouble(
            Problem("signature", f"expected {wanted}, but yours is {own}", *first_line_of(function))
        ) from None
    return function


def call(function: Callable[..., Any], task: Task, case: Case, path: Path) -> tuple[Any, ...]:
    """What the student's function returns for copies of the arguments, one entry an output."""
    arguments = fresh(case)
    result = run(function, arguments, task, path)
    changed = [
        name for name in arguments if not is_unchanged(arguments[name], case.arguments[name])
    ]
    if changed:
        raise Trouble(in_place(function, task, case, path, changed[0]))
    results = result if isinstance(result, tuple) else (result,)
    wrong = wrong_return(result, results, task)
    if wrong:
        raise Trouble(Problem("return", wrong, *last_return(function), case=str(case)))
    if task.apart:
        check_apart(function, task, case, results, arguments)
    return results


def run(function: Callable[..., Any], arguments: dict[str, Any], task: Task, path: Path) -> Any:
    """Call, with everything that it raises turned into Trouble."""
    given = ", ".join(map(describe, arguments, arguments.values()))
    with trouble(path, f"{task.function} stopped with an error", given):
        return function(*arguments.values())


def fresh(case: Case, *, writeable: bool = True) -> dict[str, Any]:
    copies = {n: v.copy() if isinstance(v, np.ndarray) else v for n, v in case.arguments.items()}
    for value in copies.values():
        if isinstance(value, np.ndarray):
            value.setflags(write=writeable)
    return copies


def is_unchanged(after: Any, before: Any) -> bool:
    """Whether an array still holds what it held."""
    return not isinstance(before, np.ndarray) or np.array_equal(after, before, equal_nan=True)


def in_place(
    function: Callable[..., Any], task: Task, case: Case, path: Path, name: str
) -> Problem:
    """The complaint about a changed input. Read-only arrays show which line changes it."""
    line, source = first_line_of(function)
    try:
        run(function, fresh(case, writeable=False), task, path)
    except Trouble as stopped:
        if "read-only" in stopped.problem.sentence:
            line, source = stopped.problem.line, stopped.problem.source
    return Problem(
        "changed its input",
        f"{task.function} changes {name}, an array that it was given and that others still need: "
        f"work on a copy, {name}.copy(), or write a = a + b instead of a += b",
        line,
        source,
        case=str(case),
    )


def wrong_return(result: Any, results: tuple[Any, ...], task: Task) -> str:
    """What is wrong with the number of things returned, or nothing."""
    wanted = ", ".join(task.outputs)
    if result is None:
        return f"{task.function} returns None: is `return {wanted}` missing at its end?"
    if len(results) != len(task.outputs):
        came = "one value" if not isinstance(result, tuple) else f"{len(results)} values"
        return f"{task.function} should return {count(task.outputs)} ({wanted}), but returns {came}"
    return ""


def count(names: Any) -> str:
    """How many values a function returns, in words."""
    return "one value" if len(names) == 1 else f"{len(names)} values"


def check_apart(
    function: Callable[..., Any],
    task: Task,
    case: Case,
    results: tuple[Any, ...],
    arguments: dict[str, Any],
) -> None:
    """Refuse outputs that are one piece of memory under two names."""
    arrays = {n: a for n, a in arguments.items() if isinstance(a, np.ndarray)}
    for name, array in zip(task.outputs, results, strict=True):
        for other, taken in arrays.items():
            if isinstance(array, np.ndarray) and np.shares_memory(array, taken):
                raise Trouble(
                    Problem(
                        "shared memory",
                        f"{name} and {other} are the same memory under two names: adding to "
                        f"one in place changes the other too. Return a copy",
                        *last_return(function),
                        case=str(case),
                        mistake="shared_memory",
                    )
                )
        arrays[name] = array


@contextmanager
def trouble(path: Path, what: str, given: str = "") -> Iterator[None]:
    """Turn what the student's code raises into Trouble with the line it came from."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (Exception, SystemExit) as error:
        raise Trouble(problem_of(error, path, what, given)) from None


def problem_of(error: BaseException, path: Path, what: str, given: str) -> Problem:
    """An exception in words: the last line of the student's own that it passed through."""
    if isinstance(error, SyntaxError):
        return Problem(
            "syntax", f"Python can't read {path.name}: {error.msg}", error.lineno, text(error)
        )
    line, source, function = last_own_line(error, path)
    if isinstance(error, NotImplementedError):
        sentence = f"{function} is not written yet: put your code in place of this line"
        return Problem("not written", sentence, line, source)
    sentence = f"{what}: {type(error).__name__}: {error}".rstrip(": ")
    return Problem("error", sentence, line, source, case=given)


def last_own_line(error: BaseException, path: Path) -> tuple[int | None, str, str]:
    """The last line of the student's that an exception went through: number, text, function."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if is_own(frame.filename, path)]
    return (own[-1].lineno, own[-1].line or "", own[-1].name) if own else (None, "", path.stem)


def text(error: SyntaxError) -> str:
    """The line that Python can't read."""
    return (error.text or "").strip()


def is_own(filename: str, path: Path) -> bool:
    """Whether a file lies in the student's folder."""
    return Path(filename).resolve().parent == path.parent.resolve()


def first_line_of(function: Callable[..., Any]) -> tuple[int | None, str]:
    """Where a function begins: number and text."""
    lines, start = lines_of(function)
    return (start, lines[0].strip()) if lines else (None, "")


def last_return(function: Callable[..., Any]) -> tuple[int | None, str]:
    """The last line of a function that returns something, or else its first."""
    lines, start = lines_of(function)
    numbered = [(start + i, line.strip()) for i, line in enumerate(lines)]
    returns = [(number, line) for number, line in numbered if line.startswith("return ")]
    return returns[-1] if returns else first_line_of(function)


def lines_of(function: Callable[..., Any]) -> tuple[list[str], int]:
    """A function's text and the number of its first line; nothing where there is none."""
    try:
        return inspect.getsourcelines(function)
    except (OSError, TypeError):
        return [], 0


class Printed(io.TextIOBase):
    """Keeps the beginning of what the student's code prints."""

    def __init__(self) -> None:
        self.kept, self.left_out = "", 0

    @property
    def text(self) -> str:
        """What was printed, or its beginning."""
        cut = f"... and {self.left_out} more characters" if self.left_out else ""
        return self.kept + cut

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """Keep what fits."""
        room = MAX_PRINTED - len(self.kept)
        self.kept += text[:room]
        self.left_out += max(0, len(text) - room)
        return len(text)
