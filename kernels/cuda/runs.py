"""3 x 3 convolutions that keep the size, on tensor cores, in runs of pixels: see `runs.cu`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .batch_norm import Moments, Norm, following
from .launch import arithmetic, blocks, counters, empty, empty_numbers, launch, scalar, vector
from .source import PRODUCTS_OF_RUNS, Runs, choose_run

if TYPE_CHECKING:
    from .convolution import MaskAndSum

Array = Any
DEPTH = 16  # channels at a time: as in runs.cu


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
    """Tiles of positions (each image has a column and a row of zeros more), and of columns."""
    images, height, width = shape[:3]
    positions = images * (height + 1) * (width + 1)
    return blocks(positions, engine.m), blocks(columns, engine.n)
