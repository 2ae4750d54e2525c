"""What a student reads in the terminal."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .grading import Grade, Part
from .race import RaceResult
from .student import Problem
from .student_folder import number, state
from .tasks import NAMES, exercise

WIDTH = 88
FORMAT = 1  # of the JSON; see docs/exercises.md


def show_list(console: Console, folder: Path) -> None:
    """All exercises, and how far the student is."""
    table = Table(box=None, pad_edge=False, show_header=False)
    states = {name: state(folder, name) for name in NAMES}
    for name, word in states.items():
        done = Text(mark(console, True) if word == "right" else " ", style="green")
        table.add_row(done, str(number(name)), Text(name, style="bold"), exercise(name).title, word)
    right = list(states.values()).count("right")
    say(console, "Write the gradients of a residual network yourself, and have them checked.\n")
    console.print(table)
    say(console, f"\n{right} of {len(NAMES)} are right (in {folder}/).\n")
    console.print(Text.assemble(*advice(states, right)))


def advice(states: dict[str, str], right: int) -> Iterator[Any]:
    """What to type next."""
    if right == len(NAMES):
        yield "All done. You have written every gradient of a residual network."
        return
    name = next(n for n, word in states.items() if word != "right")
    yield "Next:  "
    verb = "check" if states[name] else "start"
    yield (f"minires exercises {verb} {name}", "bold")


def show_start(console: Console, name: str, path: Path) -> None:
    """Where the stub is, and what to do with it."""
    say(console, f"{heading(name)}\n")
    say(console, f"The task is in {path}. Open it, read it, write the code, then:\n")
    say(console, f"    minires exercises check {name}", "bold")
    say(console, f"    minires exercises hint {name}     if you are stuck\n", "bold")


def show_grade(console: Console, grade: Grade, path: Path) -> None:
    """Every part, right or explained."""
    say(console, f"{heading(grade.exercise)}\n", "bold")
    for problem, group in itertools.groupby(grade.parts, key=lambda part: part.problem):
        parts = list(group)
        show_parts(console, parts)
        if problem:
            show_problem(console, problem, parts[0], path)
        for line in parts[0].told:
            say(console, f"      {line}")
    if grade.printed:
        say(console, f"\nYour code printed:\n{textwrap.indent(grade.printed.rstrip(), '      ')}")
    say(console, "")


def show_problem(console: Console, problem: Problem, part: Part, path: Path) -> None:
    """The mistake in colour, if it has a name; then the facts."""
    named = wrap(problem.diagnosis)
    for i, line in enumerate(explanation(part, path)):
        say(console, f"      {line}", "yellow" if i < len(named) else "")


def show_parts(console: Console, parts: list[Part]) -> None:
    """One line for parts with the same result."""
    right = parts[0].right
    by_function = itertools.groupby(parts, key=lambda part: part.function)
    for function, group in by_function:
        outputs = ", ".join(part.output for part in group)
        line = Text(f"  {mark(console, right)} ", style="green" if right else "red")
        line.append(f"{function}: {outputs}", style="bold")
        console.print(line)


def show_next(console: Console, grade: Grade) -> None:
    """A thought and the way on, or the way to a hint."""
    if not grade.right:
        say(console, f"Stuck?  minires exercises hint {grade.exercise}\n")
        return
    wrapped = textwrap.fill(exercise(grade.exercise).after, WIDTH)
    say(console, f"Right. {wrapped}\n")
    if number(grade.exercise) < len(NAMES):
        say(console, f"Next:  minires exercises start {NAMES[number(grade.exercise)]}\n")


def show_race(console: Console, result: RaceResult | None) -> None:
    """The student's time and memory beside the engine's."""
    if result is None:
        return
    table = Table(box=None, pad_edge=False, header_style="")
    table.add_column("")
    for name in ("time", "memory at the peak"):
        table.add_column(name, justify="right")
    table.add_row("yours", milliseconds(result.yours_ms), f"{result.yours_mib:.2f} MiB")
    reference = f"{result.reference_mib:.2f} MiB"
    table.add_row("the engine in NumPy", milliseconds(result.reference_ms), reference)
    table.add_row("the engine in training", milliseconds(result.engine_ms), "")
    say(console, textwrap.fill(f"{result.what}, in float32:", WIDTH) + "\n")
    console.print(table)
    say(console, "")


def milliseconds(value: float) -> str:
    """Three digits, with a unit that suits."""
    if value < 0.1:
        return f"{1e3 * value:.3g} µs"
    return f"{value:.3g} ms" if value < 1000 else f"{value / 1e3:.3g} s"


def explanation(part: Part, path: Path) -> list[str]:
    """What is wrong with a part, in a few lines."""
    problem = part.problem
    assert problem
    lines = [problem.diagnosis, *what(problem), *which_case(part, problem)]
    if problem.line:
        lines += [f"{path}, line {problem.line}:", f"    {problem.source}"]
    return [wrapped for line in lines if line for wrapped in wrap(line)]


def what(problem: Problem) -> list[str]:
    """The complaint itself, with the numbers."""
    if problem.kind != "wrong values":
        return [f"{problem.sentence}."]
    place = f" at {problem.place}" if problem.place else ""
    numbers = f"{problem.sentence}{place}: expected {number_of(problem.expected)}"
    return [f"{numbers}, got {number_of(problem.got)}."]


def which_case(part: Part, problem: Problem) -> list[str]:
    """How much is wrong, and the call that shows it."""
    calls = f"{part.wrong_cases} of {part.cases} calls are wrong" if part.wrong_cases else ""
    lines = [end("; ".join(filter(None, [problem.where, calls])))]
    if problem.case:
        lines.append(f"Called with {problem.case}.{how_to_repeat(part, problem)}")
    return lines


def how_to_repeat(part: Part, problem: Problem) -> str:
    """How to get the arguments of that call."""
    if not problem.number or isinstance(problem.expected, str):
        return ""
    return f' minires.exercises.example("{part.function}", {problem.number}) returns these.'


def end(sentence: str) -> str:
    """With a capital letter and a full stop."""
    return f"{sentence[0].upper()}{sentence[1:]}." if sentence else ""


def wrap(line: str) -> list[str]:
    """Lines that fit; code keeps its indentation."""
    return [line] if line.startswith("    ") else textwrap.wrap(line, WIDTH)


def number_of(value: Any) -> str:
    """Six digits of a number; words as they are."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def heading(name: str) -> str:
    return f"Exercise {number(name)} of {len(NAMES)}: {exercise(name).title}"


def mark(console: Console, right: bool) -> str:
    """A tick or a cross, where the terminal can show one."""
    plain = "utf" not in console.encoding
    return ("ok" if plain else "✓") if right else ("--" if plain else "✗")


def say(console: Console, text: str, style: str = "") -> None:
    """Text as it is: no markup, no colours for numbers, no wrapping."""
    console.print(Text(text, style=style), soft_wrap=True)


def as_json(grades: list[Grade], folder: Path) -> dict[str, Any]:
    """Everything, for an autograder; docs/exercises.md describes it."""
    return {
        "format": FORMAT,
        "folder": str(folder),
        "exercises": [entry(grade) for grade in grades],
    }


def entry(grade: Grade) -> dict[str, Any]:
    right = sum(part.right for part in grade.parts)
    return {
        "name": grade.exercise,
        "right": grade.right,
        "status": grade.status,
        "score": right / len(grade.parts),
        "parts": [{"name": p.name, "right": p.right, **asdict(p)} for p in grade.parts],
        "printed": grade.printed,
    }
