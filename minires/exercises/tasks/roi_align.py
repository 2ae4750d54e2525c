"""What is checked of RoI align and its gradient."""

import numpy as np

from ... import kernels
from ..task import Case, Exercise, Race, Task, numeric_gradient

MAP = ("row", "column", "channel")
BINS = ("bin row", "bin column", "channel")
ONE = np.zeros(1, np.int64)  # the only map of a batch

# map, box, bins, samples, note
REGIONS = (
    ((6, 5, 2), (0.9, 1.2, 3.7, 4.3), (2, 2), 1, ""),
    ((5, 7, 1), (1.3, 0.8, 4.3, 3.1), (2, 3), 2, "more bins across than down, one channel"),
    ((6, 5, 2), (2.1, 1.1, 3.6, 4.2), (3, 2), 2, "a box higher than wide"),
    ((4, 4, 3), (1.6, 1.4, 2.7, 2.2), (3, 3), 1, "bins smaller than a pixel: they share pixels"),
    ((5, 5, 1), (1.0, 1.0, 4.0, 4.0), (1, 1), 3, "whole numbers, a single bin"),
)


def forward_cases(rng):
    """A map each."""
    for shape, box, size, samples, note in REGIONS:
        arguments = {"x": rng.standard_normal(shape), "box": np.array(box), "size": size}
        yield Case({**arguments, "samples": samples}, note)


def grad_cases(rng):
    """A cotangent each."""
    for shape, box, size, samples, note in REGIONS:
        arguments = {"dy": rng.standard_normal((*size, shape[2])), "box": np.array(box)}
        yield Case({**arguments, "x_shape": shape, "samples": samples}, note)


def forward(x, box, size, samples):
    """The engine's, for one map and one box."""
    return kernels.roi_align(x[None], box[None], ONE, size=size, scale=1.0, sampling=samples)[0]


def gradient(dy, box, x_shape, samples):
    """By differences, at zero."""
    return numeric_gradient(lambda x: forward(x, box, dy.shape[:2], samples), np.zeros(x_shape), dy)


def backward(dy, box, x_shape, samples):
    """The engine's gradient, of which wrong ones are made."""
    settings = {"x_shape": (1, *x_shape), "scale": 1.0, "sampling": samples}
    return kernels.roi_align_grad(dy[None], box[None], ONE, **settings)[0]


def half_a_pixel(x, box, size, samples):
    """Everything lies half a pixel too far to the lower right: the middle of pixel i is at i + 1/2,
    so subtract 1/2."""
    return forward(x, box + 0.5, size, samples)


def rounded(x, box, size, samples):
    """The box's corners are rounded to whole pixels, as RoI pooling does: RoI align rounds
    nothing."""
    return forward(x, np.round(box), size, samples)


def one_sample(x, box, size, samples):
    """One point in the middle of each bin is taken: take samples * samples, and their mean."""
    return forward(x, box, size, 1)


def summed(x, box, size, samples):
    """The points of a bin are summed: take their mean."""
    return forward(x, box, size, samples) * samples**2


def divided_once(x, box, size, samples):
    """The sum over the points of a bin is divided by `samples`: there are samples * samples."""
    return forward(x, box, size, samples) * samples


def exchanged(x, box, size, samples):
    """Rows and columns are exchanged: x is along columns, y along rows, and a box is (x1, y1, x2,
    y2)."""
    return forward(x, box[[1, 0, 3, 2]], size, samples)


def points(box, size, samples):
    """(bin, row, column) of each point; rows and columns are not whole."""
    x1, y1, x2, y2 = box
    for p, q in np.ndindex(size):
        for k, m in np.ndindex(samples, samples):
            row = y1 + (p + (k + 0.5) / samples) * (y2 - y1) / size[0] - 0.5
            yield p, q, row, x1 + (q + (m + 0.5) / samples) * (x2 - x1) / size[1] - 0.5


def pixels(row, column, *, u=None, v=None):
    """The four around a point and their weights, or with other shares u and v."""
    i, j = int(row), int(column)
    u, v = row - i if u is None else u, column - j if v is None else v
    for a, over in ((i, 1 - u), (i + 1, u)):
        for b, across in ((j, 1 - v), (j + 1, v)):
            yield a, b, over * across


def read(x, box, size, samples, around):
    """y, by the pixels and weights that `around` has for a point."""
    y = np.zeros((*size, x.shape[2]))
    for p, q, row, column in points(box, size, samples):
        y[p, q] += sum(w * x[i, j] for i, j, w in around(row, column)) / samples**2
    return y


def spread(dy, box, x_shape, samples, around, *, add=True):
    """dx, likewise."""
    dx = np.zeros(x_shape)
    for p, q, row, column in points(box, dy.shape[:2], samples):
        for i, j, w in around(row, column):
            dx[i, j] = w * dy[p, q] / samples**2 + (dx[i, j] if add else 0)
    return dx


def nearest(row, column):
    """One pixel."""
    return [(int(row + 0.5), int(column + 0.5), 1.0)]


def lower(row, column):
    """The pixel above and to the left."""
    return [(int(row), int(column), 1.0)]


def swapped(row, column):
    """The far pixel gets the near one's share."""
    return pixels(row, column, u=1 - row % 1, v=1 - column % 1)


def nearest_pixel(x, box, size, samples):
    """The nearest pixel's value is taken: interpolate between the four around a point."""
    return read(x, box, size, samples, nearest)


def pixel_above(x, box, size, samples):
    """Row and column are cut off to whole numbers: interpolate between the four around a point."""
    return read(x, box, size, samples, lower)


