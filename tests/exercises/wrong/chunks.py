"""Mean and variance in one pass: written with sums, squares and loops over chunks."""

from . import wrongs

MERGE = """
def merge(n_a, mean_a, var_a, n_b, mean_b, var_b):
    n = n_a + n_b
    delta = mean_b - mean_a
    mean = mean_a + delta * n_b / n
    squares = var_a * n_a + var_b * n_b + delta ** 2 * n_a * n_b / n
    return mean, squares / n
"""

MOMENTS = """
def moments(x, pixels):
    flat = x.reshape(-1, x.shape[-1])
    count, total = 0, np.zeros(x.shape[-1])
    squares = np.zeros(x.shape[-1])
    i = 0
    while i < len(flat):
        part = flat[i:i + pixels]
        here = part.mean(axis=0)
        there = total / max(count, 1)
        squares = squares + ((part - here) ** 2).sum(axis=0)
        squares = squares + (here - there) ** 2 * count * len(part) / (count + len(part))
        total, count = total + part.sum(axis=0), count + len(part)
        i += pixels
    return total / count, squares / count
"""


def merge(old, new):
    """With one change."""
    assert old in MERGE
    return MERGE.replace(old, new)


def moments(old, new):
    """With one change."""
    assert old in MOMENTS
    return MOMENTS.replace(old, new)


BETWEEN = (
    "        squares = squares + (here - there) ** 2 * count * len(part) / (count + len(part))\n"
)
AVERAGES = """
def moments(x, pixels):
    flat = x.reshape(-1, x.shape[-1])
    parts = [flat[i:i + pixels] for i in range(0, len(flat), pixels)]
    mean, var = 0.0, 0.0
    for part in parts:
        mean, var = mean + part.mean(axis=0) / len(parts), var + part.var(axis=0) / len(parts)
    return mean, var
"""
SHORTCUT = """
def moments(x, pixels):
    flat = x.reshape(-1, x.shape[-1])
    total, squares = np.zeros(x.shape[-1]), np.zeros(x.shape[-1])
    for i in range(0, len(flat), pixels):
        part = flat[i:i + pixels]
        total, squares = total + part.sum(axis=0), squares + (part ** 2).sum(axis=0)
    mean = total / len(flat)
    return mean, squares / len(flat) - mean ** 2
"""

ALL = wrongs(
    "moments",
    ("mean_ab", "mean_unweighted", merge("delta * n_b / n", "delta / 2")),
    ("mean_ab", "mean_exchanged", merge("delta * n_b / n", "delta * n_a / n")),
    ("mean_ab", None, merge("delta * n_b / n", "np.abs(delta) * n_b / n")),
    (
        "var_ab",
        "the_distance_between_the_chunks_means_is_missing",
        merge(" + delta ** 2 * n_a * n_b / n", ""),
    ),
    ("var_ab", "both_unweighted", merge("squares / n", "np.mean([var_a, var_b], axis=0)")),
    ("var_ab", "distance_unweighted", merge("delta ** 2 * n_a * n_b / n", "delta ** 2 * n")),
    ("var_ab", "var_unbiased", merge("squares / n\n", "squares / (n - 1)\n")),
    (
        "mean",
        "mean_without_the_last",
        moments("i < len(flat)", "i + pixels <= len(flat) or i == 0"),
    ),
    ("mean", "mean_of_means", AVERAGES),
    ("var", "mean_of_vars", AVERAGES),
    ("var", "var_within", moments(BETWEEN, "")),
    ("var", "var_of_sample", moments("squares / count\n", "squares / (count - 1)\n")),
    ("var", "deviation", moments("squares / count\n", "np.sqrt(squares / count)\n")),
    ("var", None, SHORTCUT),
)
