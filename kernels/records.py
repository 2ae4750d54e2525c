"""What belongs together and travels together through the kernels, as records that nobody changes.

Arrays of a record are NumPy's or CuPy's, of one dtype. Compiled kernels get the arrays themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

Array = Any


class ConvNorm(NamedTuple):
    """A convolution without a bias, and the batch norm behind it.

    `weight` is (kh, kw, C_in, C_out), `gamma` and `beta` are (C_out,); `stride` and `padding` hold
    for both axes.
    """

    weight: Array
    gamma: Array
    beta: Array
    eps: float
    stride: int = 1
    padding: int = 0

    @property
    def arrays(self) -> tuple[Array, Array, Array]:
        """The parameters."""
        return self.weight, self.gamma, self.beta

    @property
    def geometry(self) -> dict[str, Any]:
        """How the weight slides, as `conv2d` takes it."""
        return {"stride": self.stride, "padding": self.padding}


class SavedNorm(NamedTuple):
    """What batch norm, of z, keeps of its forward pass for the backward one.

    `z` is (N, H, W, C); `mean` and `var`, the biased variance, are the batch's, (C,). `y`, shaped
    as z, is the result where ReLU stands behind it, else None: the gradient passes where y > 0. It
    is None as well where the result was never in memory.
    """

    z: Array
    mean: Array
    var: Array
    y: Array = None


class Epoch(NamedTuple):
    """An epoch of training images that lie where the kernels run, and what is done to them.

    `images` (M, H, W, C) are uint8, `labels` (M,) their classes; `order` (K,) holds the numbers of
    the epoch's images, `offsets` (K, 2) and `flips` (K,) their crops. Flips are bool, the others
    int64.
    """

    images: Array
    labels: Array
    order: Array
    offsets: Array
    flips: Array


def arrays_within(named: Iterable[tuple[Any, Any]], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values; what is within a record or tuple as "record.field" and "tuple.0"."""
    for name, value in named:
        if isinstance(value, tuple):
            fields = getattr(value, "_fields", range(len(value)))
            yield from arrays_within(zip(fields, value, strict=True), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