def weights_swapped(x, box, size, samples):
    """The weights are swapped: a pixel that is u away has the weight 1 - u."""
    return read(x, box, size, samples, swapped)


def corners_of_bins(x, box, size, samples):
    """The points lie at the beginning of their parts of a bin, k * step / samples: they belong into
    the middle, (k + 1/2) * step / samples."""
    sides = (box[2:] - box[:2]) / np.array(size)[::-1] / samples
    return forward(x, box - np.tile(sides / 2, 2), size, samples)


def grad_half_a_pixel(dy, box, x_shape, samples):
    """Everything lies half a pixel too far to the lower right: the middle of pixel i is at i + 1/2,
    so subtract 1/2."""
    return backward(dy, box + 0.5, x_shape, samples)


def grad_one_sample(dy, box, x_shape, samples):
    """dy goes to the four pixels around the middle of each bin: it goes to those around each of the
    samples * samples points."""
    return backward(dy, box, x_shape, 1)


def grad_of_sum(dy, box, x_shape, samples):
    """dx is samples * samples times too large: y is a mean, so each point gets its share of dy."""
    return backward(dy, box, x_shape, samples) * samples**2


def grad_divided_once(dy, box, x_shape, samples):
    """dy is divided by `samples`: there are samples * samples points in a bin."""
    return backward(dy, box, x_shape, samples) * samples


def grad_exchanged(dy, box, x_shape, samples):
    """Rows and columns are exchanged: x is along columns, y along rows, and a box is (x1, y1, x2,
    y2)."""
    return backward(dy, box[[1, 0, 3, 2]], x_shape, samples)


def replaced(dy, box, x_shape, samples):
    """A pixel around several points keeps what the last one gives it: they add up (+= instead of
    =)."""
    return spread(dy, box, x_shape, samples, pixels, add=False)


def to_nearest(dy, box, x_shape, samples):
    """All of dy goes to the nearest pixel: share it among the four around the point, by the weights
    with which they were read."""
    return spread(dy, box, x_shape, samples, nearest)


def to_pixel_above(dy, box, x_shape, samples):
    """All of dy goes to the pixel above and to the left of a point: share it among the four around
    it, by the weights with which they were read."""
    return spread(dy, box, x_shape, samples, lower)


def grad_weights_swapped(dy, box, x_shape, samples):
    """The weights are swapped: a pixel that is u away has the weight 1 - u."""
    return spread(dy, box, x_shape, samples, swapped)


def without_weights(dy, box, x_shape, samples):
    """Each of the four pixels gets all of a point's share: multiply by the weights with which they
    were read, which add up to 1."""

    def all_alike(row, column):
        return [(i, j, 1.0) for i, j, _ in pixels(row, column)]

    return spread(dy, box, x_shape, samples, all_alike)


def quarters(dy, box, x_shape, samples):
    """The four pixels get a quarter each: their shares are the weights with which they were
    read."""

    def a_quarter(row, column):
        return [(i, j, 0.25) for i, j, _ in pixels(row, column)]

    return spread(dy, box, x_shape, samples, a_quarter)


def of_maps(rng):
    """For the race."""
    dy = rng.standard_normal((14, 14, 64), dtype=np.float32)
    box = np.array([3.2, 4.1, 30.6, 28.9], np.float32)
    return {"dy": dy, "box": box, "x_shape": (38, 50, 64), "samples": 2}


def with_kernels(module):
    """One map and one box, as the student has."""

    def run(dy, box, x_shape, samples):
        settings = {"x_shape": (1, *x_shape), "scale": 1.0, "sampling": samples}
        return module.roi_align_grad(dy[None], box[None], ONE, **settings)[0]

    return run


EXERCISE = Exercise(
    "roi_align",
    "RoI align's gradient",
    tasks=(
        Task(
            "roi_align",
            {"y": BINS},
            forward_cases,
            forward,
            mistakes={
                "y": (
                    half_a_pixel,
                    rounded,
                    one_sample,
                    summed,
                    divided_once,
                    exchanged,
                    nearest_pixel,
                    pixel_above,
                    weights_swapped,
                    corners_of_bins,
                )
            },
        ),
        Task(
            "roi_align_grad",
            {"dx": MAP},
            grad_cases,
            gradient,
            mistakes={
                "dx": (
                    grad_half_a_pixel,
                    grad_one_sample,
                    grad_of_sum,
                    grad_divided_once,
                    grad_exchanged,
                    replaced,
                    to_nearest,
                    to_pixel_above,
                    grad_weights_swapped,
                    without_weights,
                    quarters,
                )
            },
        ),
    ),
    hints=(
        "Write a helper that yields, for each point of each bin, the four pixels around it and "
        "their weights. Forward reads by it, backward writes by it.",
        "Row and column of a point have a whole part and a rest, np.divmod(row, 1). The rest is "
        "the weight of the farther pixel, 1 minus the rest that of the nearer one.",
        "Backward is the same loop with the two sides exchanged: where forward has y[p, q] += "
        "weight * x[i, j], there is dx[i, j] += weight * dy[p, q]. The mean's division is in both.",
    ),
    race=Race(
        "roi_align_grad",
        of_maps,
        reference=with_kernels(kernels.reference_regions),
        engine=with_kernels(kernels),
    ),
    after="The weight of a pixel is a weight of its row times one of its column. So a region is "
    "two small matrix products, down @ map @ across, and its gradient the same two transposed: "
    "kernels/reference_regions.py is written that way.",
)
