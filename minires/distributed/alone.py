"""One process: what a world of several can do is nothing, or a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

Value = TypeVar("Value")


class Alone:
    """The world of a single process. `MpiWorld` does the same for several.

    Every process of a world makes the same calls in the same order. `rank` counts from 0, and rank
    0 is the one that writes files.
    """

    rank, size = 0, 1

    def sum(self, vector: np.ndarray) -> np.ndarray:
        """The sum of all ranks' vectors, by a tree that halves the ranks."""
        return vector

    def gather(self, rows: np.ndarray) -> np.ndarray:
        """All ranks' rows, in the order of ranks; each has as many."""
        return rows

    def any(self, flag: bool) -> bool:
        """Whether it holds on any rank."""
        return flag

    def exchange(self, value: Any) -> list[Any]:
        """Every rank's value, in the order of ranks: small ones, never arrays."""
        return [value]

    def broadcast(self, array: np.ndarray) -> None:
        """Fill every rank's array with that of rank 0."""

    def hang_up(self, failure: type[BaseException] | None = None, *_: Any) -> None:
        """Let go of what connects the ranks' GPUs; recordings that use it must be gone before."""

    def share(self, compute: Callable[[], Value]) -> Value:
        """What rank 0 computes. Whatever it raises is raised by all."""
        return compute()

    def each(self, act: Callable[[], Value]) -> list[Value]:
        """Every rank's own result, in the order of ranks. What one raises all raise."""
        return [act()]

    def in_turn(self, act: Callable[[], Value]) -> Value:
        """Every rank's own result, one rank of each machine ahead of the others.

        So what is kept on a disk is made, or downloaded, once. What one raises all raise.
        """
        return act()

    def agree(self, what: str, value: Any) -> None:
        """See that all ranks have the same value. Raises: ValueError, on all of them."""

    def wait(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Until all ranks are here, without using a processor; `meanwhile` is called often."""

    def report(self, value: Any) -> None:
        """Send rank 0 a small value, without waiting."""

    def reports(self) -> Iterator[Any]:
        """What has come in from the others, for rank 0."""
        return iter(())

    def about(self) -> dict[str, str]:
        """What to keep beside a result: how many ranks there were, and of which MPI."""
        return {}

    def group(self, size: int) -> Alone | None:
        """The `size` consecutive ranks that this one works with; None for those left over."""
        return self


ALONE = Alone()
