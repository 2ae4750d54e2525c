"""What is checked of mean and variance in one pass."""

import numpy as np

from ..task import AWKWARD_IMAGES, CHANNEL, Case, Exercise, Task

PER_CHANNEL = (0, 1, 2)
FAR = 1e7  # a mean, of values whose spread is about 1


def merge_cases(rng):
    """Chunks of different sizes, one of them empty, and means that are far from zero."""
    for sizes, channels, offset, note in (
        ((5, 3), 4, 0, ""),
        ((7, 1), 1, 3, "a chunk of one pixel"),
        ((0, 6), 3, 0, "chunk a is empty"),
        ((4, 9), 2, FAR, "the means are near 1e7"),
    ):
        case = {}
        for name, size in zip("ab", sizes, strict=True):
            values = offset + 2 * rng.standard_normal() + rng.standard_normal((size, channels))
            mean, var = (values.mean(0), values.var(0)) if size else np.zeros((2, channels))
            case |= {f"n_{name}": size, f"mean_{name}": mean, f"var_{name}": var}
        yield Case(case, note)


def moments_cases(rng):
    """Chunks that fit into x and ones that do not; neighbouring pixels are alike."""
    for shape, pixels, offset, note in (
        (AWKWARD_IMAGES[0], 8, 0, ""),
        (AWKWARD_IMAGES[1], 7, 2, "the last chunk is shorter"),
        (AWKWARD_IMAGES[2], 100, 0, "all pixels fit into one chunk"),
        (AWKWARD_IMAGES[2], 5, FAR, "the values are near 1e7"),
    ):
        slope = np.arange(np.prod(shape[:3])).reshape(*shape[:3], 1)
        yield Case({"x": offset + 0.2 * slope + rng.standard_normal(shape), "pixels": pixels}, note)


def merged(n_a, mean_a, var_a, n_b, mean_b, var_b):
    """The mean and the two parts of the variance."""
    a, b = n_a / (n_a + n_b), n_b / (n_a + n_b)
    return a * mean_a + b * mean_b, a * var_a + b * var_b, a * b * (mean_a - mean_b) ** 2


def right_merge(*arguments):
    """The variance is the sum of its parts."""
    mean, within, between = merged(*arguments)
    return mean, within + between


def parts_of_variance(*arguments):
    """By name."""
    _, within, between = merged(*arguments)
    return {
        "the spread within the chunks": within,
        "the distance between the chunks' means": between,
    }


def mean_unweighted(n_a, mean_a, var_a, n_b, mean_b, var_b):
    """The two means count alike, however many pixels their chunks have: weigh them by n_a and
    n_b."""
    return (mean_a + mean_b) / 2


def mean_exchanged(n_a, mean_a, var_a, n_b, mean_b, var_b):
    """The weights are exchanged: mean_a belongs to n_a pixels, mean_b to n_b."""
    return merged(n_b, mean_a, var_a, n_a, mean_b, var_b)[0]


def mean_summed(n_a, mean_a, var_a, n_b, mean_b, var_b):
    """n_a * mean_a + n_b * mean_b is the sum of all values: divide it by n_a + n_b."""
    return n_a * mean_a + n_b * mean_b


def var_unweighted(n_a, mean_a, var_a, n_b, mean_b, var_b):
    """The two variances count alike, however many pixels their chunks have: weigh them by n_a and
    n_b. (The distance between the means is right.)"""
    return (var_a + var_b) / 2 + merged(n_a, mean_a, var_a, n_b, mean_b, var_b)[2]


def both_unweighted(n_a, mean_a, var_a, n_b, mean_b, var_b):
    """The average of the two variances is all there is: weigh them by n_a and n_b, and add what the
    means are apart."""
    return (var_a + var_b) / 2


def distance_unweighted(n_a, mean_a, var_a, n_b, mean_b, var_b):
    """(mean_a - mean_b) ** 2 is added as it is. What counts is how far each chunk's mean lies from
    the mean of all, for each of its pixels: n_a * n_b / n ** 2 times that."""
    within = merged(n_a, mean_a, var_a, n_b, mean_b, var_b)[1]
    return within + (mean_a - mean_b) ** 2


