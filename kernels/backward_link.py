"""How the backward passes of two neighbouring operations are linked, to save passes over memory.

An operation A ends in batch norm, of z, and ReLU: y = relu(norm(z)). The next operation, B, begins
with a convolution of y. Backward, B makes dy, the gradient of y. A needs from it:

    dz     dy where y > 0, else 0: the ReLU's mask is applied
    sums   of dz, and of dz * (z - mean), for each channel: batch norm's gradient needs both first

                 not linked                           linked
                 reads          writes                reads          writes
    B  conv      ...            dy                    ..., y, z      dz (in the place of dy), sums
    A  mask,sum  dy, y, z       dz                    -- saved --
    A  norm      dz, z          gradient of z         dz, z          gradient of z

    B makes dy block by block:

         dy block, in cache --- where y > 0 ---> dz block ---> memory
                                                    |
                              z block, mean -----> sums, one pair a channel

The block that B has just made is still in cache or in registers. So is y, which B read as its
input. So the mask is free, and the sums cost reading z. That saves 4 of the 13 passes over memory
that a residual block's gradient takes, and adds one.

All implementations use the same terms. A mask or a normalisation is *pending* if the reader of the
array applies it while reading: the result is never written. Sums are *gathered* if they came with
the gradient. Parameters' gradients are written *in place* if they go to arrays that were passed in.

An observer that looked at dy in between would find it masked. So operations are linked only if
nothing observes dy. If dy is the sum of several gradients, one of them masked, A masks and sums it
itself and gets the same result: masking twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Sums = npt.NDArray[np.float64]


class BackwardLink:
    """Link of an operation A that ends in batch norm, of z (..., C) with mean (C,), and ReLU."""

    def __init__(self, z: Array, mean: Array) -> None:
        self.z, self.mean = z, mean
        self.gathered: tuple[Array | None, Sums | None] = None, None

    def put(self, dz: Array, sums: Sums) -> None:
        """B's part: keep a masked gradient and its sums (2, C) until A's turn comes."""
        self.gathered = dz, sums

    def take(self, dy: Array) -> Sums | None:
        """A's part: the sums if dy is the very array that B masked; A may then write into it.

        Else None: nothing was gathered, or dy is another array, such as a sum of several.
        """
        (dz, sums), self.gathered = self.gathered, (None, None)
        return sums if dz is dy else None


def nothing() -> Array | None:
    """No other operation has contributed to a gradient."""
    return None


class Links(NamedTuple):
    """The links of an operation's backward pass to its neighbours; each may be left out.

    `of_result` is the operation's own link: the operation that used its result may have filled it.
    `of_input` is the link of the operation that made its input: this operation may fill it.
    `take_grad_so_far` gives what other operations have contributed to the gradient of the input, or
    None. Who calls it must add that to dx, for the caller counts on it.
    `grad_buffers` are arrays shaped as the parameters; their gradients are written there, in place.
    """

    of_result: BackwardLink | None = None
    of_input: BackwardLink | None = None
    grad_buffers: tuple[Any, ...] = (None,) * 6
    take_grad_so_far: Callable[[], Array | None] = nothing


NO_LINKS = Links()
