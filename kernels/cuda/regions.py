"""RoI align, RoI max pooling, their gradients, and suppression of boxes.

The bins of all regions are worked out first, along each axis on its own: which pixels a bin reads,
and for RoI align their weights. The kernels over pixels then only look them up.
"""

from __future__ import annotations

from typing import Any

from ..devices import namespace
from ..dtypes import is_bfloat16
from .launch import blocks, empty, launch, launch_over, type_name, vector

Array = Any
Shape = tuple[int, ...]
GROUP = 64  # in `regions.cu`


def roi_align(
    x: Array,
    boxes: Array,
    images: Array,
    *,
    size: tuple[int, int],
    scale: float,
    sampling: int = 0,
    aligned: bool = True,
) -> Array:
    y = empty((len(boxes), *size, x.shape[3]), x)
    axes = align_axes(boxes, size, x.shape, scale, sampling, aligned)
    pool("roi_align", (x,), (whole(images), *axes, y), x.shape[0], x.shape, size)
    return y


def roi_align_grad(
    dy: Array,
    boxes: Array,
    images: Array,
    *,
    x_shape: Shape,
    scale: float,
    sampling: int = 0,
    aligned: bool = True,
) -> Array:
    dx, size = empty(x_shape, dy), dy.shape[1:3]
    axes = align_axes(boxes, size, x_shape, scale, sampling, aligned)
    pool("roi_align_grad", (dy,), (whole(images), *axes, dx), len(dy), x_shape, size)
    return dx


def align_axes(
    boxes: Array, size: Shape, x_shape: Shape, scale: float, sampling: int, aligned: bool
) -> list[Array]:
    """Weights and reach of each bin, down and across the map."""
    refuse_bfloat16(boxes)
    results, settings = [], (float(scale), int(sampling), bool(aligned))
    for axis in (1, 0):
        bins, pixels = size[1 - axis], x_shape[2 - axis]
        weights = empty((len(boxes), bins, pixels), boxes)
        reach = empty_reach(boxes, bins)
        arguments = (boxes, weights, reach, weights.size, axis, bins, pixels, *settings)
        launch_over(weights.size, "regions", f"align_axis<{type_name(boxes)}>", *arguments)
        results += [weights, reach]
    return results


def roi_max_pool(
    x: Array, boxes: Array, images: Array, *, size: tuple[int, int], scale: float
) -> tuple[Array, Array]:
    refuse_bfloat16(boxes)
    y = empty((len(boxes), *size, x.shape[3]), x)
    argmax, axes = namespace(x).empty(y.shape, "int32"), []
    for axis in (1, 0):
        bins, pixels = size[1 - axis], x.shape[2 - axis]
        axes.append(reach := empty_reach(boxes, bins))
        arguments = (boxes, reach, reach.size // 2, axis, bins, pixels, float(scale))
        launch_over(reach.size // 2, "regions", f"max_pool_axis<{type_name(boxes)}>", *arguments)
    pool("roi_max_pool", (x,), (whole(images), *axes, y, argmax), x.shape[0], x.shape, size)
    return y, argmax


def roi_max_pool_grad(dy: Array, argmax: Array, images: Array, *, x_shape: Shape) -> Array:
    refuse_bfloat16(dy)
    dx, size, argmax = empty(x_shape, dy), dy.shape[1:3], argmax.astype("int32", copy=False)
    axes = [reach_of_winners(argmax, x_shape[2], down=down) for down in (True, False)]
    pool("roi_max_pool_grad", (dy, argmax), (whole(images), *axes, dx), len(dy), x_shape, size)
    return dx


def reach_of_winners(argmax: Array, width: int, *, down: bool) -> Array:
    """The rows, or columns, of the map from where to where a line of bins has its winners."""
    regions, rows, columns, channels = argmax.shape
    bins, runs, length = (rows, 1, columns * channels) if down else (columns, rows, channels)
    reach = empty_reach(argmax, bins)
    kernel = f"winners_axis<{str(down).lower()}>"
    sizes = regions * bins, bins, runs, length, columns * channels, width
    launch_over(32 * regions * bins, "regions", kernel, argmax, reach, *sizes)
    return reach


def pool(
    name: str,
    sources: tuple[Array, ...],
    rest: tuple[Array, ...],
    n: int,
    x_shape: Shape,
    size: Shape,
) -> None:
    """Launch a kernel with a thread for each pack of the result's channels.

    `n` is the number of images of x, or for a gradient of regions; the result is the first of
    `rest` with four axes.
    """
    result = next(array for array in rest if array.ndim == 4)
    packed = (*sources, *(array for array in rest if array.ndim == 4))
    values = vector(*packed, sizes=(x_shape[3],))
    kernel = f"{name}<{type_name(sources[0])}, {values}>"
    sizes = (result.size, n, *x_shape[1:], *map(int, size))
    launch_over(result.size // values, "regions", kernel, *sources, *rest, *sizes)


def nms(boxes: Array, *, threshold: float) -> Array:
    """Waits for the GPU: how many boxes stay decides the size of the result."""
    refuse_bfloat16(boxes)
    xp, count = namespace(boxes), len(boxes)
    words = blocks(count, GROUP)
    overlaps, gone = xp.empty((words, count), "uint64"), xp.zeros(words, "uint64")
    kept, kept_count = xp.empty(count, "int64"), xp.empty(1, "int64")
    kernel, sizes = f"overlaps_of_boxes<{type_name(boxes)}>", (count, words)
    launch_over(overlaps.size, "regions", kernel, boxes, overlaps, *sizes, float(threshold))
    launch("regions", "unsuppressed<256>", (1,), overlaps, gone, kept, kept_count, *sizes)
    return kept[: int(kept_count[0])].copy()


def empty_reach(like: Array, bins: int) -> Array:
    """(R, bins, 2), for the first and the end of what each bin reads."""
    return namespace(like).empty((len(like), bins, 2), "int32")


def whole(images: Array) -> Array:
    """Numbers of images with 64 bits, as the kernels read them."""
    return images.astype("int64", copy=False)


def refuse_bfloat16(array: Array) -> None:
    """Refuse maps in bfloat16: there are no kernels for them."""
    if is_bfloat16(array.dtype):
        raise ValueError(
            "regions of maps in bfloat16 can't be pooled, nor boxes in bfloat16 suppressed: "
            "convert with .astype(np.float32)"
        )
