"""How the backward passes of two neighbouring operations are linked: a pass over memory less.

An operation A ends in batch norm, of z, and ReLU: y = relu(norm(z)). The next operation, B, begins
with a convolution of y. Backward, B makes dy, the gradient of y, and A needs three things of it:

    dz     dy where y > 0, else 0: the ReLU's mask is applied
    sums   of dz, and of dz * (z - mean), a channel each: batch norm's gradient needs both first

                 not linked                           linked
                 reads          writes                reads          writes
    B  conv      ...            dy                    ..., y, z      dz (in the place of dy), sums
    A  mask,sum  dy, y, z       dz                    -- saved --
    A  norm      dz, z          gradient of z         dz, z          gradient of z

    B makes dy block by block:

         dy block, in cache --- where y > 0 ---> dz block ---> memory
                                                    |
                              z block, mean -----> sums, one pair a channel

B has only just made the block, in cache or in registers, where y lies too: it read y as its input.
So the mask is free, and the sums cost reading z. That is 4 of the 13 passes over memory that a
residual block's gradient takes, for one more.

All implementations say it in the same words. A mask or a normalisation is *pending* if whoever
reads the array applies it on the way: it is never written. Sums are *gathered* if they came with
the gradient. Parameters' gradients are written *in place* if they go to arrays that were handed in.

Whoever looks at dy in between would find it masked, so operations are linked only where nobody
watches. If dy is the sum of several gradients, one of them masked, A masks and sums it itself, and
gets the same: masking twice changes nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Sums = npt.NDArray[np.float64]


class BackwardLink:
    """Belongs to an operation A that ends in batch norm, of z (..., C) with mean (C,), and ReLU."""

    def __init__(self, z: Array, mean: Array) -> None:
        self.z, self.mean = z, mean
        self.gathered: tuple[Array | None, Sums | None] = None, None

    def put(self, dz: Array, sums: Sums) -> None:
        """B's part: keep a masked gradient and its sums (2, C) until A's turn comes."""
        self.gathered = dz, sums

    def take(self, dy: Array) -> Sums | None:
        """A's part: the sums if dy is the very array that B masked, and now A's to write into.

        Else None: nothing was gathered, or dy is another array, such as a sum of several.
        """
        (dz, sums), self.gathered = self.gathered, (None, None)
        return sums if dz is dy else None


class Links(NamedTuple):
    """What ties an operation's backward pass to those around it; each may be left out.

    `of_result` is its own link, which the operation that used its result may have filled;
    `of_input` that of the operation that made its input, which it may fill. `grad_buffers` are
    arrays, shaped as the parameters, that their gradients are written into, in place.
    """

    of_result: BackwardLink | None = None
    of_input: BackwardLink | None = None
    grad_buffers: tuple[Any, ...] = (None,) * 6


NO_LINKS = Links()
