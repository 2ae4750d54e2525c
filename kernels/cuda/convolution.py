"""Convolution and its gradients: as implicit matrix products, or through columns in memory.

Besides the contract's functions there are those for `fused.py`: a convolution together with its
neighbours in a network.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..checks import output_shape
from ..devices import namespace
from .batch_norm import Moments, Norm, following
from .columns import col2im, im2col
from .launch import (
    PACKS,
    arithmetic,
    blocks,
    computed,
    counters,
    empty,
    empty_numbers,
    launch,
    scalar,
    type_name,
    vector,
)
from .matmul import gemm, space_for_parts
from .runs import conv3x3, conv3x3_input_grad, conv3x3_weight_grad, run_for, weight_run_for
from .source import (
    Engine,
    Large,
    LargeBfloat16Cores,
    choose_engine,
    product,
    resident_blocks,
)

Array = Any
ALGORITHMS = ("auto", "direct", "im2col")
LARGE_MAP = 1 << 18  # pixels of a result
SHORTEST_PART = 256  # the fewest pixels that a block sums in the weight gradient


MOST_TAPS = 15  # rows, and columns, of a kernel: as in convolution.cu


def by_columns(name: str, algorithm: str, kernel_size: tuple[int, ...]) -> bool:
    """Whether to make the columns in memory. ValueError for algorithms that cuda does not have."""
    if algorithm not in ALGORITHMS:
        raise ValueError(
            f"{name}: on cuda, algorithm must be one of {', '.join(map(repr, ALGORITHMS))}, but is "
            f"{algorithm!r} (Winograd's is on the cpu alone)"
        )
    return algorithm == "im2col" or max(kernel_size) > MOST_TAPS


def refuse_too_large(x_shape: tuple[int, ...], y_shape: tuple[int, ...], lines: int) -> None:
    """Refuse sizes that the kernels can't count in 32 bits.

    They count pixels, and values from the first image of a tile or a part on. `lines` are the
    pixels of y of a tile or a part.
    """
    images = lines // max(1, math.prod(y_shape[1:3])) + 2
    values = images * max(math.prod(x_shape[1:]), math.prod(y_shape[1:]))
    pixels = max(math.prod(x_shape[:3]), math.prod(y_shape[:3]))
    if max(values, pixels) >= 2**31:
        raise ValueError(
            f"convolution: {x_shape} to {y_shape} is too large for the kernels on cuda, which "
            "count pixels, and the values of an image, in 32 bits: cut the batch or the images"
        )


def conv2d(
    x: Array, weight: Array, *, stride: int = 1, padding: int = 0, algorithm: str = "auto"
) -> Array:
    """Convolve; "auto" is "direct", the implicit product."""
    kernel_size, filters = weight.shape[:2], weight.shape[3]
    if not by_columns("conv2d", algorithm, kernel_size):
        return convolve(x, weight, stride, padding)
    columns = im2col(x, kernel_size=kernel_size, stride=stride, padding=padding)
    y = gemm(columns.reshape(1, -1, columns.shape[3]), weight.reshape(1, -1, filters))
    return y.reshape(*columns.shape[:3], filters)


def convolve(
    x: Array,
    weight: Array,
    stride: int,
    padding: int,
    pending: Norm | None = None,
    moments: Moments | None = None,
) -> Array:
    """The implicit product of x, or of relu(pending(x)); takes the result's moments if wanted."""
    if run := run_for(x, weight, stride, padding):
        return conv3x3(run, x, weight, pending, moments)
    kernel_size, filters = weight.shape[:2], weight.shape[3]
    size = output_shape(x.shape, kernel_size, stride, padding)
    pixels = len(x) * size[0] * size[1]
    if pending is None and packs_pay(x, filters, pixels):
        x, weight = with_packs(x, x, 3), with_packs(weight, x, 2)
    y = empty((len(x), *size, filters), x)
    values = vector(x, weight, y, sizes=(x.shape[3], filters))
    engine = choose_engine("conv2d", arithmetic(x), values, pixels, filters)
    refuse_too_large(x.shape, y.shape, engine.m)
    tiles = blocks(pixels, engine.m), blocks(filters, engine.n)
    parts = (None, None)
    if moments:
        parts = empty_numbers((tiles[0], 2, filters), x), counters(x, tiles[1], tiles[0])
    launch(
        "convolution",
        product("conv2d", engine, values),
        grid_of(engine, tiles),
        *(x, as_read(engine, weight, x), y, *arrays_of(pending), *parts),
        *following(moments, pixels, x),
        scalar(pending.eps if pending else 0, x),
        *(pixels, *x.shape[1:], *size, filters, *map(int, kernel_size), int(stride), int(padding)),
        threads=engine.threads,
        shared=3 * x.shape[3] * computed(x).itemsize if pending else 0,
    )
    return y


