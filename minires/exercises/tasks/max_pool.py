"""What is checked of max pooling."""

import numpy as np

from ... import kernels
from ..task import IMAGE, Case, Exercise, Race, Task, numeric_gradient
from .windows import crop, output_size, scatter, windows_of

GAP = 0.01  # between any two values: no ties within reach of the differences

# x shape, size, stride, padding, note
POOLS = (
    ((2, 6, 4, 3), 2, 2, 0, "windows side by side"),
    ((1, 5, 7, 1), 3, 2, 0, "overlapping windows, a batch of one"),
    ((2, 6, 8, 3), 3, 2, 1, "as in a ResNet's stem; the stride leaves rows over"),
    ((3, 4, 5, 2), 2, 3, 1, "stride larger than the window"),
    ((2, 5, 4, 3), 3, 1, 1, "stride 1"),
)


def inputs(rng):
    """Distinct values; then negative ones, which zeros would beat; then many ties."""
    for shape, size, stride, padding, note in POOLS:
        x = GAP * (rng.permutation(int(np.prod(shape))).reshape(shape) - np.prod(shape) / 2)
        yield x, size, stride, padding, note
    yield x - 10, size, stride, padding, "all of x is negative"
    yield rng.integers(0, 2, x.shape).astype(float), 2, 2, 0, "many equal values"


def forward_cases(rng):
    """x and the geometry."""
    return [
        Case({"x": x, "size": size, "stride": stride, "padding": padding}, note)
        for x, size, stride, padding, note in inputs(rng)
    ]


def grad_cases(rng):
    """With a random cotangent."""
    for x, size, stride, padding, note in inputs(rng):
        shape = (len(x), *output_size(x.shape, (size, size), stride, padding), x.shape[3])
        arguments = {"dy": rng.standard_normal(shape), "x": x, "size": size}
        yield Case({**arguments, "stride": stride, "padding": padding}, note)


def forward(x, size, stride, padding):
    """The engine's, result only."""
    return kernels.max_pool(x, size=size, stride=stride, padding=padding)[0]


def gradient(dy, x, size, stride, padding):
    """By differences; where there are ties, by the engine's convention."""
    if len(np.unique(x)) == x.size:
        return numeric_gradient(lambda x: forward(x, size, stride, padding), x, dy)
    return by_winner(dy, x, size, stride, padding)


def by_winner(dy, x, size, stride, padding):
    """With the engine's kernels."""
    geometry = {"size": size, "stride": stride, "padding": padding}
    _, argmax = kernels.max_pool(x, **geometry)
    return kernels.max_pool_grad(dy, argmax, x_shape=x.shape, **geometry)


def padded_with(value, x, padding):
    """Images with a border."""
    margin = (padding, padding)
    return np.pad(x, ((0, 0), margin, margin, (0, 0)), constant_values=value)


def zeros_win(x, size, stride, padding):
    """The padding is zeros, which win where all of x is negative: it should count as minus
    infinity."""
    return forward(padded_with(0.0, x, padding), size, stride, 0)


def average(x, size, stride, padding):
    """This is the average of each window: take its largest value."""
    return kernels.avg_pool(x, size=size, stride=stride, padding=padding)


def smallest(x, size, stride, padding):
    """This is the smallest value of each window: take the largest."""
    return -forward(-x, size, stride, padding)


def to_winners(dy, x, size, stride, padding, *, pad=-np.inf, share=False, add=True):
    """dy at every pixel of a window that equals its largest, put back in various ways."""
    padded = padded_with(pad, x, padding)
    y = forward(padded_with(pad, x, padding), size, stride, 0)
    places = windows_of(padded, (size, size), stride, dy.shape[1:3])
    equal = np.stack([window == y for _, _, window in places], axis=3)
    weights = equal / (equal.sum(3, keepdims=True) if share else 1)
    columns = (dy[:, :, :, None] * weights).reshape(*dy.shape[:3], -1)
    target = scatter(columns, x.shape, (size, size), stride, padding, add=add)
    return crop(target, x.shape, padding, padding)


def all_ties(dy, x, size, stride, padding):
    """Right where all values differ. Where several pixels of a window are equally large, each of
    them gets all of dy: only the first should."""
    return to_winners(dy, x, size, stride, padding)


def ties_share(dy, x, size, stride, padding):
    """Right where all values differ. Where several pixels of a window are equally large, they share
    dy: here the first of them gets it."""
    return to_winners(dy, x, size, stride, padding, share=True)


