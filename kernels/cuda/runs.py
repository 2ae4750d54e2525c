"""3 x 3 convolutions that keep the size, on tensor cores, in runs of pixels.

See `runs.cu`, and for the gradient of the weight `runs_weight.cu`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .batch_norm import Moments, Norm, following
from .launch import arithmetic, blocks, counters, empty, empty_numbers, launch, scalar, vector
from .matmul import space_for_parts
from .source import (
    PRODUCTS_OF_RUNS,
    SLICE,
    Runs,
    WeightRuns,
    choose_run,
    choose_weight_run,
    resident_blocks,
)

if TYPE_CHECKING:
    from .convolution import MaskAndSum

Array = Any
DEPTH = 16  # channels at a time: as in runs.cu
SHORTEST_PART = 256  # the fewest positions that a block sums in the weight gradient


def run_for(
    images: Array, weight: Array, stride: int, padding: int, *, to_images: bool = False
) -> Runs | None:
    """The engine for this convolution, or with `to_images` for its input gradient, or None.

    Channels must be a multiple of 16, result channels of a pack: 4, or 8 in bfloat16.
    """
    depth, columns = weight.shape[2:] if not to_images else weight.shape[:1:-1]
    name = arithmetic(images)
    if (
        (*weight.shape[:2], stride, padding) != (3, 3, 1, 1)
        or depth % DEPTH
        or name not in PRODUCTS_OF_RUNS
        or vector(images, weight, sizes=(columns,)) == 1
    ):
        return None
    return choose_run(name, images.shape[2], columns)


def conv3x3(
    engine: Runs, x: Array, weight: Array, pending: Norm | None, moments: Moments | None
) -> Array:
    """The convolution of x, or of relu(pending(x)); takes the result's moments if wanted."""
    filters = weight.shape[3]
    y = empty((*x.shape[:3], filters), x)
    tiles = tiles_of(engine, x.shape, filters)
    parts = (None, None)
    if moments:
        parts = empty_numbers((tiles[0], 3, filters), x), counters(x, tiles[1], tiles[0])
    launch(
        "runs",
        f"conv3x3<{engine}>",
        tiles,
        *(x, weight, y, *(pending[:4] if pending else (None,) * 4), *parts),
        *following(moments, y.size // filters, x),
        scalar(pending.eps if pending else 0, x),
        *(*x.shape, filters),
        threads=engine.threads,
    )
    return y


def conv3x3_input_grad(
    engine: Runs, dy: Array, weight: Array, mask: MaskAndSum, norm: Norm
) -> Array:
    """The gradient of the convolution's input, which is relu(norm(z)), masked and summed."""
    channels = weight.shape[2]
    dx = empty((*dy.shape[:3], channels), dy)
    tiles = tiles_of(engine, dy.shape, channels)
    _, var, gamma, beta, eps = norm
    launch(
        "runs",
        f"conv3x3_input_grad<{engine}>",
        tiles,
        *(dy, weight, dx, mask.z, mask.mean, var, gamma, beta, scalar(eps, dy)),
        *(empty_numbers((tiles[0], 2, channels), dy), counters(dy, tiles[1], tiles[0]), mask.sums),
        *(*dx.shape, dy.shape[3]),
        threads=engine.threads,
    )
    return dx


def tiles_of(engine: Runs, shape: tuple[int, ...], columns: int) -> tuple[int, int]:
    """Tiles of positions, and of columns."""
    return blocks(positions_of(shape), engine.m), blocks(columns, engine.n)


def positions_of(shape: tuple[int, ...]) -> int:
    """Each image has a column and a row of zeros more."""
    images, height, width = shape[:3]
    return images * (height + 1) * (width + 1)


def weight_run_for(
    dy: Array, x: Array, dweight: Array, stride: int, padding: int
) -> WeightRuns | None:
    """The engine for the weight gradient of this convolution, or None."""
    *kernel_size, channels, filters = dweight.shape
    if (
        (*kernel_size, stride, padding) != (3, 3, 1, 1)
        or vector(dy, x, dweight, sizes=(channels, filters)) == 1
        or not x.size
    ):
        return None
    return choose_weight_run(arithmetic(x), x.shape[2], channels, filters)


def conv3x3_weight_grad(
    engine: WeightRuns, dy: Array, x: Array, dweight: Array, pending: Norm | None
) -> Array:
    """The gradient of the weight, for x or relu(pending(x)), in parts over ranges of positions."""
    channels, filters = dweight.shape[2:]
    slices, positions = (channels // SLICE, filters // SLICE), positions_of(x.shape)
    wanted = resident_blocks(engine) // (slices[0] * slices[1])
    part = blocks(positions, min(blocks(positions, SHORTEST_PART), max(1, wanted)))
    part = blocks(part, engine.of_a_warp) * engine.of_a_warp
    parts = blocks(positions, part)
    launch(
        "runs",
        f"conv3x3_weight_grad<{engine}>",
        (*slices, parts),
        *(dy, x, dweight, *(pending[:4] if pending else (None,) * 4)),
        scalar(pending.eps if pending else 0, x),
        *space_for_parts(dweight, parts, slices[0] * slices[1]),
        *(part, *x.shape, filters),
        threads=engine.threads,
    )
    return dweight