def grid_of(engine: Engine, tiles: tuple[int, int]) -> tuple[int, int]:
    """The grid for tiles (down, across): a large engine has those that share pixels in a row."""
    return tiles[::-1] if isinstance(engine, Large) else tiles


def as_read(engine: Engine, weight: Array, x: Array) -> Array:
    """The weights, rounded to what maps are stored as if the engine reads them so."""
    return weight.astype(x.dtype) if isinstance(engine, LargeBfloat16Cores) else weight


def packs_pay(x: Array, filters: int, pixels: int) -> bool:
    """Whether it pays to widen the channels of x to whole packs, so that these are read."""
    pack = PACKS[type_name(x)]
    return x.shape[3] % pack != 0 and filters % pack == 0 and pixels >= LARGE_MAP


def with_packs(array: Array, x: Array, axis: int) -> Array:
    """A copy whose channels, along an axis, are filled up with zeros to whole packs of x."""
    channels, shape, pack = array.shape[axis], list(array.shape), PACKS[type_name(x)]
    shape[axis] = pack * blocks(channels, pack)
    wide = namespace(array).zeros(tuple(shape), array.dtype)
    wide[(slice(None),) * axis + (slice(channels),)] = array
    return wide


def arrays_of(norm: Norm | None) -> tuple[Array | None, ...]:
    return norm[:4] if norm else (None,) * 4


def conv2d_input_grad(
    dy: Array,
    weight: Array,
    *,
    x_shape: tuple[int, int, int, int],
    stride: int = 1,
    padding: int = 0,
    algorithm: str = "auto",
) -> Array:
    kernel_size, filters = weight.shape[:2], weight.shape[3]
    if not by_columns("conv2d_input_grad", algorithm, kernel_size):
        return input_grad(dy, weight, x_shape, stride, padding)
    columns = gemm(dy.reshape(1, -1, filters), weight.reshape(1, -1, filters), b_transposed=True)
    geometry: dict[str, Any] = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
    return col2im(columns.reshape(*dy.shape[:3], -1), x_shape=x_shape, **geometry)


class MaskAndSum(NamedTuple):
    """Mask dx and gather its sums: batch norm, of z, and ReLU made the convolution's input.

    The gradient passes where `y`, the convolution's input, is positive; without y, where `norm` of
    z is positive. The sums that the gradient of the batch norm needs go to `sums` (2, C).
    """

    z: Array
    mean: Array
    sums: Array
    y: Array | None = None
    norm: Norm | None = None


class ShortcutGrad(NamedTuple):
    """The gradient from shortcut A, of the pixels that it read with its stride."""

    grad: Array
    stride: int


