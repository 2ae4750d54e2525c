"""How the backward passes of two neighbouring operations are linked, to save passes over memory.

An operation A ends in batch norm, of z, and ReLU: y = relu(norm(z)). The next operation, B, begins
with a convolution of y. Backward, B makes dy, the gradient of y. A needs from it:

    masked_dy   dy where y > 0, else 0
    sums        of masked_dy, and of masked_dy * (z - mean), for each channel: batch norm's gradient
                needs both first

                 not linked                      linked
                 reads          writes           reads          writes
    B  conv      ...            dy               ..., y, z      masked_dy (in dy's place), sums
    A  mask,sum  dy, y, z       masked_dy        -- saved --
    A  norm      masked_dy, z   gradient of z    masked_dy, z   gradient of z

    B makes dy block by block:

         dy block, in cache --- where y > 0 ---> masked_dy block ---> memory
                                                        |
                                  z block, mean -----> sums, one pair a channel

The block that B has just made is still in cache or in registers. So is y, which B read as its
input. So the mask is free, and the sums cost reading z. That saves the four passes over memory of
the middle row (dy, y, z, masked_dy) and adds one (z, in B).

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

    def put(self, masked_dy: Array, sums: Sums) -> None:
        """B's part: keep a masked gradient and its sums (2, C) until A's turn comes."""
        self.gathered = masked_dy, sums

    def take(self, dy: Array) -> Sums | None:
        """A's part: the sums if dy is the very array that B masked; A may then write into it.

        Else None: nothing was gathered, or dy is another array, such as a sum of several.
        """
        (masked_dy, sums), self.gathered = self.gathered, (None, None)
        return sums if masked_dy is dy else None


def nothing() -> Array | None:
    """No other operation has contributed to a gradient."""
    return None


class Links(NamedTuple):
    """The links of an operation's backward pass to its neighbours; each may be left out.

    `of_result` is the operation's own link: the operation that used its result may have filled it.
    `of_input` is the link of the operation that made its input: this operation may fill it.
    `take_grad_so_far` gives what other operations have contributed to the gradient of the input, or
    None. A kernel that calls it must add the array to its dx: the sweep has dropped it.
    `grad_buffers` are arrays shaped as the parameters; their gradients are written there, in place.
    """

    of_result: BackwardLink | None = None
    of_input: BackwardLink | None = None
    grad_buffers: tuple[Any, ...] = (None,) * 6
    take_grad_so_far: Callable[[], Array | None] = nothing


NO_LINKS = Links()
