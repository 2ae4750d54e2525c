"""Arrays that belong together, as immutable records that travel through the kernels.

The arrays of a record are NumPy or CuPy arrays of one dtype, but for maps in bfloat16. Compiled
kernels get the arrays alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

Array = Any


class ConvNorm(NamedTuple):
    """A convolution without a bias, and the batch norm after it.

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
        return self.weight, self.gamma, self.beta

    @property
    def geometry(self) -> dict[str, Any]:
        """Stride and padding, as `conv2d` takes them."""
        return {"stride": self.stride, "padding": self.padding}


class SavedNorm(NamedTuple):
    """What batch norm, of z, saves in its forward pass for the backward one.

    `z` is (N, H, W, C); `mean` and `var`, the biased variance, are the batch's, (C,). `y`, shaped
    as z, is the result if ReLU follows: the gradient passes where y > 0. It is None without a ReLU,
    or if the result was never in memory.
    """

    z: Array
    mean: Array
    var: Array
    y: Array = None


class Epoch(NamedTuple):
    """An epoch of training images, on the device of the kernels, and their augmentation.

    `images` (M, H, W, C) are uint8, `labels` (M,) their classes; `order` (K,) holds the indices of
    the epoch's images, `offsets` (K, 2) and `flips` (K,) their crops. Flips are bool, the others
    int64.
    """

    images: Array
    labels: Array
    order: Array
    offsets: Array
    flips: Array


def arrays_within(named: Iterable[tuple[Any, Any]], prefix: str = "") -> list[tuple[str, Any]]:
    """Names and values; fields of a record or tuple are named "record.field" and "tuple.0"."""
    found = []
    for name, value in named:
        if isinstance(value, tuple):
            fields = getattr(value, "_fields", range(len(value)))
            found += arrays_within(zip(fields, value, strict=True), f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", value))
    return found
