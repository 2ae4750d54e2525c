"""The precision of a GPU's products: of convolutions, their gradients and linear layers.

    with minires.precision("tf32"):
        train()

- "float32", the default. On tensor cores each number is split into two TF32 numbers, and three
  products replace one: as exact as float32 (Ootomo & Yokota 2022).
- "tf32": one product of numbers rounded to 10 mantissa bits. Sums stay float32.

All other values are float32 in both: maps, weights, statistics, loss, steps. On a CPU, and on GPUs
without TF32 (before Ampere), "tf32" is float32.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

PRECISIONS = ("float32", "tf32")

_current: ContextVar[str] = ContextVar("precision", default="float32")


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """A context in which products have this precision. ValueError if there is no such precision."""
    if name not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, but is {name!r}")
    token = _current.set(name)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> str:
    """The precision in force."""
    return _current.get()