def var_unbiased(n_a, mean_a, var_a, n_b, mean_b, var_b):
    """The sum of squared distances is divided by n - 1: here divide it by n = n_a + n_b."""
    n = n_a + n_b
    return right_merge(n_a, mean_a, var_a, n_b, mean_b, var_b)[1] * n / (n - 1)


def expected(x, pixels):
    """NumPy's, which takes two passes."""
    return x.mean(PER_CHANNEL), x.var(PER_CHANNEL)


def chunks(x, pixels):
    """Its chunks, (pixels, C) each."""
    rows = x.reshape(-1, x.shape[3])
    return [rows[start : start + pixels] for start in range(0, len(rows), pixels)]


def whole_chunks(x, pixels):
    """The pixels of those that are not short; of all, if there is no such chunk."""
    count = x.size // x.shape[3] // pixels * pixels
    return x.reshape(-1, x.shape[3])[: count or None]


def mean_without_the_last(x, pixels):
    """The last chunk, which is shorter, is left out."""
    return whole_chunks(x, pixels).mean(0)


def var_without_the_last(x, pixels):
    """The last chunk, which is shorter, is left out."""
    return whole_chunks(x, pixels).var(0)


def mean_of_means(x, pixels):
    """All chunks count alike, but the last one has fewer pixels: weigh the means by them."""
    return np.mean([chunk.mean(0) for chunk in chunks(x, pixels)], axis=0)


def var_within(x, pixels):
    """Only the spread within the chunks is there: the distances of their means from the mean of all
    are missing."""
    parts = chunks(x, pixels)
    return sum(len(chunk) * chunk.var(0) for chunk in parts) / sum(map(len, parts))


def mean_of_vars(x, pixels):
    """The chunks' variances are averaged: the distances of their means from the mean of all are
    missing, and the last chunk, which has fewer pixels, counts like the others."""
    return np.mean([chunk.var(0) for chunk in chunks(x, pixels)], axis=0)


def mean_of_all_channels(x, pixels):
    """One mean is taken over all channels: every channel has its own."""
    return np.full(x.shape[3], x.mean())


def var_of_sample(x, pixels):
    """The sum of squared distances is divided by M - 1: here divide it by M = N * H * W."""
    return x.var(PER_CHANNEL, ddof=1)


def deviation(x, pixels):
    """This is the standard deviation: the task asks for its square, the variance."""
    return x.std(PER_CHANNEL)


EXERCISE = Exercise(
    "moments",
    "mean and variance in one pass over memory",
    tasks=(
        Task(
            "merge",
            {"mean_ab": CHANNEL, "var_ab": CHANNEL},
            merge_cases,
            right_merge,
            mistakes={
                "mean_ab": (mean_unweighted, mean_exchanged, mean_summed),
                "var_ab": (var_unweighted, both_unweighted, distance_unweighted, var_unbiased),
            },
            terms={"var_ab": parts_of_variance},
        ),
        Task(
            "moments",
            {"mean": CHANNEL, "var": CHANNEL},
            moments_cases,
            expected,
            mistakes={
                "mean": (mean_without_the_last, mean_of_means, mean_of_all_channels),
                "var": (
                    var_without_the_last,
                    var_within,
                    mean_of_vars,
                    var_of_sample,
                    deviation,
                ),
            },
        ),
    ),
    hints=(
        "The sum of a chunk's values is n_a * mean_a, so the mean of both is easy. For the "
        "variance ask: what is the average of (x - mean)^2 over chunk a, if mean is not its own?",
        "It is var_a + (mean_a - mean)^2. The same holds for b; weigh the two by n_a and n_b.",
        "moments: begin with n = 0 pixels, mean and var of zeros. For each chunk of "
        "x.reshape(-1, C) take its own mean and var, merge, and add its pixels to n.",
    ),
    after="With this, batch norm needs two passes over x instead of three. What that brings on "
    "your machine: python examples/ladder.py batch_norm",
)