def input_grad(
    dy: Array,
    weight: Array,
    x_shape: tuple[int, ...],
    stride: int,
    padding: int,
    shortcut: ShortcutGrad | None = None,
    mask: MaskAndSum | None = None,
) -> Array:
    """The implicit product, plus the gradient from a shortcut; masked and summed if wanted."""
    addend, addend_stride = shortcut or (None, 1)
    run = run_for(dy, weight, stride, padding, to_images=True)
    if run and mask and mask.norm and addend is None:
        return conv3x3_input_grad(run, dy, weight, mask, mask.norm)
    (n, height, width, channels), filters = x_shape, weight.shape[3]
    dx = empty(x_shape, dy)
    others = (addend, mask.z, mask.y) if mask else (addend,)
    sizes = (channels, filters) if addend is None else (channels, filters, addend.shape[3])
    values = vector(dy, weight, dx, *others, sizes=sizes)
    stride = int(stride)
    pixels = n * blocks(height, stride) * blocks(width, stride)  # of the first class
    engine = choose_engine("conv2d_input_grad", arithmetic(dy), values, pixels, channels)
    refuse_too_large(dy.shape, x_shape, engine.m * stride**2)
    grid = blocks(pixels, engine.m), blocks(channels, engine.n), stride**2
    parts = (None, None, None)
    if mask:
        count = grid[0] * grid[2]
        space = empty_numbers((count, 2, channels), dy)
        parts = space, counters(dy, grid[1], count), mask.sums
    launch(
        "convolution",
        product("conv2d_input_grad", engine, values),
        (*grid_of(engine, grid[:2]), grid[2]),
        *(dy, as_read(engine, weight, dy), dx, addend, int(addend_stride)),
        *(x_shape[1:] if addend is None else addend.shape[1:]),
        *((mask.z, mask.y, mask.mean) if mask else (None,) * 3),
        *arrays_of(mask.norm if mask else None)[1:],
        scalar(mask.norm.eps if mask and mask.norm else 0, dy),
        *parts,
        *(*x_shape, *dy.shape[1:3], filters, *map(int, weight.shape[:2]), stride, int(padding)),
        threads=engine.threads,
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
    if not by_columns("conv2d_weight_grad", algorithm, kernel_size):
        return weight_grad(dy, x, kernel_size, stride, padding)
    channels, filters = x.shape[3], dy.shape[3]
    columns = im2col(x, kernel_size=kernel_size, stride=stride, padding=padding)
    dweight = gemm(
        columns.reshape(1, -1, columns.shape[3]), dy.reshape(1, -1, filters), a_transposed=True
    )
    return dweight.reshape(*kernel_size, channels, filters)


def weight_grad(
    dy: Array,
    x: Array,
    kernel_size: tuple[int, ...],
    stride: int,
    padding: int,
    pending: Norm | None = None,
    grad_buffer: Array | None = None,
) -> Array:
    """The implicit product with x, or with relu(pending(x)), in parts over ranges of pixels."""
    channels, filters = x.shape[3], dy.shape[3]
    dweight = grad_buffer
    if dweight is None:
        dweight = empty_numbers((*kernel_size, channels, filters), x)
    if run := weight_run_for(dy, x, dweight, stride, padding):
        return conv3x3_weight_grad(run, dy, x, dweight, pending)
    pixels, lines = dy.size // filters, dweight.size // filters
    if pending is None and packs_pay(x, filters, pixels):
        wide = weight_grad(dy, with_packs(x, x, 3), kernel_size, stride, padding)
        dweight[...] = wide[:, :, :channels]
        return dweight
    values = vector(dy, x, dweight, sizes=(channels, filters))
    engine = choose_engine("conv2d_weight_grad", arithmetic(x), values, lines, filters, pixels)
    tiles = blocks(lines, engine.m), blocks(filters, engine.n)
    part = pixels_of_a_part(pixels, resident_blocks(engine) // (tiles[0] * tiles[1]), engine.k)
    parts = blocks(pixels, part)
    refuse_too_large(x.shape, dy.shape, part)
    if parts == 0:  # a batch of no images
        dweight.fill(0)
    launch(
        "convolution",
        product("conv2d_weight_grad", engine, values),
        (*tiles, parts),
        *(dy, x, dweight, *arrays_of(pending), scalar(pending.eps if pending else 0, x)),
        *space_for_parts(dweight, parts, tiles[0] * tiles[1]),
        *(pixels, part, *x.shape[1:], *dy.shape[1:3], filters, *map(int, kernel_size)),
        *(int(stride), int(padding)),
        threads=engine.threads,
    )
    return dweight


def pixels_of_a_part(pixels: int, blocks_wanted: int, step: int) -> int:
    """Pixels that a block sums, from the shape alone: whole steps, and enough blocks."""
    pixels = max(1, pixels)  # a batch of no images has no part, but a length
    parts = min(blocks(pixels, SHORTEST_PART), max(1, blocks_wanted))
    return blocks(blocks(pixels, parts), step) * step
