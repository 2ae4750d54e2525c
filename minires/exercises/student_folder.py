"""The student's folder: stubs made from the solutions, the tests beside them, and progress."""

from __future__ import annotations

import difflib
import hashlib
import re
from pathlib import Path
from typing import Any

from ..common.expecting import expects
from ..common.json_files import read_json, write_json
from .tasks import NAMES

SOLUTIONS = Path(__file__).with_name("solutions")
FOLDER = Path("exercises")  # where `start` puts stubs, below the current folder
PROGRESS = ".progress.json"
FENCE = re.compile(r"^( *)# solution\n(.*?)^ *# end\n", re.M | re.S)

TEST = '''"""The checks of `minires exercises check {name}`, for pytest: one test an output."""

from pathlib import Path

import pytest

from minires.exercises.testing import check, parts


@pytest.mark.parametrize("part", parts("{name}"))
def test_{name}(part):
    check(Path(__file__).with_name("{name}.py"), part)
'''


@expects(text=str)
def find(text: str) -> str:
    """The name of the exercise that a user means: by its name, its number or its file's path."""
    wish = Path(text).stem if text.endswith(".py") else text
    wish = wish.lower().replace("-", "_")
    if wish.isdigit() and 1 <= int(wish) <= len(NAMES):
        return NAMES[int(wish) - 1]
    if wish in NAMES:
        return wish
    near = difflib.get_close_matches(wish, NAMES, n=1) or [n for n in NAMES if wish in n]
    advice = f"did you mean {near[0]}?" if near else "`minires exercises` lists them"
    raise ValueError(f"there is no exercise {text!r}: {advice}")


def number(name: str) -> int:
    """Its place in the order, from 1."""
    return NAMES.index(name) + 1


def stub(name: str) -> str:
    """The solution's file with the fenced parts cut out."""
    text = (SOLUTIONS / f"{name}.py").read_text(encoding="utf-8")
    head = (
        f"# Exercise {number(name)} of {len(NAMES)}. Check it:  minires exercises check {name}\n"
        f"#                    Stuck?    minires exercises hint {name}\n"
    )
    return head + FENCE.sub(placeholder, text)


def placeholder(fence: re.Match[str]) -> str:
    """What a student finds in place of an answer."""
    indent, answer = fence.groups()
    lines = len([line for line in answer.splitlines() if line.strip()])
    size = "1 line" if lines == 1 else f"{lines} lines"
    return (
        f"{indent}# Your code here, in place of the next line. The engine's has {size}.\n"
        f"{indent}raise NotImplementedError\n"
    )


@expects(name=str, folder=Path)
def start(name: str, folder: Path) -> Path:
    """Put the stub and its test into a folder; nothing that is there already is touched.

    Raises: ValueError if the exercise has been started, or there is none of this name.
    """
    name = find(name)
    path = folder / f"{name}.py"
    folder.mkdir(parents=True, exist_ok=True)
    write_new(folder / f"test_{name}.py", TEST.format(name=name))
    if not write_new(path, stub(name)):
        raise ValueError(
            f"{path} is there already, and stays as it is: go on with it, or rename it to start "
            "afresh"
        )
    return path


def write_new(path: Path, text: str) -> bool:
    """Write a file unless there is one; whether it was written."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def default_folder() -> Path:
    """`exercises` below the current folder, or the current folder if that is where they are."""
    here = Path(PROGRESS).exists() or any(Path(f"test_{name}.py").exists() for name in NAMES)
    return Path() if here and not FOLDER.exists() else FOLDER


# ---------------------------------------------------------------------------- progress


def progress(folder: Path) -> dict[str, dict[str, Any]]:
    """For each exercise what is remembered: the right file's hash, hints that were shown.

    Raises: ValueError for a damaged file.
    """
    path = folder / PROGRESS
    advice = "delete this file alone; your exercises are not in it"
    known = read_json(path, advice) if path.exists() else {}
    if not isinstance(known, dict) or not all(isinstance(k, dict) for k in known.values()):
        raise ValueError(f"{path} does not hold the progress of exercises: {advice}")
    return known


def remember(folder: Path, name: str, **facts: Any) -> None:
    known = progress(folder)
    known[name] = known.get(name, {}) | facts
    write_json(folder / PROGRESS, known)


def fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def state(folder: Path, name: str) -> str:
    """Where a student stands with an exercise, in a word or two; empty if not begun."""
    path = folder / f"{name}.py"
    if not path.exists():
        return ""
    solved = progress(folder).get(name, {}).get("right")
    if solved is None:
        return "started"
    return "right" if solved == fingerprint(path) else "changed since"
