"""What an exercise is made of: functions to write, cases to try them on, mistakes to recognise.

An exercise is described by a file in `tasks/` (this vocabulary) and one in `solutions/` (what the
student gets, with the answer fenced in).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray
Axes = tuple[str, ...]
Mistake = Callable[..., Any]  # a wrong program; its docstring is what the student is told

IMAGE: Axes = ("image", "row", "column", "channel")
WEIGHT: Axes = ("kernel row", "kernel column", "input channel", "output channel")
SAMPLE: Axes = ("sample", "feature")
MATRIX: Axes = ("input feature", "output feature")
CHANNEL: Axes = ("channel",)

STEP = 1e-5  # of the differences: truncation and rounding are both near 1e-10


@dataclass(frozen=True)
class Case:
    """One call: the arguments in the order of the function's signature, and what is special."""

    arguments: dict[str, Any]
    note: str = ""

    def __str__(self) -> str:
        text = ", ".join(map(describe, self.arguments, self.arguments.values()))
        return f"{text} ({self.note})" if self.note else text


@dataclass(frozen=True, eq=False)
class Task:
    """One function that the student writes.

    Attributes:
        function: its name.
        outputs: for each array that it returns, the names of the axes.
        cases: draws the calls to try, from simple to awkward.
        expected: takes a case's arguments in order, returns the right outputs.
        mistakes: for each output wrong programs worth recognising; each takes a case's arguments
            and returns that output. A student whose numbers are the same is told the docstring.
        terms: for each output that is a sum, a function of a case's arguments that returns the
            summands by name; so "all but the term through the variance" is recognised.
        apart: whether the outputs must share no memory with each other and the inputs.
        tell: whether the cases are worth reading for those who have got them right.
    """

    function: str
    outputs: Mapping[str, Axes]
    cases: Callable[[np.random.Generator], Iterable[Case]]
    expected: Callable[..., Any]
    mistakes: Mapping[str, tuple[Mistake, ...]] = field(default_factory=dict)
    terms: Mapping[str, Callable[..., dict[str, Array]]] = field(default_factory=dict)
    apart: bool = False
    tell: bool = False

    def answers(self, case: Case) -> dict[str, Any]:
        """The right outputs of one call, by name."""
        results = self.expected(*case.arguments.values())
        results = results if isinstance(results, tuple) else (results,)
        return dict(zip(self.outputs, results, strict=True))


@dataclass(frozen=True)
class Race:
    """What the student's version is measured on, once it is right.

    `arguments` draws float32 arguments for `function`; `reference` and `engine` are the same
    computation by the engine's plain NumPy and by what training uses.
    """

    function: str
    arguments: Callable[[np.random.Generator], dict[str, Any]]
    reference: Callable[..., Any]
    engine: Callable[..., Any]


@dataclass(frozen=True)
class Exercise:
    """One exercise; `hints` are three, from a nudge to the last step before the answer."""

    name: str
    title: str
    tasks: tuple[Task, ...]
    hints: tuple[str, str, str]
    race: Race | None = None
    after: str = ""  # a thought for those who have got it right


def numeric_gradient(f: Callable[[Array], Any], x: Array, dy: Any) -> Array:
    """The gradient of sum(dy * f(x)) with respect to x, by central differences of f.

    A function of float64 arrays; good to about nine digits where f has no kink within STEP.
    """
    gradient = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        left, right = x.copy(), x.copy()
        left[place] -= STEP
        right[place] += STEP
        change = np.sum(dy * (f(right) - f(left)))
        gradient[place] = change / (right[place] - left[place])
    return gradient


def describe(name: str, value: Any) -> str:
    """An argument in a few words: "x (2, 5, 4, 3)", "stride 2"."""
    if isinstance(value, Array):
        return f"{name} {value.shape}"
    if callable(value):
        return name
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


AWKWARD_IMAGES = ((2, 5, 4, 3), (1, 3, 6, 1), (3, 4, 2, 5))  # H != W, a batch of one, odd channels
