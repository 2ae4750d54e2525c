"""A batch norm's running statistics, which a training batch moves."""

from __future__ import annotations

from typing import Any, NamedTuple

Array = Any


class Running(NamedTuple):
    """Mean and variance (C,), which move in place towards a batch's with this momentum.

    running = (1 - momentum) * running + momentum * batch; the running variance is the unbiased one.
    """

    mean: Array
    var: Array
    momentum: float


def unbiased(count: int) -> float:
    """The factor from the biased variance of `count` values to the unbiased one."""
    return count / (count - 1)
