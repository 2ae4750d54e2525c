"""Wrong programs, as students write them, and what the grader must say of each.

They are coded independently of the known mistakes in `minires/exercises/tasks/`: with loops,
einsum or other formulas. `None` for a mistake means that it must be refused, but need not be named.
"""

from dataclasses import dataclass
from textwrap import dedent


@dataclass(frozen=True)
class Wrong:
    """A function that takes the place of the right one, and what must be found out about it."""

    exercise: str
    code: str
    output: str
    mistake: str | None

    def __str__(self):
        return f"{self.exercise}-{self.output}-{self.mistake}"


def wrongs(exercise, *programs):
    """A table of (output, mistake, code)."""
    return [Wrong(exercise, dedent(code), output, mistake) for output, mistake, code in programs]
