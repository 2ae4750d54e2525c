"""The rungs in CUDA C, launched through CuPy, or through the stand-in of `tests/cuda`."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent
THREADS = 16, 16  # of a block


@dataclass(frozen=True)
class CudaRung:
    """A kernel of the ladder for GPUs.

    Attributes:
        name: the idea, for tables and pictures.
        file: the CUDA C of this folder, without its ending.
        tile: the pixels, and the filters, of a block's results.
    """

    name: str
    file: str
    tile: int

    def text(self) -> str:
        """The whole module; the `#line` makes compilers' messages name the file and its line."""
        files = "cuda_window.cuh", f"{self.file}.cu"
        return "".join(f'#line 1 "{file}"\n{(FOLDER / file).read_text("utf-8")}' for file in files)

    def conv2d(self, cupy: Any, x: Any, weight: Any) -> Any:
        """y (N, H, W, F) of x (N, H, W, C) and weight (3, 3, C, F); float32, on the GPU.

        Indices have 32 bits: arrays must have less than 2**31 elements.
        """
        (*places, channels), filters = x.shape, weight.shape[3]
        y, pixels = cupy.empty((*places, filters), np.float32), math.prod(places)
        grid = -(-filters // self.tile), -(-pixels // self.tile)
        sizes = map(np.int32, (pixels, *places[1:], channels, filters))
        compiled(cupy, self)(grid, THREADS, (x, weight, y, *sizes))
        return y


@functools.cache
def compiled(cupy: Any, rung: CudaRung) -> Any:
    return cupy.RawModule(code=rung.text(), options=("-std=c++17",)).get_function("conv2d")


CUDA = (
    CudaRung("a thread a result", "cuda1_thread", 16),
    CudaRung("shared memory", "cuda2_shared", 16),
    CudaRung("register tile", "cuda3_register_tile", 64),
)
