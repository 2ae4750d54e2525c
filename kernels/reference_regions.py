"""Regions of maps in plain NumPy: the reference of `contract/regions.py`, and the text to read.

RoI align is two small matrix products. A sample's bilinear weight is a weight of its row times one
of its column, and the samples of a bin form a grid: so the mean over a bin is `down @ map @
across`, where row i of a matrix holds what each pixel along one axis gives to bin i. The gradient
is the same with the matrices transposed.
"""

from __future__ import annotations

import numpy as np


def roi_align(x, boxes, images, *, size, scale, sampling=0, aligned=True):
    y = np.zeros((len(boxes), *size, x.shape[3]), x.dtype)
    for region, box, image in zip(y, boxes, images, strict=True):
        down, across = axis_weights(box, size, x.shape[1:3], scale, sampling, aligned, x.dtype)
        region[:] = np.einsum("ph,hwc,qw->pqc", down, x[image], across, optimize=True)
    return y


def roi_align_grad(dy, boxes, images, *, x_shape, scale, sampling=0, aligned=True):
    dx, size = np.zeros(x_shape, dy.dtype), dy.shape[1:3]
    for grad, box, image in zip(dy, boxes, images, strict=True):
        down, across = axis_weights(box, size, x_shape[1:3], scale, sampling, aligned, dy.dtype)
        dx[image] += np.einsum("ph,pqc,qw->hwc", down, grad, across, optimize=True)
    return dx


def axis_weights(box, size, map_size, scale, sampling, aligned, dtype):
    """What each row (P, H) and each column (Q, W) of the map gives to the bins of a box."""
    x1, y1, x2, y2 = box.astype(np.float64) * scale - (0.5 if aligned else 0.0)
    ends = ((y1, y2, size[0], map_size[0]), (x1, x2, size[1], map_size[1]))
    return [bin_weights(*end, sampling, aligned).astype(dtype) for end in ends]


def bin_weights(start, end, bins, pixels, sampling, aligned):
    """The share of each pixel of an axis in the mean over each bin, (bins, pixels)."""
    length = end - start if aligned else max(end - start, 1.0)
    step = length / bins
    count = sampling if sampling > 0 else int(np.ceil(step))
    weights = np.zeros((bins, pixels))
    for i in range(bins):
        for k in range(count):
            at = start + i * step + (k + 0.5) * step / count
            for pixel, weight in interpolation(at, pixels):
                weights[i, pixel] += weight / count
    return weights


def interpolation(at, pixels):
    """The two pixels around a place and their weights; none where it lies outside."""
    if at < -1 or at > pixels:
        return []
    at = min(max(at, 0.0), pixels - 1.0)
    low = int(at)
    return [(low, 1 - (at - low)), (min(low + 1, pixels - 1), at - low)]


def roi_max_pool(x, boxes, images, *, size, scale):
    """Bins one by one; Caffe's and torchvision's bounds, in whole numbers."""
    shape = (len(boxes), *size, x.shape[3])
    y, argmax = np.zeros(shape, x.dtype), np.full(shape, -1, np.int32)
    for r, (box, image) in enumerate(zip(boxes, images, strict=True)):
        left, top, right, bottom = map(int, half_away_from_zero(box.astype(np.float64) * scale))
        for p, (row1, row2) in enumerate(bin_edges(top, bottom, size[0], x.shape[1])):
            for q, (column1, column2) in enumerate(bin_edges(left, right, size[1], x.shape[2])):
                if row1 < row2 and column1 < column2:
                    window = x[image, row1:row2, column1:column2]
                    y[r, p, q], places = largest(window)
                    rows, columns = np.divmod(places, column2 - column1)
                    argmax[r, p, q] = (row1 + rows) * x.shape[2] + column1 + columns
    return y, argmax


def half_away_from_zero(values):
    """Whole numbers; NumPy's own `round` takes halves to the even side."""
    whole = np.trunc(values)
    return whole + np.sign(values) * (np.abs(values - whole) >= 0.5)


def bin_edges(first, last, bins, pixels):
    """(start, end) of each bin along one axis, cut to the map."""
    length = max(last - first + 1, 1)
    for i in range(bins):
        edges = first + i * length // bins, first - (-(i + 1) * length // bins)
        yield tuple(min(max(edge, 0), pixels) for edge in edges)


def largest(window):
    """The largest value of each channel of (h, w, C), and its place in row-major order."""
    flat = window.reshape(-1, window.shape[-1])
    places = flat.argmax(0)
    return np.take_along_axis(flat, places[None], 0)[0], places


def roi_max_pool_grad(dy, argmax, images, *, x_shape):
    dx = np.zeros((x_shape[0], x_shape[1] * x_shape[2], x_shape[3]), dy.dtype)
    region, _, _, channel = np.nonzero(argmax >= 0)
    taken = argmax >= 0
    np.add.at(dx, (np.asarray(images)[region], argmax[taken], channel), dy[taken])
    return dx.reshape(x_shape)


def nms(boxes, *, threshold):
    """Greedy: the first that is left stays, and suppresses what overlaps it."""
    left, kept = np.arange(len(boxes)), []
    boxes = boxes.astype(np.float64)
    while len(left):
        first, left = left[0], left[1:]
        kept.append(first)
        left = left[overlap(boxes[first], boxes[left]) <= threshold]
    return np.array(kept, np.int64)


def overlap(box, others):
    """Intersection over union of a box (4,) with others (N, 4); 0 where nothing is shared."""
    ends = np.minimum(box[2:], others[:, 2:])
    sides = np.maximum(ends - np.maximum(box[:2], others[:, :2]), 0)
    shared = sides[:, 0] * sides[:, 1]
    union = area(box) + area(others) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)


def area(boxes):
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
