"""A run that is being trained is claimed: others see that it is, and keep away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

MARK = "running"  # a file that is there, and locked, as long as a process trains the run


@contextmanager
def claimed(folder: Path, who: str = "") -> Iterator[None]:
    """Within it, the folder's run belongs to this process; `who` is kept for lists.

    Raises: ValueError if it belongs to another one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = locked(folder)
    file.write(who)
    file.flush()
    try:
        yield
    finally:
        if os.name == "nt":
            file.close()  # Windows removes no open file
        (folder / MARK).unlink(missing_ok=True)  # before another process can lock it
        file.close()


def locked(folder: Path) -> IO[str]:
    """The mark, opened and locked; again if its last holder has removed it in between."""
    while True:
        file = (folder / MARK).open("w")
        if not lock(file):
            file.close()
            raise ValueError(f"another process is training in {folder}: wait for it, or stop it")
        if is_at(file, folder / MARK):
            return file
        file.close()


def is_at(file: IO[str], path: Path) -> bool:
    """Whether an open file is still the one with this name."""
    try:
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def is_claimed(folder: Path) -> bool:
    """Whether a process is training there; one that was killed is not."""
    try:
        with (folder / MARK).open() as file:
            return not lock(file, shared=True)
    except FileNotFoundError:
        return False


def holder(folder: Path) -> str:
    """Who is training there, as far as it is known."""
    try:
        return (folder / MARK).read_text(encoding="utf-8")
    except OSError:
        return ""


def lock(file: IO[str], *, shared: bool = False) -> bool:
    """Lock a file as long as it is open, if nobody else has.

    A file that is open for reading takes a shared lock only, on NFS.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
