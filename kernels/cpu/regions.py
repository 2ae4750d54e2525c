"""RoI align, RoI max pooling, and suppression of boxes.

The samples of a bin form a grid, so a pixel's weight in its mean is a weight of its row times one
of its column: each pixel is read once a bin, however many samples touch it. In (H, W, C) a pixel is
a run of channels, which vectors walk. A chunk of the forward pass is a row of bins. Backward, a
chunk owns some channels of an image's gradient and walks all regions in order: nothing is written
by two threads, and bits do not depend on their number. There RoI align deals a row of bins out to
a line of pixels first, across, and the line to the rows of the map then, down.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import prange

from .compiling import LANES, helper, kernel, parallel_kernel
from .dealing import dealt, divided
from .memory import Array, Ints, Shape, empty, scratch
from .pooling import keep_larger
from .simd import broadcast, fma, load, load_lanes, pointer, store, store_lanes

WIDE = 128  # channels of a chunk, backward: eight cache lines of a bin are read at once
GROUP = 64  # boxes that are compared with one before it is known whether one of them suppresses it

# ------------------------------------------------------------------------ RoI align


def roi_align(
    x: Array,
    boxes: Array,
    images: Ints,
    *,
    size: tuple[int, int],
    scale: float,
    sampling: int = 0,
    aligned: bool = True,
) -> Array:
    y = empty((len(boxes), *size, x.shape[3]))
    axes = both_axes(boxes, size, x.shape, scale, sampling, aligned)
    align_kernel(x, images.astype(np.int64), *axes, y)
    return y


def roi_align_grad(
    dy: Array,
    boxes: Array,
    images: Ints,
    *,
    x_shape: Shape,
    scale: float,
    sampling: int = 0,
    aligned: bool = True,
) -> Array:
    dx = np.zeros(x_shape, np.float32)
    axes = both_axes(boxes, dy.shape[1:3], x_shape, scale, sampling, aligned)
    align_grad_kernel(dy, images.astype(np.int64), *axes, dx)
    return dx


def both_axes(
    boxes: Array, size: Shape, x_shape: Shape, scale: float, sampling: int, aligned: bool
) -> tuple[Any, ...]:
    """Weights and reach of each bin, down and across the map."""
    corners = np.ascontiguousarray(boxes, np.float64) * scale - (0.5 if aligned else 0.0)
    results = []
    for axis in (1, 0):
        bins, pixels = size[1 - axis], x_shape[2 - axis]
        weights = np.zeros((len(boxes), bins, pixels), np.float32)
        reach = np.zeros((len(boxes), bins, 2), np.int64)
        ends = np.ascontiguousarray(corners[:, [axis, axis + 2]])
        axis_kernel(ends, int(sampling), bool(aligned), weights, reach)
        results += [weights, reach]
    return tuple(results)


@kernel
def axis_kernel(ends, sampling, aligned, weights, reach):
    """What each pixel of an axis gives to each bin, (R, bins, pixels), and from where to where."""
    bins, pixels = weights.shape[1:]
    shares = np.empty(pixels)
    for r in range(len(ends)):
        length = ends[r, 1] - ends[r, 0]
        if not aligned:
            length = max(length, 1.0)
        step = length / bins
        count = sampling if sampling > 0 else math.ceil(step)
        for i in range(bins):
            shares[:] = 0.0
            low, high = pixels, 0
            for k in range(count):
                at = ends[r, 0] + i * step + (k + 0.5) * step / count
                if -1.0 <= at <= pixels:
                    at = min(max(at, 0.0), pixels - 1.0)
                    first = int(at)
                    second = min(first + 1, pixels - 1)
                    shares[first] += (1 - (at - first)) / count
                    shares[second] += (at - first) / count
                    low, high = min(low, first), max(high, second + 1)
            reach[r, i, 0], reach[r, i, 1] = low, high
            for pixel in range(low, high):
                weights[r, i, pixel] = shares[pixel]


@helper
def terms_of_bin(r, p, q, down, rows, across, columns, x_shape, offsets, weights):
    """The pixels of a bin, as floats from the start of the batch's image, and their weights."""
    count = 0
    for h in range(rows[r, p, 0], rows[r, p, 1]):
        for w in range(columns[r, q, 0], columns[r, q, 1]):
            offsets[count] = (h * x_shape[2] + w) * x_shape[3]
            weights[count] = down[r, p, h] * across[r, q, w]
            count += 1
    return count


