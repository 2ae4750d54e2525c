"""Convolution and its gradients: as implicit matrix products, or through columns in memory."""

from __future__ import annotations

from typing import Any

from ..checks import output_shape
from .columns import col2im, im2col
from .launch import blocks, empty, launch, type_name, vector
from .matmul import gemm, sum_parts
from .source import choose_tile, product

Array = Any
ALGORITHMS = ("auto", "direct", "im2col")
BLOCKS_WANTED = 512  # enough to fill a large GPU some times over
SHORTEST_PART = 256  # pixels that a block sums at least in the weight gradient


def by_columns(name: str, algorithm: str) -> bool:
    """Whether to make the columns in memory; refuses what is not there."""
    if algorithm not in ALGORITHMS:
        raise ValueError(
            f"{name}: on cuda, algorithm must be one of {', '.join(map(repr, ALGORITHMS))}, but is "
            f"{algorithm!r} (Winograd's is on the cpu alone)"
        )
    return algorithm == "im2col"


def conv2d(
    x: Array, weight: Array, *, stride: int = 1, padding: int = 0, algorithm: str = "auto"
) -> Array:
    """Convolve; "auto" is "direct", the implicit product."""
    kernel_size, filters = weight.shape[:2], weight.shape[3]
    if by_columns("conv2d", algorithm):
        columns = im2col(x, kernel_size=kernel_size, stride=stride, padding=padding)
        y = gemm(columns.reshape(1, -1, columns.shape[3]), weight.reshape(1, -1, filters))
        return y.reshape(*columns.shape[:3], filters)
    size = output_shape(x.shape, kernel_size, stride, padding)
    y = empty((len(x), *size, filters), x)
    pixels = len(x) * size[0] * size[1]
    values = vector(x, weight, y, sizes=(x.shape[3], filters))
    tile = choose_tile("conv2d", type_name(x), values, filters)
    launch(
        "convolution",
        product("conv2d", type_name(x), tile, values),
        (blocks(pixels, tile.m), blocks(filters, tile.n)),
        *(x, weight, y, pixels, *x.shape[1:], *size, filters, *map(int, kernel_size)),
        *(int(stride), int(padding)),
        threads=tile.threads,
    )
    return y


def conv2d_input_grad(
    dy: Array,
    weight: Array,
    *,
    x_shape: tuple[int, int, int, int],
    stride: int = 1,
    padding: int = 0,
    algorithm: str = "auto",
    addend: Array | None = None,
) -> Array:
    """Gradient of the input, plus `addend` (as x) if there is one."""
    kernel_size, filters = weight.shape[:2], weight.shape[3]
    if by_columns("conv2d_input_grad", algorithm):
        columns = gemm(
            dy.reshape(1, -1, filters), weight.reshape(1, -1, filters), b_transposed=True
        )
        geometry = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
        dx = col2im(columns.reshape(*dy.shape[:3], -1), x_shape=x_shape, **geometry)
        return dx if addend is None else dx + addend
    n, height, width, channels = x_shape
    dx = empty(x_shape, dy)
    values = vector(dy, weight, dx, addend, sizes=(channels, filters))
    tile = choose_tile("conv2d_input_grad", type_name(dy), values, channels)
    of_first_class = n * blocks(height, stride) * blocks(width, stride)
    launch(
        "convolution",
        product("conv2d_input_grad", type_name(dy), tile, values),
        (blocks(of_first_class, tile.m), blocks(channels, tile.n), int(stride) ** 2),
        *(dy, weight, addend, dx, *x_shape, *dy.shape[1:3], filters, *map(int, kernel_size)),
        *(int(stride), int(padding)),
        threads=tile.threads,
    )
    return dx


def conv2d_weight_grad(
    dy: Array,
    x: Array,
    *,
    kernel_size: tuple[int, int],
    stride: int = 1,
    padding: int = 0,
    algorithm: str = "auto",
) -> Array:
    """Gradient of the weight: parts over chunks of pixels, then their sum."""
    channels, filters = x.shape[3], dy.shape[3]
    if by_columns("conv2d_weight_grad", algorithm):
        columns = im2col(x, kernel_size=kernel_size, stride=stride, padding=padding)
        dweight = gemm(
            columns.reshape(1, -1, columns.shape[3]), dy.reshape(1, -1, filters), a_transposed=True
        )
        return dweight.reshape(*kernel_size, channels, filters)
    dweight = empty((*kernel_size, channels, filters), x)
    pixels, lines = dy.size // filters, dweight.size // filters
    values = vector(dy, x, dweight, sizes=(channels, filters))
    tile = choose_tile("conv2d_weight_grad", type_name(x), values, filters)
    tiles = blocks(lines, tile.m), blocks(filters, tile.n)
    part = pixels_of_a_part(pixels, tiles[0] * tiles[1], tile.k)
    parts = blocks(pixels, part)
    target = dweight if parts == 1 else empty((parts, *dweight.shape), x)
    launch(
        "convolution",
        product("conv2d_weight_grad", type_name(x), tile, values),
        (*tiles, parts),
        *(
            dy,
            x,
            target,
            pixels,
            part,
            *x.shape[1:],
            *dy.shape[1:3],
            filters,
            *map(int, kernel_size),
        ),
        *(int(stride), int(padding)),
        threads=tile.threads,
    )
    return dweight if parts == 1 else sum_parts(target, dweight)


def pixels_of_a_part(pixels: int, tiles: int, step: int) -> int:
    """How many pixels a block sums, by the shape alone: whole steps, and enough blocks."""
    pixels = max(1, pixels)  # a batch of no images: no part, but of some length
    parts = min(blocks(pixels, SHORTEST_PART), blocks(BLOCKS_WANTED, tiles))
    return blocks(blocks(pixels, parts), step) * step
