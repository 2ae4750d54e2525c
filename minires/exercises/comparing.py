"""Is an output right, and if not, where is it wrong?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .student import Problem, fresh, last_own_line, last_return
from .task import Array, Axes, Case, Task

TOLERANCE = 1e-6  # relative to the output's root mean square
ABSOLUTE = 1e-9  # the rounding of differences, where the right answer is zero


def problem_with(
    got: Any, right: Any, name: str, task: Task, case: Case, function: Callable[..., Any]
) -> Problem | None:
    """What is wrong with one output of one call, or None."""
    if isinstance(right, str):
        return None if is_word(got, right) else other_word(got, right, name, case)
    sentence = wrong_kind(got, right, name, task)
    if sentence:
        return Problem("shape", sentence, *last_return(function), case=str(case))
    got, right = np.asarray(got), np.asarray(right)
    if not np.isfinite(got).all():
        return not_finite(got, name, task, case, function)
    if close(got, right):
        return None
    return wrong_values(got, right, name, task.outputs[name], case)


def is_word(got: Any, right: str) -> bool:
    """Whether it is this word; an array of words is none."""
    return isinstance(got, str) and got == right


def is_numeric(got: Any) -> bool:
    """Whether it is an array of numbers, or a number, with which one can calculate."""
    numbers = isinstance(got, np.ndarray | np.generic | float | int)
    return numbers and np.asarray(got).dtype.kind in "fiub"


def wrong_kind(got: Any, right: Any, name: str, task: Task) -> str:
    """What is wrong with an output before a single number is looked at, or nothing."""
    wanted = np.shape(right)
    if got is None:
        return f"{name} is None: {task.function} should return an array of shape {wanted}"
    if not isinstance(got, np.ndarray | np.generic | float | int):
        return f"{name} should be a NumPy array, but is a {type(got).__name__}"
    if not is_numeric(got):
        return f"{name} holds {np.asarray(got).dtype}, but should hold float64, as the inputs do"
    if np.shape(got) != wanted:
        return (
            f"{name} has shape {np.shape(got)}, but should have {wanted}{shape_advice(got, right)}"
        )
    dtype = np.asarray(got).dtype
    if isinstance(got, np.ndarray) and dtype != np.float64:
        return f"{name} holds {dtype}, but should hold float64, as the inputs do"
    return ""


def shape_advice(got: Any, right: Any) -> str:
    """A word on why the shape is another one, where that can be seen."""
    got, right = np.asarray(got), np.asarray(right)
    if got.shape == right.T.shape and close(got.T, right):
        return ": the numbers are right, but transposed"
    if got.size == right.size and close(got.reshape(right.shape), right):
        return ": the numbers are right, a reshape is missing"
    if got.ndim > right.ndim and got.shape[got.ndim - right.ndim :] == right.shape:
        return ": a sum over the first axes is missing" if right.ndim else ": a sum is missing"
    return ""


def close(got: Any, right: Any) -> bool:
    """Whether two arrays agree to the digits that differences have."""
    got, right = np.asarray(got), np.asarray(right)
    if got.shape != right.shape or got.dtype.kind not in "fiub":
        return False
    return not wrong_elements(got, right).any()


def wrong_elements(got: Array, right: Array) -> Array:
    """Which elements differ by more than is tolerated; NaN always does."""
    size = np.sqrt(np.mean(right**2)) if right.size else 0.0
    return ~(np.abs(got - right) <= TOLERANCE * (size + np.abs(right)) + ABSOLUTE)


def wrong_values(got: Array, right: Array, name: str, axes: Axes, case: Case) -> Problem:
    """The worst element, and what the wrong ones have in common."""
    wrong = wrong_elements(got, right)
    place = tuple(map(int, np.unravel_index(np.argmax(np.abs(got - right) * wrong), got.shape)))
    total = f"{wrong.sum()} of its {wrong.size} elements are wrong" if got.ndim else ""
    return Problem(
        "wrong values",
        f"{name} is wrong",
        case=str(case),
        place=place_in_words(place, axes),
        expected=float(right[place]),
        got=float(got[place]),
        shape=got.shape,
        where=total + pattern(wrong, axes),
    )


def place_in_words(place: tuple[int, ...], axes: Axes) -> str:
    """An index with its axes named: "image 0, row 3, channel 1"."""
    names = axes if len(axes) == len(place) else tuple(f"axis {i}:" for i in range(len(place)))
    return ", ".join(f"{name} {i}" for name, i in zip(names, place, strict=True))


def pattern(wrong: Array, axes: Axes) -> str:
    """What all wrong elements share: at most half of the places along an axis."""
    found = []
    for axis, name in enumerate(axes if len(axes) == wrong.ndim else ()):
        others = tuple(i for i in range(wrong.ndim) if i != axis)
        places = np.flatnonzero(wrong.any(others))
        if 2 * len(places) <= wrong.shape[axis] and not wrong.all():
            which = "s" * (len(places) > 1)
            last = " (the last)" if list(places) == [wrong.shape[axis] - 1] else ""
            found.append(f"{name}{which} {', '.join(map(str, places))}{last}")
    return f", all in {' and '.join(found)}" if found else ""


def not_finite(
    got: Array, name: str, task: Task, case: Case, function: Callable[..., Any]
) -> Problem:
    """The complaint about NaN or infinity, with the line where it first appears if that shows."""
    place = tuple(map(int, np.argwhere(~np.isfinite(got))[0]))
    where = f" at {place_in_words(place, task.outputs[name])}" if got.ndim else ""
    line, source = last_return(function)
    try:
        with np.errstate(divide="raise", over="raise", invalid="raise"):
            function(*fresh(case).values())
    except FloatingPointError as error:
        line, source, _ = last_own_line(error, Path(function.__code__.co_filename))
    except (Exception, SystemExit):  # it did not stop before, so let the NaN be the complaint
        pass
    sentence = f"{name} is {got[place]}{where}: something overflows, or is divided by zero"
    return Problem("not finite", sentence, line, source, case=str(case), shape=got.shape)


def other_word(got: Any, right: str, name: str, case: Case) -> Problem:
    """The complaint about an answer in words."""
    return Problem(
        "wrong values", f"{name} is wrong", case=str(case), expected=repr(right), got=repr(got)
    )
