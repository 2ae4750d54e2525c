"""The process that the student's code runs in: `python -m minires.exercises.worker`.

It may hang, crash or be killed; `sandbox` starts it, waits, and says what became of it. If time
runs out, Python's faulthandler writes where the code was and ends the process, whatever it does.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from .grading import grade
from .race import race
from .tasks import exercise

MEMORY = 4 * 2**30  # bytes: a list that grows without end must not take the machine down
RESULT, TRACEBACK = "result.json", "traceback.txt"


def main(job: str, name: str, path: Path, folder: Path, seconds: float) -> None:
    """Grade or race one file; leaves RESULT in `folder`."""
    limit_memory()
    with (folder / TRACEBACK).open("w") as dump:
        faulthandler.enable(dump)
        clock = Clock(seconds, dump)
        outcome: Any
        if job == "race":
            with clock():
                outcome = race(exercise(name), path)
        else:
            outcome = grade(exercise(name), path, watch=clock)
    text = json.dumps(asdict(outcome) if outcome else None)
    (folder / RESULT).write_text(text, encoding="utf-8")
    os._exit(0)  # a thread that the student's code has left running would be waited for


class Clock:
    """Ends the process when the code inside of `with clock():` has used up its seconds."""

    def __init__(self, seconds: float, dump: TextIO) -> None:
        self.left, self.dump = seconds, dump

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Count what happens inside."""
        start = time.perf_counter()
        faulthandler.dump_traceback_later(max(self.left, 0.01), exit=True, file=self.dump)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            self.left -= time.perf_counter() - start


def limit_memory() -> None:
    """Make allocations beyond MEMORY fail, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or hard > MEMORY:
        with contextlib.suppress(OSError, ValueError):  # not every system has this limit
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, hard))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), float(sys.argv[5]))
