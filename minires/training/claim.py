"""A run that is being trained is claimed: others see that it is, and keep away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

MARK = "running"  # a file that is there, and locked, as long as a process trains the run


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Within it, the folder's run belongs to this process.

    Raises: ValueError if it belongs to another one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / MARK).open("w")
    if not lock(file):
        file.close()
        raise ValueError(f"another process is training in {folder}: wait for it, or stop it")
    try:
        yield
    finally:
        file.close()
        (folder / MARK).unlink(missing_ok=True)


def is_claimed(folder: Path) -> bool:
    """Whether a process is training there; one that was killed is not."""
    try:
        with (folder / MARK).open() as file:
            return not lock(file)
    except FileNotFoundError:
        return False


def lock(file: IO[Any]) -> bool:
    """Lock a file as long as it is open, if nobody else has."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
