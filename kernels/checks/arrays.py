"""What any array must look like: its type, its shape, its order in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..devices import is_array, is_cuda


def fail_unless(condition: object, message: str) -> None:
    """Raise a ValueError with `message` unless the condition holds."""
    if not condition:
        raise ValueError(message)


def are_arrays(name: str, values: Iterable[Any]) -> None:
    """Refuse lists and the like; None stands for an array that is left out."""
    for value in values:
        if not (is_array(value) or value is None):
            raise TypeError(
                f"{name}: a kernel takes NumPy or CuPy arrays, but got {type(value).__name__}"
            )


def contiguous(**arrays: np.ndarray | None) -> None:
    """Refuse views that a kernel would read in the wrong order."""
    for argument, array in arrays.items():
        if array is not None and not array.flags.c_contiguous:
            raise ValueError(
                f"{argument} {array.shape} is not C-contiguous (a strided or transposed "
                f"view?): pass np.ascontiguousarray({argument})"
            )


def writable(array: np.ndarray) -> None:
    """Refuse to change an array that is read-only."""
    if not (is_cuda(array) or array.flags.writeable):
        raise ValueError(
            f"an array {array.shape} is read-only, as the weights of a folded network are: change "
            "or train the network itself, and fold it again"
        )


def same_shape(**arrays: np.ndarray) -> None:
    """Refuse arrays of different shapes, naming each."""
    if len({array.shape for array in arrays.values()}) > 1:  # called hundreds of times a step
        text = ", ".join(f"{argument} {array.shape}" for argument, array in arrays.items())
        raise ValueError(f"shapes must be equal, but are {text}")
    contiguous(**arrays)


def shape(argument: str, array: np.ndarray, expected: tuple[int, ...]) -> None:
    """Refuse an array of another shape, or one that is not C-contiguous."""
    if array.shape != expected:
        raise ValueError(f"{argument} must have shape {expected}, but has {array.shape}")
    contiguous(**{argument: array})


def images(shape: Sequence[int], argument: str = "x") -> None:
    """Refuse anything but a batch of images (N, H, W, C)."""
    fail_unless(
        len(shape) == 4,
        f"{argument} must be images (N, H, W, C), but has shape {tuple(shape)}",
    )


def channels(what: str, shape: Sequence[int], *per_channel: np.ndarray) -> None:
    """Refuse arrays that do not hold one value for each channel of the normalised map."""
    expected = tuple(shape[3:])
    for array in per_channel:
        if array.shape != expected:
            raise ValueError(
                f"{what} has {shape[3]} channels {tuple(shape)}, so gamma, beta, mean and "
                f"var must have shape ({shape[3]},), but one has {array.shape}"
            )
        if not array.flags.c_contiguous:
            contiguous(**{"a per-channel array": array})
