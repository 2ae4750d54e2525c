"""What one operation's backward pass leaves for the next one's: a pass over memory less.

An operation that ends in batch norm and ReLU begins backward with a pass over its result's gradient
dy, to cut it to where the result is positive (dz) and to sum dz and dz * (z - mean) over all
pixels. But the convolution that used the result has only just made dy, block by block, in cache,
where the result lies too: if it knows z and mean, it cuts and sums on the way. That is 4 of the 13
passes over memory that a residual block's gradient takes, for one more: reading z.

Whoever looks at dy in between would find it cut, so this is only for gradients that nobody watches.
If dy is the sum of several gradients, one of them cut, it is cut and summed as ever, to the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Sums = npt.NDArray[np.float64]


class Handover:
    """Belongs to an operation that ends in batch norm, of z (..., C) with mean (C,), and ReLU."""

    def __init__(self, z: Array, mean: Array) -> None:
        self.z, self.mean = z, mean
        self.left: tuple[Array | None, Sums | None] = None, None

    def leave(self, dz: Array, sums: Sums) -> None:
        """Keep a gradient, cut, and its sums (2, C), until the operation's turn comes."""
        self.left = dz, sums

    def take(self, dy: Array) -> Sums | None:
        """The sums if what was left is this very array, which is then the caller's to write into.

        Else None: nothing was left, or dy is another array, such as a sum of several.
        """
        (dz, sums), self.left = self.left, (None, None)
        return sums if dz is dy else None
