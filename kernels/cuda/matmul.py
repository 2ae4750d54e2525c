"""Matrix products of our own: neither cuBLAS nor its wheel of 444 MB is needed.

`MINIRES_CUBLAS=1` hands `matmul` to `cupy.matmul`, which needs cuBLAS; convolutions stay here.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..devices import namespace
from .launch import blocks, empty, launch, launch_over, type_name, vector
from .source import choose_tile, product

Array = Any
LONGEST_PART = 512  # terms that one block sums; a longer sum is cut, and its parts are then added


def matmul(a: Array, b: Array) -> Array:
    """Stacks of matrices (..., M, K) @ (..., K, N); the stacks broadcast."""
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(f"matmul: shapes {a.shape} and {b.shape} do not fit: inner sizes differ")
    if os.environ.get("MINIRES_CUBLAS") == "1":
        return namespace(a).matmul(a, b)
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (namespace(x).broadcast_to(x, (*stack, *x.shape[-2:])) for x in (a, b))
    a, a_transposed = as_stored(a)
    b, b_transposed = as_stored(b)
    if a_transposed and b_transposed:
        a, a_transposed = namespace(a).ascontiguousarray(a.swapaxes(-1, -2)), False
    return gemm(a, b, a_transposed, b_transposed)


def as_stored(x: Array) -> tuple[Array, bool]:
    """The matrices in the order they have in memory, and whether that is transposed."""
    if x.flags.c_contiguous:
        return x, False
    if x.swapaxes(-1, -2).flags.c_contiguous:
        return x.swapaxes(-1, -2), True
    return namespace(x).ascontiguousarray(x), False


def gemm(a: Array, b: Array, a_transposed: bool = False, b_transposed: bool = False) -> Array:
    """`a @ b` for C-contiguous stacks of the same length; a flag says that one is stored as its
    transpose. Long sums in a single product are cut into parts, by its shape alone."""
    k, m = a.shape[-2:] if a_transposed else a.shape[:-3:-1]
    n = b.shape[-2] if b_transposed else b.shape[-1]
    stack = a.shape[:-2]
    c = empty((*stack, m, n), a)
    if k == 0:
        c.fill(0)
        return c
    count = c.size // max(m * n, 1)
    values = vector(a, b, c, sizes=(m, n, k))
    tile = choose_tile("gemm", type_name(a), values, n)
    parts = blocks(k, LONGEST_PART) if count == 1 and a_transposed else 1
    part = blocks(blocks(k, parts), tile.k) * tile.k
    parts = blocks(k, part)
    target = c if parts == 1 else empty((parts, m, n), a)
    flags = f"{str(a_transposed).lower()}, {str(b_transposed).lower()}"
    launch(
        "gemm",
        product("gemm", type_name(a), tile, values, flags),
        (blocks(m, tile.m), blocks(n, tile.n), count * parts),
        *(a, b, target, m, n, k, m * k, k * n, part),
        threads=tile.threads,
    )
    return c if parts == 1 else sum_parts(target, c)


def sum_parts(parts: Array, total: Array) -> Array:
    """Add the parts of a sum, in their order."""
    kernel = f"sum_parts<{type_name(total)}>"
    launch_over(total.size, "gemm", kernel, parts, total, total.size, len(parts))
    return total
