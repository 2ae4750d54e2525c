"""The CUDA C of this folder: which files make a module, and which kernels each is compiled for.

A kernel's name in `KERNELS` is a C++ name expression, such as `relu<float, 4>`. Nothing here needs
CuPy, a GPU or a driver, so that a test can compile everything for every architecture.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

NamesFor = Callable[[str], Iterable[str]]  # from a type's name to name expressions

FOLDER = Path(__file__).parent
OPTIONS = ("-std=c++17",)
FILES = {
    "augment": ("common.cuh", "augment.cu"),
    "batch_norm": ("common.cuh", "batch_norm.cu"),
    "columns": ("common.cuh", "columns.cu"),
    "convolution": ("common.cuh", "product.cuh", "convolution.cu"),
    "elementwise": ("common.cuh", "elementwise.cu"),
    "gemm": ("common.cuh", "product.cuh", "gemm.cu"),
    "loss": ("common.cuh", "loss.cu"),
    "pooling": ("common.cuh", "pooling.cu"),
}


@dataclass(frozen=True)
class Tile:
    """A block's part of a matrix product: `m` x `n` results, `k` of the sum at a time in shared
    memory, and `tm` x `tn` results a thread."""

    m: int
    n: int
    k: int
    tm: int
    tn: int

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.m // self.tm * (self.n // self.tn)

    def __str__(self) -> str:
        return ", ".join(map(str, astuple(self)))


# By the number of columns of the result, for convolutions its channels: the narrowest that fits.
PIXEL_TILES = (Tile(128, 16, 16, 4, 4), Tile(128, 32, 16, 8, 4), Tile(64, 64, 16, 8, 4))
WEIGHT_TILES = (Tile(64, 16, 16, 2, 4), Tile(64, 32, 16, 4, 4), Tile(64, 64, 16, 8, 4))
SMALL_TILE = Tile(32, 16, 16, 4, 1)  # for float64 and odd matrices, where speed does not matter

TILES = {
    "conv2d": PIXEL_TILES,
    "conv2d_input_grad": PIXEL_TILES,
    "conv2d_weight_grad": WEIGHT_TILES,
    "gemm": (PIXEL_TILES[0], PIXEL_TILES[2]),
}
TRANSPOSED = ("false, false", "false, true", "true, false")  # of a and b


def tiles(kernel: str, type_name: str, vector: int) -> tuple[Tile, ...]:
    """The tiles that a product is compiled for, narrowest first: one where values move singly."""
    if type_name == "double" or (kernel == "gemm" and vector == 1):
        return (SMALL_TILE,)
    return TILES[kernel] if vector > 1 else TILES[kernel][:1]


@functools.cache
def choose_tile(kernel: str, type_name: str, vector: int, columns: int) -> Tile:
    """The narrowest tile that holds all columns, else the widest."""
    choice = tiles(kernel, type_name, vector)
    return next((tile for tile in choice if tile.n >= columns), choice[-1])


def vectors(type_name: str) -> tuple[int, ...]:
    """How many values a thread may move at once."""
    return (1, 4) if type_name == "float" else (1,)


@functools.cache
def product(kernel: str, type_name: str, tile: Tile, vector: int, *rest: str) -> str:
    """Name expression of a tiled product."""
    return f"{kernel}<{', '.join((type_name, str(tile), str(vector), *rest))}>"


def products(kernel: str, type_name: str, *rest: str) -> Iterator[str]:
    """All name expressions of a tiled product."""
    for vector in vectors(type_name):
        for tile in tiles(kernel, type_name, vector):
            for last in rest:
                yield product(kernel, type_name, tile, vector, last)
            if not rest:
                yield product(kernel, type_name, tile, vector)


def kernels_of(module: str) -> tuple[str, ...]:
    """All name expressions of a module, for float and double."""
    return tuple(name for t in ("float", "double") for name in KERNELS[module](t))


def plain(*names: str) -> NamesFor:
    """Kernels whose only parameter is the type."""
    return lambda type_name: [f"{name}<{type_name}>" for name in names]


def packed(*names: str) -> NamesFor:
    """Kernels that move one value or four at once."""
    return lambda type_name: [
        f"{name}<{type_name}, {vector}>" for name in names for vector in vectors(type_name)
    ]


def tiled(name: str, *rest: str) -> NamesFor:
    """A tiled product."""
    return lambda type_name: products(name, type_name, *rest)


def all_of(*parts: NamesFor) -> NamesFor:
    """The kernels of several such lists."""
    return lambda type_name: [name for part in parts for name in part(type_name)]


KERNELS: dict[str, NamesFor] = {
    "augment": plain("crop_flip", "epoch_batch"),
    "batch_norm": all_of(
        plain("moments", "combine_moments", "gradient_sums", "combine_sums"),
        plain("update_running_statistics"),
        packed("normalise", "normalise_grad"),
    ),
    "columns": packed("im2col", "col2im"),
    "convolution": all_of(tiled("conv2d"), tiled("conv2d_input_grad"), tiled("conv2d_weight_grad")),
    "elementwise": packed("relu", "relu_grad", "sgd_step"),
    "gemm": all_of(tiled("gemm", *TRANSPOSED), plain("sum_parts")),
    "loss": plain("softmax_cross_entropy", "softmax_cross_entropy_grad", "tally"),
    "pooling": plain(
        "max_pool",
        "max_pool_grad",
        "avg_pool",
        "avg_pool_grad",
        "global_avg_pool",
        "global_avg_pool_grad",
    ),
}


def text(module: str) -> str:
    """The whole source of a module; compilers' messages name the file that a line comes from."""
    return "".join(
        f'#line 1 "{name}"\n{(FOLDER / name).read_text(encoding="utf-8")}' for name in FILES[module]
    )
