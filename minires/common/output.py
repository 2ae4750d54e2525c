"""What is printed, on terminals of all kinds."""

from __future__ import annotations

import io
import sys


def escape_what_cannot_be_printed() -> None:
    """From now on, a character that the output's encoding lacks is printed as `\\xe9`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