def last_of_ties(dy, x, size, stride, padding):
    """Right where all values differ. Where several pixels of a window are equally large, the last
    one gets dy: it should be the first, row by row."""
    padded = padded_with(-np.inf, x, padding)
    windows = [w for _, _, w in windows_of(padded, (size, size), stride, dy.shape[1:3])]
    stacked = np.stack(windows, axis=3)
    winner = size * size - 1 - stacked[:, :, :, ::-1].argmax(3)
    is_winner = winner[:, :, :, None] == np.arange(size * size)[:, None]
    columns = (dy[:, :, :, None] * is_winner).reshape(*dy.shape[:3], -1)
    return crop(scatter(columns, x.shape, (size, size), stride, padding), x.shape, padding, padding)


def overlaps_replaced(dy, x, size, stride, padding):
    """Where windows overlap, the last one replaces the others: a pixel that wins several times
    collects all their gradients (+= instead of =)."""
    padded = padded_with(-np.inf, x, padding)
    target = np.zeros(padded.shape)
    rows, cols = dy.shape[1:3]
    for r in range(rows):
        for c in range(cols):
            window = padded[:, r * stride :, c * stride :][:, :size, :size]
            flat = window.reshape(len(x), -1, x.shape[3])
            i, j = np.divmod(flat.argmax(1), size)
            n, k = np.indices(i.shape)
            target[n, r * stride + i, c * stride + j, k] = dy[:, r, c]
    return crop(target, x.shape, padding, padding)


def slice_replaced(dy, x, size, stride, padding):
    """Where windows overlap, the last one replaces the others, winner or not: add to what is there
    (+= instead of =)."""
    return to_winners(dy, x, size, stride, padding, add=False)


def to_everybody(dy, x, size, stride, padding):
    """Every pixel of a window gets dy: only its winner should, for y does not depend on the
    others."""
    share = size * size
    geometry = {"size": size, "stride": stride, "padding": padding}
    return share * kernels.avg_pool_grad(dy, x_shape=x.shape, **geometry)


def shared_equally(dy, x, size, stride, padding):
    """This is the gradient of average pooling: dy goes to the window's winner alone, undivided."""
    geometry = {"size": size, "stride": stride, "padding": padding}
    return kernels.avg_pool_grad(dy, x_shape=x.shape, **geometry)


def zeros_take(dy, x, size, stride, padding):
    """The padding is zeros, which win where all of x is negative and so take gradients away: it
    should count as minus infinity."""
    return crop(
        by_winner(dy, padded_with(0.0, x, padding), size, stride, 0), x.shape, padding, padding
    )


def winner_times_dy(dy, x, size, stride, padding):
    """dy is multiplied by the winner's value: the derivative of y by the winner is 1."""
    return by_winner(dy * forward(x, size, stride, padding), x, size, stride, padding)


def not_cropped_at_start(dy, x, size, stride, padding):
    """The padding is cut off at the end only, so dx is shifted: the pixel at row 0 of x lies at row
    `padding` of the padded image."""
    padded = padded_with(-1e9, x, padding)
    return crop(by_winner(dy, padded, size, stride, 0), x.shape, 0, 0)


def of_images(rng):
    """For the race."""
    x = rng.standard_normal((16, 32, 32, 16), dtype=np.float32)
    dy = rng.standard_normal((16, 16, 16, 16), dtype=np.float32)
    return {"dy": dy, "x": x, "size": 3, "stride": 2, "padding": 1}


def with_kernels(module):
    """Forward and backward, as the student's function has to do both."""

    def run(dy, x, size, stride, padding):
        geometry = {"size": size, "stride": stride, "padding": padding}
        _, argmax = module.max_pool(x, **geometry)
        return module.max_pool_grad(dy, argmax, x_shape=x.shape, **geometry)

    return run


EXERCISE = Exercise(
    "max_pool",
    "max pooling",
    tasks=(
        Task(
            "max_pool",
            {"y": IMAGE},
            forward_cases,
            forward,
            mistakes={"y": (zeros_win, average, smallest)},
        ),
        Task(
            "max_pool_grad",
            {"dx": IMAGE},
            grad_cases,
            gradient,
            mistakes={
                "dx": (
                    all_ties,
                    ties_share,
                    last_of_ties,
                    overlaps_replaced,
                    slice_replaced,
                    to_everybody,
                    shared_equally,
                    zeros_take,
                    winner_times_dy,
                    not_cropped_at_start,
                )
            },
        ),
    ),
    hints=(
        "Use the slices of im2col: padded[:, i : i + stride * OH : stride, ...] is what place (i, "
        "j) of all windows sees. The largest of size * size such arrays is y.",
        "Backward: place (i, j) has won where its slice equals y. Add dy there, to the same slice "
        "of a padded array of zeros, with +=, and cut the padding off at the end.",
        "For ties keep an array that says which windows have found their winner: a place wins only "
        "where it equals y and no earlier place has won.",
    ),
    race=Race(
        "max_pool_grad",
        of_images,
        reference=with_kernels(kernels.reference),
        engine=with_kernels(kernels),
    ),
    after="The engine writes down each window's winner in the forward pass (one small number a "
    "window), so it need not look for it again.",
)
