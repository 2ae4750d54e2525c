"""Pooling and its gradients."""

from __future__ import annotations

from typing import Any

from ..checks import output_shape
from ..devices import namespace
from .launch import empty, empty_numbers, launch_over, type_name, vector

Array = Any
Shape = tuple[int, int, int, int]


def max_pool(x: Array, *, size: int, stride: int, padding: int = 0) -> tuple[Array, Array]:
    y = empty(result_shape(x.shape, size, stride, padding), x)
    argmax = namespace(x).empty(y.shape, "int32")
    pool(
        "max_pool",
        x,
        y,
        argmax,
        values=vector(x, y, argmax, sizes=(x.shape[3],)),
        count=y.size,
        shapes=(x.shape, y.shape),
        window=(size, stride, padding),
    )
    return y, argmax


def max_pool_grad(
    dy: Array, argmax: Array, *, x_shape: Shape, size: int, stride: int, padding: int = 0
) -> Array:
    """Each dy goes to its window's winner."""
    dx = empty(x_shape, dy)
    argmax = argmax.astype("int32", copy=False)
    pool(
        "max_pool_grad",
        dy,
        argmax,
        dx,
        values=vector(dy, argmax, dx, sizes=(x_shape[3],)),
        count=dx.size,
        shapes=(x_shape, dy.shape),
        window=(size, stride, padding),
    )
    return dx


def avg_pool(x: Array, *, size: int, stride: int, padding: int = 0) -> Array:
    y = empty(result_shape(x.shape, size, stride, padding), x)
    pool("avg_pool", x, y, count=y.size, shapes=(x.shape, y.shape), window=(size, stride, padding))
    return y


def avg_pool_grad(dy: Array, *, x_shape: Shape, size: int, stride: int, padding: int = 0) -> Array:
    dx = empty(x_shape, dy)
    pool(
        "avg_pool_grad",
        dy,
        dx,
        count=dx.size,
        shapes=(x_shape, dy.shape),
        window=(size, stride, padding),
    )
    return dx


def result_shape(x_shape: Shape, size: int, stride: int, padding: int) -> Shape:
    """(N, OH, OW, C)."""
    return x_shape[0], *output_shape(x_shape, (size, size), stride, padding), x_shape[3]


def pool(
    name: str,
    *arrays: Array,
    count: int,
    shapes: tuple[Shape, Shape],
    window: tuple[int, int, int],
    values: int | None = None,
) -> None:
    """Launch a kernel with a thread for each of `count` results, or for each pack of `values`.

    `shapes` are those of x and y.
    """
    sizes = (*shapes[0][1:], *shapes[1][1:3], *map(int, window))
    kernel = f"{name}<{type_name(arrays[0])}{f', {values}' if values else ''}>"
    launch_over(count // (values or 1), "pooling", kernel, *arrays, count, *sizes)


def global_avg_pool(x: Array) -> Array:
    n, height, width, channels = x.shape
    y = empty_numbers((n, channels), x)
    kernel = f"global_avg_pool<{type_name(x)}>"
    launch_over(y.size, "pooling", kernel, x, y, y.size, height * width, channels)
    return y


def global_avg_pool_grad(dy: Array, *, x_shape: Shape) -> Array:
    dx = empty(x_shape, dy)
    kernel = f"global_avg_pool_grad<{type_name(dy)}>"
    sizes = dx.size, x_shape[1] * x_shape[2], x_shape[3]
    launch_over(dx.size, "pooling", kernel, dy, dx, *sizes)
    return dx