@helper
def longest_reach(r, rows, columns):
    """The most pixels that a bin of a region reads."""
    high, wide = 0, 0
    for p in range(rows.shape[1]):
        high = max(high, rows[r, p, 1] - rows[r, p, 0])
    for q in range(columns.shape[1]):
        wide = max(wide, columns[r, q, 1] - columns[r, q, 0])
    return high * wide


@parallel_kernel
def align_kernel(x, images, down, rows, across, columns, y):
    """A chunk is a row of bins of a region."""
    bins = y.shape[1]
    work = divided(len(y) * bins)
    for thread in prange(len(work)):
        for task in dealt(work, thread):
            r, p = divmod(task, bins)
            room = longest_reach(r, rows, columns)
            offsets, weights = np.empty(room, np.int64), np.empty(room, np.float32)
            source, target = pointer(x[images[r]]), pointer(y[r, p])
            channels = y.shape[3]
            for q in range(y.shape[2]):
                count = terms_of_bin(
                    r, p, q, down, rows, across, columns, x.shape, offsets, weights
                )
                for k in range(0, channels, LANES):
                    total = broadcast(np.float32(0))
                    for t in range(count):
                        value = load_lanes(source, offsets[t] + k, channels - k)
                        total = fma(broadcast(weights[t]), value, total)
                    store_lanes(total, target, q * channels + k, channels - k)


@parallel_kernel
def align_grad_kernel(dy, images, down, rows, across, columns, dx):
    """A chunk is an image and some channels of its gradient, to which no other one writes."""
    channels = dx.shape[3]
    blocks = (channels + WIDE - 1) // WIDE
    work = divided(len(dx) * blocks)
    for thread in prange(len(work)):
        for task in dealt(work, thread):
            n, block = divmod(task, blocks)
            begin, end = block * WIDE, min(channels, (block + 1) * WIDE)
            line = scratch(dx.shape[2] * WIDE)
            for r in range(len(dy)):
                if images[r] == n:
                    for p in range(dy.shape[1]):
                        low, high = deal_across(dy[r, p], across[r], columns[r], begin, end, line)
                        for h in range(rows[r, p, 0], rows[r, p, 1]):
                            deal_down(line, low, high, down[r, p, h], dx[n, h], begin, end)


@helper
def deal_across(dy, across, columns, begin, end, line):
    """Give a row of bins to the pixels of a line; returns from where to where they lie."""
    low, high = columns[:, 0].min(), columns[:, 1].max()
    line[low * WIDE : high * WIDE] = 0.0
    sums = pointer(line)
    for q in range(len(dy)):
        grad = pointer(dy[q])
        for w in range(columns[q, 0], columns[q, 1]):
            weight, place = broadcast(across[q, w]), w * WIDE - begin
            for k in range(begin, end, LANES):
                total = fma(weight, load_lanes(grad, k, end - k), load(sums, place + k))
                store(total, sums, place + k)
    return low, high


@helper
def deal_down(line, low, high, share, dx, begin, end):
    """Add a line, times its share, to a row of the map."""
    sums, target, weight = pointer(line), pointer(dx), broadcast(share)
    for w in range(low, high):
        place, to = w * WIDE - begin, w * dx.shape[1]
        for k in range(begin, end, LANES):
            before = load_lanes(target, to + k, end - k)
            total = fma(weight, load(sums, place + k), before)
            store_lanes(total, target, to + k, end - k)


# ------------------------------------------------------------------------ RoI max pooling


def roi_max_pool(
    x: Array, boxes: Array, images: Ints, *, size: tuple[int, int], scale: float
) -> tuple[Array, Ints]:
    y = np.zeros((len(boxes), *size, x.shape[3]), np.float32)
    argmax = np.full(y.shape, -1, np.int32)
    corners = boxes.astype(np.float64) * scale
    pool_kernel(x, corners, images.astype(np.int64), y, argmax)
    return y, argmax


def roi_max_pool_grad(dy: Array, argmax: Ints, images: Ints, *, x_shape: Shape) -> Array:
    dx = np.zeros(x_shape, np.float32)
    places = np.ascontiguousarray(argmax, np.int32)
    pixels = dx.reshape(x_shape[0], x_shape[1] * x_shape[2], x_shape[3])
    pool_grad_kernel(dy, places, images.astype(np.int64), pixels)
    return dx


@helper
def rounded(value):
    """To a whole number, halves away from zero."""
    whole = math.trunc(value)
    if abs(value - whole) < 0.5:
        return int(whole)
    return int(whole + math.copysign(1.0, value))


