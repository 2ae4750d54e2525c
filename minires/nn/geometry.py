"""Sizes as users give them: a whole number, or one for rows and one for columns."""

from __future__ import annotations

from typing import Any

import numpy as np

Size = int | tuple[int, int]


def pair(what: str, value: Any) -> tuple[int, int]:
    """A whole number, or two, at least 0, as rows and columns."""
    rows, columns = value if isinstance(value, tuple | list) and len(value) == 2 else (value, value)
    for number in (rows, columns):
        if not isinstance(number, int | np.integer) or isinstance(number, bool) or number < 0:
            raise TypeError(f"{what} must be a whole number, at least 0, or two, but is {value!r}")
    return int(rows), int(columns)


def one(what: str, value: Any, instead: str) -> int:
    """A whole number, which may be given as two equal ones."""
    rows, columns = pair(what, value)
    if rows != columns:
        raise ValueError(f"{what} must be the same for rows and columns, but is {value}: {instead}")
    return rows
