"""What files may say for a number, and rows of numbers as columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, get_type_hints

import numpy as np
import numpy.typing as npt

LIMIT = 1e9  # pixels: what is beyond is no coordinate, and areas stay far from overflow
LARGEST_SIDE = 1_000_000


def finite(values: Iterable[Any]) -> bool:
    """Whether all are numbers (no booleans) within the limit; NaN is not."""
    return all(type(value) in (int, float) and abs(value) <= LIMIT for value in values)


def finite_array(values: npt.NDArray[np.float64]) -> bool:
    """Whether all are within the limit."""
    return bool((np.abs(values) <= LIMIT).all())


def whole_size(height: Any, width: Any) -> tuple[int, int] | None:
    """Sides of an image as whole numbers, or None where they are none."""
    sides = (height, width)
    if not finite(sides) or not all(s == int(s) and 1 <= s <= LARGEST_SIDE for s in sides):
        return None
    return int(height), int(width)


def columns(rows: Sequence[NamedTuple], kind: type[NamedTuple]) -> dict[str, Any]:
    """An array of each field of some rows, of the type that its class declares; there may be none.

    A field that is a tuple of four numbers becomes (N, 4).
    """
    types = get_type_hints(kind)
    simple = {n: t if t in (int, float, bool) else None for n, t in types.items()}
    made = {n: np.array([row[i] for row in rows], simple[n] or float) for i, n in enumerate(types)}
    return {n: array if simple[n] else array.reshape(-1, 4) for n, array in made.items()}
