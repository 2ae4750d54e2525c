"""im2col and col2im: columns in memory."""

from __future__ import annotations

from typing import Any

from ..checks import output_shape
from .launch import empty, launch_over, refuse_bfloat16, type_name, vector

Array = Any


def im2col(x: Array, *, kernel_size: tuple[int, int], stride: int = 1, padding: int = 0) -> Array:
    n, _, _, channels = x.shape
    size = output_shape(x.shape, kernel_size, stride, padding)
    columns = empty((n, *size, kernel_size[0] * kernel_size[1] * channels), x)
    copy("im2col", x, columns, columns.size, x.shape, size, kernel_size, stride, padding)
    return columns


def col2im(
    columns: Array,
    *,
    x_shape: tuple[int, int, int, int],
    kernel_size: tuple[int, int],
    stride: int = 1,
    padding: int = 0,
) -> Array:
    x = empty(x_shape, columns)
    size = output_shape(x_shape, kernel_size, stride, padding)
    copy("col2im", columns, x, x.size, x_shape, size, kernel_size, stride, padding)
    return x


def copy(
    name: str,
    source: Array,
    target: Array,
    count: int,
    x_shape: tuple[int, ...],
    size: tuple[int, int],
    kernel_size: tuple[int, int],
    stride: int,
    padding: int,
) -> None:
    """Launch either kernel, with a thread for every value of the target, or for every four."""
    refuse_bfloat16(name, source)
    values = vector(source, target, sizes=x_shape[3:])
    geometry = (*x_shape[1:], *size, *map(int, kernel_size), int(stride), int(padding))
    count //= values
    kernel = f"{name}<{type_name(source)}, {values}>"
    launch_over(count, "columns", kernel, source, target, count, *geometry)