@helper
def edges(first, last, i, bins, pixels):
    """(start, end) of bin i along one axis, in whole numbers, cut to the map."""
    length = max(last - first + 1, 1)
    start, end = first + i * length // bins, first + ((i + 1) * length + bins - 1) // bins
    return min(max(start, 0), pixels), min(max(end, 0), pixels)


@parallel_kernel
def pool_kernel(x, corners, images, y, argmax):
    """A chunk is a row of bins of a region."""
    height, width = x.shape[1:3]
    work = divided(y.shape[0] * y.shape[1])
    for thread in prange(len(work)):
        for task in dealt(work, thread):
            r, p = divmod(task, y.shape[1])
            left, right = rounded(corners[r, 0]), rounded(corners[r, 2])
            top, bottom = rounded(corners[r, 1]), rounded(corners[r, 3])
            row1, row2 = edges(top, bottom, p, y.shape[1], height)
            for q in range(y.shape[2]):
                column1, column2 = edges(left, right, q, y.shape[2], width)
                if row1 < row2 and column1 < column2:
                    y[r, p, q, :] = np.float32(-np.inf)
                    argmax[r, p, q, :] = np.int32(row1 * width + column1)
                for h in range(row1, row2):
                    for w in range(column1, column2):
                        place = np.int32(h * width + w)
                        keep_larger(x[images[r], h, w], place, y[r, p, q], argmax[r, p, q])


@parallel_kernel
def pool_grad_kernel(dy, argmax, images, dx):
    """As in `align_grad_kernel`; dx is (N, pixels, C)."""
    channels = dx.shape[2]
    blocks = (channels + WIDE - 1) // WIDE
    work = divided(len(dx) * blocks)
    for thread in prange(len(work)):
        for task in dealt(work, thread):
            n, block = divmod(task, blocks)
            begin, end = block * WIDE, min(channels, (block + 1) * WIDE)
            for r in range(len(dy)):
                if images[r] == n:
                    for p in range(dy.shape[1]):
                        for q in range(dy.shape[2]):
                            for c in range(begin, end):
                                place = argmax[r, p, q, c]
                                if place >= 0:
                                    dx[n, place, c] += dy[r, p, q, c]


# ------------------------------------------------------------------------ suppression


def nms(boxes: Array, *, threshold: float) -> Ints:
    kept = np.empty(len(boxes), np.int64)
    columns = np.ascontiguousarray(boxes.astype(np.float64).T)
    return kept[: nms_kernel(columns, float(threshold), kept)].copy()


@kernel
def nms_kernel(columns, threshold, kept):
    """Each box against those that stay so far, whose corners lie side by side; returns how many."""
    count = 0
    staying = np.empty((5, columns.shape[1]))
    for i in range(columns.shape[1]):
        x1, y1, x2, y2 = columns[0, i], columns[1, i], columns[2, i], columns[3, i]
        box = (x1, y1, x2, y2, (x2 - x1) * (y2 - y1))
        suppressed = False
        for start in range(0, count, GROUP):
            end = min(start + GROUP, count)
            if overlap_nearly(box, staying, start, end, threshold):
                suppressed = suppressed or overlap_more(box, staying, start, end, threshold)
        if not suppressed:
            for k in range(5):
                staying[k, count] = box[k]
            kept[count] = i
            count += 1
    return count


@helper
def overlap_nearly(box, staying, start, end, threshold):
    """Whether one of a group may overlap a box by more than the threshold: vectors, no division."""
    x1, y1, x2, y2, area = box
    near, hits = threshold * (1 - 1e-9), 0
    for j in range(start, end):
        width = max(min(x2, staying[2, j]) - max(x1, staying[0, j]), 0.0)
        height = max(min(y2, staying[3, j]) - max(y1, staying[1, j]), 0.0)
        shared = width * height
        hits += shared >= near * (area + staying[4, j] - shared)
    return hits > 0


@helper
def overlap_more(box, staying, start, end, threshold):
    """Whether one of a group overlaps a box by more than the threshold."""
    x1, y1, x2, y2, area = box
    for j in range(start, end):
        width = min(x2, staying[2, j]) - max(x1, staying[0, j])
        height = min(y2, staying[3, j]) - max(y1, staying[1, j])
        if width > 0 and height > 0:
            shared = width * height
            if shared / (area + staying[4, j] - shared) > threshold:
                return True
    return False
