"""Dots of pairs: AVX512-BF16, on processors without tiles (AMD's since Zen 4); maps in bfloat16.

One instruction, `vdpbf16ps`, multiplies 16 pairs of bfloat16 by as many others and adds both
products of a pair to a float32 (`dotted` in `simd.py`). So the register tile of `tile.py`, 16
positions x 16 channels of float32, is what a tile of sums is in `amx.py`. One step is two of the
sum: a pair of numbers of each position, in all lanes, times a row of the weight, which lies in
memory as it does for tiles.

    position p, pair k    x[2k]    x[2k+1]      x[2k]    x[2k+1]     ...   x[2k]     x[2k+1]
    row k of the weight   w[2k, 0] w[2k+1, 0]   w[2k, 1] w[2k+1, 1]  ...   w[2k, 15] w[2k+1, 15]

Strips, weights, borders and what is done to sums are those of tiles. Here is only what multiplies.

AMD's processors do as many such instructions as multiply-adds of float32 (others measured that:
CONTRIBUTING.md), so they multiply twice as fast. Intel's since Sapphire Rapids do one in two
cycles, a quarter as many, and multiply half as fast. So they have tiles, or else float32.
"""

from __future__ import annotations

import functools
import os

import llvmlite.binding as llvm

from ..checks import winograd_is_possible
from .amx import DEPTH, EDGE, PAIRS, SUMS
from .compiling import LANES, helper
from .memory import Shape
from .strips import run_start, steps
from .tile import (
    WIDE_ROWS,
    add_outer_product,
    add_wide_outer_product,
    load_tile,
    store_tile,
    store_wide_tile,
    zero_tile,
)

WINOGRAD = 64  # channels from which on its algorithm, in float32, is as fast


@functools.cache
def why_not() -> str:
    """Why maps in bfloat16 are not multiplied by dots here, or an empty string."""
    wish = os.environ.get("MINIRES_AVX512_BF16")
    if wish == "0":
        return "MINIRES_AVX512_BF16=0 is set"
    if not llvm.get_host_cpu_features().get("avx512bf16"):
        return "this processor has no AVX512-BF16"
    if LANES < EDGE:
        return "AVX512-BF16 goes with 16 lanes, but MINIRES_LANES=8 is set"
    fast = wish == "1" or llvm.get_host_cpu_name().startswith("znver")  # AMD's
    return "" if fast else "AVX512-BF16 is not known to be fast on this processor"


def are_fastest(weight_shape: Shape, stride: int, padding: int) -> bool:
    """Whether dots take less time than float32: not where Winograd's algorithm saves the most."""
    possible = winograd_is_possible(weight_shape, stride, padding)
    return not possible or min(weight_shape[2:]) < WINOGRAD


@helper
def multiply_positions(strip, w, s, p, count, wide, packed, at, tile, sums):
    """The sums of positions p .. p + count, and of one or two tiles of the weight, as tiles."""
    if wide == 1:
        for q in range(0, count, EDGE):
            store_tile(sixteen_positions(strip, w, s, p + q, packed, at), sums, q * EDGE, EDGE)
    else:
        for q in range(0, count, WIDE_ROWS):
            product = eight_positions(strip, w, s, p + q, packed, at, tile)
            store_wide_tile(product, sums, (q // EDGE * EDGE + q) * EDGE, EDGE, SUMS)


@helper
def sixteen_positions(strip, w, s, p, packed, at):
    """The windows at 16 positions times 16 channels of the weight."""
    tile, step = zero_tile(), w.stride * w.channels
    for i in range(w.kernel_rows):
        run = run_start(w, s, i, p)
        for k in range(0, w.kernel_cols * w.channels, 2):
            tile = add_outer_product(tile, strip, run + k, step, packed, at + k * EDGE)
        at += steps(w) * PAIRS
    return tile


@helper
def eight_positions(strip, w, s, p, packed, at, gap):
    """Those at 8 positions times 32 channels, the second 16 of them `gap` elements further."""
    tile, step = zero_tile(), w.stride * w.channels
    for i in range(w.kernel_rows):
        run = run_start(w, s, i, p)
        for k in range(0, w.kernel_cols * w.channels, 2):
            tile = add_wide_outer_product(tile, strip, run + k, step, packed, at + k * EDGE, gap)
        at += steps(w) * PAIRS
    return tile


@helper
def add_unit(a, at, blocks, b, first, width, total, to):
    """Add a tile, of 16 channels of dy and a unit (see `amx_gradients.py`), to a partial sum."""
    tile = load_tile(total, to, EDGE)
    for block in range(blocks):
        for k in range(0, DEPTH, 2):
            j = first + (block * DEPTH + k) * width
            tile = add_outer_product(tile, a, at + block * PAIRS + k, DEPTH, b, j)
    store_tile(tile, total, to, EDGE)
