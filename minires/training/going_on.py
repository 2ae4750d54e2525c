"""The command that goes on with an interrupted job, as the job's folder keeps it."""

from __future__ import annotations

from pathlib import Path

from ..common.files import atomic

COMMAND = "command.txt"
LEVELS = 2  # a run's folder lies so far below its job's, at most


def keep_command(folder: Path, command: str) -> None:
    """Write the command into the job's folder, as one would type it."""
    with atomic(folder / COMMAND) as temporary:
        temporary.write_text(command + "\n", encoding="utf-8")


def command_for(run: Path) -> str:
    """The command that goes on with the run in this folder; "" if nobody has kept one."""
    for folder in [run, *run.resolve().parents[:LEVELS]]:
        if (folder / COMMAND).exists():
            return (folder / COMMAND).read_text(encoding="utf-8").strip()
    return ""
