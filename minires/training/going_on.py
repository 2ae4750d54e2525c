"""The command that goes on with an interrupted job, as the job's folder keeps it."""

from __future__ import annotations

import shlex
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..common.files import atomic

COMMAND = "command.txt"
LEVELS = 2  # a run's folder lies so far below its job's, at most


def keep_command(folder: Path, command: str) -> None:
    """Write the command into the job's folder, as one would type it."""
    with atomic(folder / COMMAND) as temporary:
        temporary.write_text(command + "\n", encoding="utf-8")


def command_to_resume(script: str, folder: Path, device: str, precision: str) -> str:
    """The call of a script that goes on with the job in its folder, computing as it did so far.

    The folder keeps all other options; `device` and `precision` are named unless they are "auto"
    and "float32".
    """
    words = ["python", script, "--resume", str(folder)]
    words += ["--device", device] if device != "auto" else []
    words += ["--precision", precision] if precision != "float32" else []
    return shlex.join(words)


def command_for(run: Path) -> str:
    """The command that goes on with the run in this folder; "" if nobody has kept one."""
    for folder in [run, *run.resolve().parents[:LEVELS]]:
        with suppress(OSError, ValueError):  # none, or one that nobody can read
            return moved((folder / COMMAND).read_text(encoding="utf-8").strip(), folder)
    return ""


def moved(command: str, folder: Path) -> str:
    """The command, with the folder where it was found: the job may have been copied there."""
    words = shlex.split(command)
    if "--resume" not in words:
        return command
    after = words.index("--resume") + 1
    return shlex.join([*words[:after], str(folder), *words[after + 1 :]])


def refuse_changes(folder: Path, asked: Any, kept: Any, usual: Any) -> None:
    """Options given beside --resume are those that the folder keeps; `usual` ones were left out.

    Raises: ValueError that names the others.
    """
    wish, begun, default = (asdict(options) for options in (asked, kept, usual))
    others = [name for name in wish if wish[name] not in (begun[name], default[name])]
    if others:
        raise ValueError(
            f"{folder} was begun with other options ({', '.join(others)}): leave them out beside "
            "--resume, or begin a new run"
        )
