"""What a planted bug is. The tables `bugs_in_*.py` hold them, each with the tests that find it.

They are bugs that a person could really make. A new test of something subtle deserves a line in
one of the tables: the bug that the test is there to find. `test_mutants.py` plants them one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

Bugs = dict[str, tuple[str, str]]  # name: (old text, new text)


@dataclass(frozen=True)
class Mutant:
    """A bug in plain words: `old`, which `file` holds once, becomes `new`; `tests` must notice.

    `tests` are paths for pytest, apart by spaces. Narrow ones that need no Hypothesis are quickest.
    """

    name: str
    file: str
    old: str
    new: str
    tests: str


def planted_in(file: str, tests: str, bugs: Bugs) -> list[Mutant]:
    """The mutants of one file that the same tests must find."""
    return [Mutant(name, file, old, new, tests) for name, (old, new) in bugs.items()]
