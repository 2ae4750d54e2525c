"""Write a file whole or not at all; read a text, or say in a sentence that it is none."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def read_text(path: Path) -> str:
    """A text in UTF-8. Raises: ValueError for a file that holds something else."""
    try:
        return path.read_text(encoding="utf-8-sig")  # with or without the mark of some editors
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text in UTF-8: is it the file that you mean?") from None


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, which replaces it when the block ends without an error.

    A crash at any moment leaves the old file or the new one, never half of one. Who may read it is
    as it was; of a new file, as the user's umask says.

    Raises: OSError that names the file where it can't be written, as on a full disk.
    """
    try:
        with replacing(path) as temporary:
            yield temporary
    except Exception as error:
        of_disk = isinstance(error, OSError) or type(error).__name__ == "SafetensorError"
        if not of_disk or getattr(error, "filename", None) not in (None, path):
            raise
        why = getattr(error, "strerror", None) or error
        raise OSError(
            f"{path} can't be written ({why}): make room or choose another place; what was there "
            "before is whole"
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """See `atomic`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    temporary.touch(exist_ok=False)
    mode = stat.S_IMODE((path if path.exists() else temporary).stat().st_mode)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(mode)  # a library may have written another file there
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
