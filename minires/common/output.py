"""What is printed, on terminals of all kinds, and what becomes of errors."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from rich.console import Console


def escape_what_cannot_be_printed() -> None:
    """From now on, a character that the output's encoding lacks is printed as `\\xe9`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def tell(console: Console, *lines: str) -> None:
    """Print lines as they are."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def errors_as_sentences(*others: type[Exception]) -> Iterator[None]:
    """Within, expected failures and `others` end the program with a sentence on stderr."""
    expected: tuple[type[Exception], ...] = (ValueError, OSError, *others)
    escape_what_cannot_be_printed()
    try:
        yield
        sys.stdout.flush()
    except SystemExit as ended:
        with errors_as_sentences():
            sys.stdout.flush()
        raise ended from None
    except expected as error:
        fail(in_words(error))
    except MemoryError as error:
        fail(f"there is not enough memory: use smaller images or fewer at once. {error}".rstrip())


def in_words(error: Exception) -> str:
    """An error as a sentence; one without a file is of the output, which then leads nowhere."""
    if not isinstance(error, OSError) or error.filename or not error.strerror:
        return str(error)
    with suppress(OSError, ValueError):  # at the end of the process nothing is tried again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return f"the output can't be written: {error.strerror}"


def fail(sentence: str) -> NoReturn:
    """Print what is wrong, and end."""
    from rich.console import Console
    from rich.text import Text

    text = Text.assemble(("Error: ", "red"), sentence)
    Console(stderr=True, highlight=False).print(text, soft_wrap=True)
    raise SystemExit(1) from None
