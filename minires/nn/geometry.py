"""Sizes as users give them: a whole number, or one for rows and one for columns."""

from __future__ import annotations

from typing import Any

import numpy as np

Size = int | tuple[int, int]


def pair(what: str, value: Any, *, least: int = 0) -> tuple[int, int]:
    """A whole number, or two, at least 0 or more, as rows and columns."""
    rows, columns = value if isinstance(value, tuple | list) and len(value) == 2 else (value, value)
    for number in (rows, columns):
        if not isinstance(number, int | np.integer) or isinstance(number, bool) or number < least:
            raise TypeError(
                f"{what} must be a whole number, at least {least}, or two, but is {value!r}"
            )
    return int(rows), int(columns)


def one(what: str, value: Any, instead: str) -> int:
    """A whole number, which may be given as two equal ones."""
    rows, columns = pair(what, value)
    if rows != columns:
        raise ValueError(f"{what} must be the same for rows and columns, but is {value}: {instead}")
    return rows


def simplest(size: tuple[int, int]) -> Size:
    """One number where both are equal."""
    return size[0] if size[0] == size[1] else size


def is_plain(stride: Any, padding: Any, dilation: Any, groups: int) -> bool:
    """Whether a convolution, by pairs, is one that the kernels know."""
    return stride[0] == stride[1] and padding[0] == padding[1] and (*dilation, groups) == (1, 1, 1)
