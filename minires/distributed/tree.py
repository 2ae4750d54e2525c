"""The order in which vectors are added: a balanced tree, whoever computes which part of it.

Addition of floats commutes but is not associative, so a sum's bits are those of its tree. A block
of 2^n neighbours is a part of the tree, which one rank can compute alone.
"""

from __future__ import annotations

import numpy as np


def tree_sum(rows: np.ndarray) -> np.ndarray:
    """The sum of a power of two of rows: neighbours first, then pairs of neighbours, and so on."""
    while len(rows) > 1:
        rows = rows[0::2] + rows[1::2]
    return rows[0]


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
