"""Our own matrix products: cuBLAS, a wheel of 444 MB, is not needed.

With `MINIRES_CUBLAS=1`, `matmul` calls `cupy.matmul`, which needs cuBLAS; convolutions do not.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..devices import namespace
from .launch import arithmetic, blocks, counters, empty, launch, refuse_bfloat16, vector
from .source import choose_engine, product

Array = Any
MOST_AT_ONCE = 65_535  # products in a launch
GROUP = 16  # parts of a group; the groups' sums are added afterwards: as in product.cuh
LONGEST_PART = 512  # terms that one block sums; longer sums are cut into parts


def matmul(a: Array, b: Array) -> Array:
    """Stacks of matrices (..., M, K) @ (..., K, N); the stacks broadcast."""
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(f"matmul: shapes {a.shape} and {b.shape} do not fit: inner sizes differ")
    if os.environ.get("MINIRES_CUBLAS") == "1":
        return namespace(a).matmul(a, b)
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, a_transposed = as_stored(stacked(a, stack))
    b, b_transposed = as_stored(stacked(b, stack))
    if a_transposed and b_transposed:
        a, a_transposed = namespace(a).ascontiguousarray(a.swapaxes(-1, -2)), False
    c = gemm(a, b, a_transposed, b_transposed)
    return c.reshape(*stack, *c.shape[1:])


def stacked(x: Array, stack: tuple[int, ...]) -> Array:
    """The matrices of a stack as (count, rows, columns); a shared matrix has count 1."""
    matrix = x.shape[-2:]
    if x.ndim == 2 or x.shape[:-2] != stack:
        alone = all(size == 1 for size in x.shape[:-2])
        x = x.reshape(1, *matrix) if alone else namespace(x).broadcast_to(x, (*stack, *matrix))
    return x if x.ndim == 3 else x.reshape(-1, *matrix)


def as_stored(x: Array) -> tuple[Array, bool]:
    """The matrices as they are stored, and whether that is transposed."""
    if x.flags.c_contiguous:
        return x, False
    if x.swapaxes(-1, -2).flags.c_contiguous:
        return x.swapaxes(-1, -2), True
    return namespace(x).ascontiguousarray(x), False


def gemm(a: Array, b: Array, a_transposed: bool = False, b_transposed: bool = False) -> Array:
    """`a @ b` for C-contiguous stacks (count, rows, columns); a single matrix serves all products.

    The flags say that matrices are stored transposed. The long sum of a single product is cut into
    parts, which depend on the shape alone.
    """
    refuse_bfloat16("a matrix product", a)
    k, m = a.shape[1:] if a_transposed else a.shape[:0:-1]
    n = b.shape[1] if b_transposed else b.shape[2]
    count = max(len(a), len(b)) if len(a) and len(b) else 0
    c = empty((count, m, n), a)
    if k == 0:
        c.fill(0)
        return c
    values = vector(a, b, c, sizes=(m, n, k))
    engine = choose_engine("gemm", arithmetic(a), values, m, n)
    parts = blocks(k, LONGEST_PART) if count == 1 and a_transposed else 1
    part = blocks(blocks(k, parts), engine.k) * engine.k
    parts = blocks(k, part)
    tiles = blocks(m, engine.m), blocks(n, engine.n)
    flags = f"{str(a_transposed).lower()}, {str(b_transposed).lower()}"
    a_step, b_step = (0 if len(x) == 1 else x[0].size for x in (a, b))
    for first in range(0, count, MOST_AT_ONCE):
        launch(
            "gemm",
            product("gemm", engine, values, flags),
            (*tiles, min(count - first, MOST_AT_ONCE) * parts),
            *(a[first:] if a_step else a, b[first:] if b_step else b, c[first:]),
            *space_for_parts(c, parts, tiles[0] * tiles[1]),
            *(m, n, k, a_step, b_step, part),
            threads=engine.threads,
        )
    return c


def space_for_parts(total: Array, parts: int, tiles: int) -> tuple[Array | None, Array | None]:
    """Memory for the parts of a sum, and arrival counters; None for a single part."""
    if parts <= 1:
        return None, None
    return empty((parts, *total.shape), total), counters(total, tiles, parts, GROUP)
