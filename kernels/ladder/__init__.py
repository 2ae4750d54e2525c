"""The ladder: from the definition to a fast kernel, one idea per rung.

`reference.py` says what a kernel computes. A few ideas lead from there to the fast kernels of
`cpu/` and `cuda/`. Here each idea has its own file, which begins by explaining it. A rung imports
what it does not change from the rungs below, so its file holds only what is new. All rungs of a
ladder have the same signature.

    conv1_seven_loops.py    the definition               norm1_three_passes.py   the definition
    conv2_im2col.py         a product of matrices        norm2_two_passes.py     fewer passes
    conv3_blocks.py         columns stay in cache        norm3_fused.py          ReLU fused in
    conv4_register_tile.py  sums stay in registers
    conv5_panels.py         a weight read in order       cuda1_thread.cu         the definition
    conv6_winograd.py       fewer multiplications        cuda2_shared.cu         shared memory
                                                         cuda3_register_tile.cu  registers

A convolution is 3 x 3 at stride 1 with padding 1. `python examples/ladder.py` checks, times and
draws all rungs; a page of the lesson (`docs/lesson/7-why-is-it-fast.md`) explains the pictures.
Training does not use these kernels.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FLOAT = 4  # bytes


@dataclass(frozen=True)
class Rung:
    """A kernel of a ladder.

    Attributes:
        name: the idea, for tables and pictures.
        file: the module of this package, without its ending.
        function: the name of the kernel.
        bytes: a function of the shape of x and the number of filters: the bytes that it moves
            between memory and caches, if no cache keeps an array from one pass to the next.
    """

    name: str
    file: str
    function: str
    bytes: Callable[[tuple[int, ...], int], int]

    def kernel(self) -> Callable[..., Any]:
        return getattr(importlib.import_module(f".{self.file}", __name__), self.function)


def convolution(name: str, file: str, columns: int = 0, weights: int = 0) -> Rung:
    """A rung that moves x, weight and y once, and more copies of x and of taps of the weight."""

    def moved(shape: tuple[int, ...], filters: int) -> int:
        pixels, channels = math.prod(shape[:3]), shape[3]
        x, y, tap = pixels * channels, pixels * filters, channels * filters
        return FLOAT * (x + 9 * tap + y + columns * x + weights * tap)

    return Rung(name, file, "conv2d", moved)


def batch_norm(name: str, file: str, arrays: int) -> Rung:
    """A rung that reads or writes `arrays` arrays as large as x."""
    return Rung(name, file, "batch_norm_relu", lambda shape, _: FLOAT * arrays * math.prod(shape))


CONVOLUTIONS = (
    convolution("seven loops", "conv1_seven_loops"),
    convolution("im2col in memory", "conv2_im2col", columns=2 * 9),
    convolution("columns in cache", "conv3_blocks"),
    convolution("register tile", "conv4_register_tile"),
    convolution("packed panels", "conv5_panels", weights=2 * 9),
    convolution("Winograd", "conv6_winograd", weights=2 * 16),
)
BATCH_NORMS = (
    batch_norm("three passes", "norm1_three_passes", 6),
    batch_norm("two passes", "norm2_two_passes", 5),
    batch_norm("fused with ReLU", "norm3_fused", 3),
)
