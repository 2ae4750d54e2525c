"""A sentence for an argument of another kind, where it comes in."""

from __future__ import annotations

from typing import Any


def must_be(kind: type, given: Any, what: str) -> None:
    """Raises: TypeError that says what was expected and what came."""
    if not isinstance(given, kind):
        raise TypeError(f"{what} must be a {kind.__name__}, but is {type(given).__name__}")
