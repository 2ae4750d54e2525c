"""The order in which vectors are added: a balanced tree, whoever computes which part of it.

Addition of floats commutes but is not associative, so a sum's bits are those of its tree. A block
of 2^n neighbours is a part of the tree, which one rank can compute alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..kernels.devices import namespace

Transport = Callable[[np.ndarray, np.ndarray], object]


def tree_sum(rows: np.ndarray) -> np.ndarray:
    """The sum of a power of two of rows: neighbours first, then pairs of neighbours, and so on."""
    while len(rows) > 1:
        rows = rows[0::2] + rows[1::2]
    return rows[0]


def sum_over_ranks(
    vector: np.ndarray, size: int, send_slices: Transport, collect: Transport
) -> np.ndarray:
    """The sum of all ranks' vectors, by a tree that halves the ranks.

    Each rank gets a slice of all vectors, adds it up and hands the sum to the others: as much
    traffic as a ring, and fixed bits. `send_slices` sends row r of its first array to rank r, and
    fills row r of the second with what rank r has sent; `collect` fills row r with rank r's array.
    """
    xp, piece = namespace(vector), -(-vector.size // size)
    sent = xp.zeros((size, piece), vector.dtype)
    sent.reshape(-1)[: vector.size] = vector
    slices, whole = xp.empty_like(sent), xp.empty_like(sent)
    send_slices(sent, slices)
    collect(tree_sum(slices), whole)
    return whole.reshape(-1)[: vector.size]


class Tree:
    """The same sum of vectors that come one by one; few of them are kept at a time."""

    def __init__(self) -> None:
        self.sums: list[tuple[int, np.ndarray]] = []  # with the number of vectors in each

    def add(self, vector: np.ndarray) -> None:
        """Take the next vector, which is written into."""
        count = 1
        while self.sums and self.sums[-1][0] == count:
            vector += self.sums.pop()[1]
            count *= 2
        self.sums.append((count, vector))

    def root(self) -> np.ndarray:
        """The sum of all."""
        return self.sums[0][1]
