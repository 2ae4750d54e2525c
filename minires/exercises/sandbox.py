"""Grading in a process of its own, so that an endless loop or a crash costs only a sentence."""

from __future__ import annotations

import contextlib
import json
import linecache
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ..common.expecting import expects
from .grading import Grade, Part
from .race import RaceResult
from .student import Problem
from .student_folder import find
from .tasks import exercise
from .worker import RESULT, TRACEBACK

SECONDS = 20.0  # for all calls of the student's functions together
START = 180.0  # for Python, and for what the engine computes (and may compile) itself
COMPILING = 180.0  # for a race, whose first one may compile kernels
FRAME = re.compile(r'^ +File "(.+)", line (\d+) in (.+)$', re.M)


@expects(name=str, path=Path, seconds=float)
def grade_file(name: str, path: Path, *, seconds: float = SECONDS) -> Grade:
    """Grade the student's file; an endless loop or a crash becomes a sentence in the grade.

    Raises: ValueError for no exercise's name, or no time.
    """
    name = find(name)
    if seconds <= 0:
        raise ValueError(f"grade_file: seconds must be more than 0, but is {seconds:g}")
    with tempfile.TemporaryDirectory(prefix="minires-exercises-") as temporary:
        folder = Path(temporary)
        code = run_worker("grade", name, path, folder, seconds)
        result = read(folder)
        if result is not None:
            return grade_of(result)
        return lost(name, died(path, folder, code, seconds))


def race_file(name: str, path: Path) -> RaceResult | None:
    """Measure the student's file; None if that does not work: a race is not worth an error."""
    with tempfile.TemporaryDirectory(prefix="minires-exercises-") as temporary:
        folder = Path(temporary)
        run_worker("race", name, path, folder, COMPILING)
        result = read(folder)
        return RaceResult(**result) if result else None


def run_worker(job: str, name: str, path: Path, folder: Path, seconds: float) -> int | None:
    """Start the worker and wait; its exit status, or None if it had to be killed."""
    command = [sys.executable, "-m", f"{__package__}.worker", job, name, str(path), str(folder)]
    quiet = subprocess.DEVNULL
    worker = subprocess.Popen(
        [*command, str(seconds)], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )
    try:
        return worker.wait(timeout=seconds + START)
    except subprocess.TimeoutExpired:
        return None
    finally:
        end(worker)


def end(worker: subprocess.Popen[bytes]) -> None:
    """End the worker and what the student's code has started: a session of its own."""
    worker.kill()
    worker.wait()
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(worker.pid, signal.SIGKILL)


def read(folder: Path) -> dict[str, Any] | None:
    """What the worker left, if it came to its end."""
    path = folder / RESULT
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def grade_of(result: dict[str, Any]) -> Grade:
    parts = []
    for part in result["parts"]:
        problem = Problem(**part["problem"]) if part["problem"] else None
        parts.append(Part(**{**part, "problem": problem}))
    return Grade(result["exercise"], tuple(parts), result["printed"])


def lost(name: str, problem: Problem) -> Grade:
    """The grade of code that took the process with it."""
    parts = [Part(t.function, o, problem=problem) for t in exercise(name).tasks for o in t.outputs]
    return Grade(name, tuple(parts))


def died(path: Path, folder: Path, code: int | None, seconds: float) -> Problem:
    """Why there is no result: out of time, or Python itself has ended."""
    dump = folder / TRACEBACK
    text = dump.read_text(encoding="utf-8", errors="replace") if dump.exists() else ""
    line, source, function = last_place(text, path)
    if "Timeout" in text or code is None:
        sentence = (
            f"{function} had not come to an end after {seconds:g} s: is there a loop that never "
            "ends? It was at this line"
        )
        return Problem("not finished", sentence, line, source)
    how = f"signal {-code}" if code < 0 else f"exit status {code}"
    return Problem("crash", f"{path.name} ended Python itself ({how})", line, source)


def last_place(dump: str, path: Path) -> tuple[int | None, str, str]:
    """Line, its text and function where the student's code was, from faulthandler's text."""
    for filename, line, function in FRAME.findall(dump):
        if Path(filename).resolve().parent == path.parent.resolve():
            source = linecache.getline(filename, int(line)).strip()
            return int(line), source, path.name if function == "<module>" else function
    return None, "", path.name
