"""Grading: run the student's functions on every case, compare, diagnose."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..common.expecting import SEED, expects
from .comparing import is_numeric, problem_with
from .diagnosing import Answer, diagnose
from .student import Printed, Problem, Trouble, call, fresh, function_of, load
from .task import Case, Exercise, Task
from .tasks import NAMES, exercise

Watch = Callable[[], contextlib.AbstractContextManager[Any]]


@dataclass(frozen=True)
class Part:
    """One output of one function: right, or with a problem.

    `cases` says how many calls were tried, `wrong_cases` in how many the output was wrong; `told`
    holds what there is to tell about each call once the output is right.
    """

    function: str
    output: str
    cases: int = 0
    wrong_cases: int = 0
    problem: Problem | None = None
    told: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        return self.problem is None

    @property
    def name(self) -> str:
        return f"{self.function}: {self.output}"


@dataclass(frozen=True)
class Grade:
    """All parts of one exercise, and what the student's code printed meanwhile."""

    exercise: str
    parts: tuple[Part, ...]
    printed: str = ""

    @property
    def right(self) -> bool:
        return all(part.right for part in self.parts)

    @property
    def status(self) -> str:
        """The exercise in a word or two: "right", or the kind of its first problem."""
        kinds = [part.problem.kind for part in self.parts if part.problem]
        return kinds[0] if kinds else "right"


def grade(
    given: Exercise, path: Path, *, seed: int = 0, watch: Watch = contextlib.nullcontext
) -> Grade:
    """Check the student's file; `seed` draws the numbers.

    The result is always a Grade, unless the student's code ends the process or never returns:
    see `sandbox` for that. `watch()` is open while the student's code runs, and only then.
    """
    prepared = [prepare(task, seed) for task in given.tasks]
    printed = Printed()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            with watch():
                module = load(path)
        except Trouble as stopped:
            parts = [p for t in given.tasks for p in failed(t, stopped.problem)]
        else:
            parts = []
            for task, cases in zip(given.tasks, prepared, strict=True):
                parts += grade_task(task, cases, module, path, watch)
    return Grade(given.name, tuple(parts), printed.text)


@functools.lru_cache(maxsize=64)
def prepare(task: Task, seed: int) -> list[tuple[Case, dict[str, Any]]]:
    """The cases with their right answers."""
    cases = task.cases(np.random.default_rng(seed))
    return [(case, task.answers(case)) for case in cases]


@expects(function=str, number=int, seed=SEED)
def example(function: str, number: int, *, seed: int = 0) -> tuple[Any, ...]:
    """The arguments of a call that the check makes, counted from 1: to try things out yourself.

    Raises: ValueError if there is no such function or call.
    """
    tasks = [task for name in NAMES for task in exercise(name).tasks if task.function == function]
    if not tasks:
        raise ValueError(f"no exercise asks for a function {function!r}")
    cases = list(tasks[0].cases(np.random.default_rng(seed)))
    if not 1 <= number <= len(cases):
        raise ValueError(
            f"{function} is called {len(cases)} times: number must be 1 to {len(cases)}"
        )
    return tuple(fresh(cases[number - 1]).values())


def failed(task: Task, problem: Problem) -> list[Part]:
    """Every output of a task that could not be run."""
    return [Part(task.function, output, problem=problem) for output in task.outputs]


def grade_task(
    task: Task, cases: list[tuple[Case, dict[str, Any]]], module: Any, path: Path, watch: Watch
) -> list[Part]:
    """One part for each output of a function."""
    results: list[tuple[Any, ...]] = []
    try:
        function = function_of(module, task, cases[0][0], path)
        for case, _ in cases:
            with watch():
                results.append(call(function, task, case, path))
    except Trouble as stopped:
        return failed(task, numbered(stopped.problem, len(results)))
    return [
        grade_output(task, output, position, cases, results, function)
        for position, output in enumerate(task.outputs)
    ]


def numbered(problem: Problem, went_well: int) -> Problem:
    """A problem with its call's number; it says if other calls went through before."""
    problem = replace(problem, number=went_well + 1)
    if not went_well or problem.kind != "error":
        return problem
    calls = "the call before it" if went_well == 1 else f"the {went_well} calls before it"
    return replace(problem, where=f"{calls} went through, with other shapes")


def grade_output(
    task: Task,
    output: str,
    position: int,
    cases: list[tuple[Case, dict[str, Any]]],
    results: list[tuple[Any, ...]],
    function: Callable[..., Any],
) -> Part:
    """Compare one output over all cases; the first problem is told, and explained from all."""
    answers = [
        Answer(case, result[position], right[output])
        for (case, right), result in zip(cases, results, strict=True)
    ]
    problems = [problem_with(a.got, a.right, output, task, a.case, function) for a in answers]
    found = [replace(p, number=number) for number, p in enumerate(problems, 1) if p]
    part = Part(task.function, output, len(cases), len(found))
    if not found:
        return replace(part, told=tuple(str(case) for case, _ in cases if task.tell))
    if not all(can_be_compared(a) for a in answers):
        return replace(part, problem=found[0])
    mistake, diagnosis = diagnose(task, output, answers)
    return replace(part, problem=replace(found[0], mistake=mistake, diagnosis=diagnosis))


def can_be_compared(answer: Answer) -> bool:
    """Whether an answer is a word where a word is right, else of numbers."""
    return isinstance(answer.got, str) if isinstance(answer.right, str) else is_numeric(answer.got)
