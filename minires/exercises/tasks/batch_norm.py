"""What is checked of batch norm's forward pass."""

import numpy as np

from ... import kernels
from ..task import AWKWARD_IMAGES, CHANNEL, IMAGE, Case, Exercise, Race, Task

PER_CHANNEL = (0, 1, 2)
EPS = (1e-5, 0.1, 0.3)  # large ones show where eps stands


def cases(rng):
    """Training and evaluation, on images whose channels differ in mean and spread."""
    for shape, eps in zip(AWKWARD_IMAGES, EPS, strict=True):
        for training in (True, False):
            channels = shape[3:]
            spread, offset = rng.uniform(0.5, 3, channels), 2 * rng.standard_normal(channels)
            yield Case(
                {
                    "x": spread * rng.standard_normal(shape) + offset,
                    "gamma": rng.uniform(0.5, 1.5, channels),
                    "beta": rng.standard_normal(channels),
                    "running_mean": rng.standard_normal(channels),
                    "running_var": rng.uniform(0.5, 2, channels),
                    "training": training,
                    "momentum": float(rng.uniform(0.05, 0.3)),
                    "eps": eps,
                }
            )


def parts(x, running_mean, running_var, training):
    """The mean and the variance in use, and the number of values a channel."""
    count = x.size // x.shape[3]
    if not training:
        return running_mean, running_var, count
    return x.mean(PER_CHANNEL), x.var(PER_CHANNEL), count


def expected(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """With the engine's kernels."""
    if not training:
        y = kernels.batch_norm_eval(x, gamma, beta, running_mean, running_var, eps=eps)
        return y, running_mean, running_var
    y, mean, var = kernels.batch_norm(x, gamma, beta, eps=eps)
    count = x.size // x.shape[3]
    new_mean = (1 - momentum) * running_mean + momentum * mean
    return y, new_mean, (1 - momentum) * running_var + momentum * var * count / (count - 1)


def normalised(x, mean, var, gamma, beta, eps):
    """The formula."""
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


def unbiased_in_y(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """y is normalised by the unbiased variance (ddof=1, divided by M - 1). In training batch norm
    normalises by the biased one, divided by M; only new_var takes the unbiased one."""
    mean, var, count = parts(x, running_mean, running_var, training)
    return normalised(x, mean, var * (count / (count - 1) if training else 1), gamma, beta, eps)


def eps_outside(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """eps is added to the standard deviation; it belongs under the root, to the variance."""
    mean, var, _ = parts(x, running_mean, running_var, training)
    return normalised(x, mean, (np.sqrt(var) + eps) ** 2, gamma, beta, 0)


def eps_forgotten(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """eps is not in it: the root is of var + eps."""
    mean, var, _ = parts(x, running_mean, running_var, training)
    return normalised(x, mean, var, gamma, beta, 0)


def root_forgotten(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """x - mean is divided by the variance: divide by its square root."""
    mean, var, _ = parts(x, running_mean, running_var, training)
    return normalised(x, mean, (var + eps) ** 2, gamma, beta, 0)


def gamma_forgotten(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """gamma is not in it."""
    mean, var, _ = parts(x, running_mean, running_var, training)
    return normalised(x, mean, var, 1, beta, eps)


def beta_forgotten(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """beta is not in it."""
    mean, var, _ = parts(x, running_mean, running_var, training)
    return normalised(x, mean, var, gamma, 0, eps)


def each_image(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """In training every image is normalised by itself (over axes 1 and 2: instance norm). Batch
    norm takes the mean over the images too: axes 0, 1 and 2."""
    mean, var, _ = parts(x, running_mean, running_var, training)
    if training:
        mean, var = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    return normalised(x, mean, var, gamma, beta, eps)


def each_pixel(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """In training the mean is taken over the images alone (axis 0). A channel's values at all
    pixels belong together: axes 0, 1 and 2."""
    mean, var, _ = parts(x, running_mean, running_var, training)
    if training:
        mean, var = x.mean(0), x.var(0)
    return normalised(x, mean, var, gamma, beta, eps)


def all_channels(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """In training one mean and one variance are taken over all channels: every channel has its
    own."""
    mean, var, _ = parts(x, running_mean, running_var, training)
    if training:
        mean, var = x.mean(), x.var()
    return normalised(x, mean, var, gamma, beta, eps)


def batch_in_evaluation(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """y is right in training; in evaluation, though, it is normalised by the batch's statistics:
    there the running ones take their place."""
    return kernels.batch_norm(x, gamma, beta, eps=eps)[0]


def running_in_training(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """y is right in evaluation; in training, though, it is normalised by the running statistics:
    there the batch's own are used."""
    return normalised(x, running_mean, running_var, gamma, beta, eps)


def new_in_training(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """In training y is normalised by the new running statistics: use the batch's own."""
    arguments = (x, gamma, beta, running_mean, running_var, training, momentum, eps)
    _, mean, var = expected(*arguments)
    return normalised(x, mean, var, gamma, beta, eps)


def follow(running, statistic, share):
    """A running average's next value."""
    return (1 - share) * running + share * statistic


def mean_inverted(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """momentum is the wrong way round: it is the share of the new value, and 1 - momentum that of
    the old one."""
    batch = x.mean(PER_CHANNEL)
    return follow(running_mean, batch, 1 - momentum) if training else running_mean


def mean_in_evaluation(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """The running mean moves in evaluation too: it should follow in training only."""
    return follow(running_mean, x.mean(PER_CHANNEL), momentum)


def mean_replaced(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """The batch's mean takes the place of the running one: it should move towards it a little, by
    the share momentum."""
    return x.mean(PER_CHANNEL) if training else running_mean


def mean_left_alone(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """The running mean does not move in training."""
    return running_mean


def var_biased(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """Everything is right except the factor M / (M - 1), which is missing: new_var should follow
    the unbiased variance."""
    return follow(running_var, x.var(PER_CHANNEL), momentum) if training else running_var


def unbiased(x):
    """Divided by M - 1."""
    return x.var(PER_CHANNEL, ddof=1)


def var_inverted(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """momentum is the wrong way round: it is the share of the new value, and 1 - momentum that of
    the old one."""
    return follow(running_var, unbiased(x), 1 - momentum) if training else running_var


def var_biased_inverted(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """momentum is the wrong way round (it is the share of the new value), and the factor
    M / (M - 1) is missing."""
    return follow(running_var, x.var(PER_CHANNEL), 1 - momentum) if training else running_var


def var_in_evaluation(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """The running variance moves in evaluation too: it should follow in training only."""
    return follow(running_var, unbiased(x), momentum)


def var_replaced(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """The batch's variance takes the place of the running one: it should move towards it a little,
    by the share momentum."""
    return unbiased(x) if training else running_var


def var_left_alone(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """The running variance does not move in training."""
    return running_var


def deviation_followed(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    """new_var follows the standard deviation: follow the variance, its square."""
    return follow(running_var, np.sqrt(unbiased(x)), momentum) if training else running_var


def of_images(rng):
    """For the race."""
    x = rng.standard_normal((32, 16, 16, 16), dtype=np.float32)
    one, zero = np.ones(16, np.float32), np.zeros(16, np.float32)
    names = ("x", "gamma", "beta", "running_mean", "running_var")
    arrays = dict(zip(names, (x, one, zero, zero, one), strict=True))
    return {**arrays, "training": True, "momentum": 0.1, "eps": 1e-5}


def with_kernels(module):
    """The engine's forward pass, and the running statistics as in nn.BatchNorm2d."""

    def run(x, gamma, beta, running_mean, running_var, training, momentum, eps):
        y, mean, var = module.batch_norm(x, gamma, beta, eps=eps)
        count = x.size // x.shape[3]
        return (
            y,
            follow(running_mean, mean, momentum),
            follow(running_var, var * (count / (count - 1)), momentum),
        )

    return run


EXERCISE = Exercise(
    "batch_norm",
    "batch norm, forward",
    tasks=(
        Task(
            "batch_norm",
            {"y": IMAGE, "new_mean": CHANNEL, "new_var": CHANNEL},
            cases,
            expected,
            mistakes={
                "y": (
                    unbiased_in_y,
                    eps_outside,
                    eps_forgotten,
                    root_forgotten,
                    gamma_forgotten,
                    beta_forgotten,
                    each_image,
                    each_pixel,
                    all_channels,
                    batch_in_evaluation,
                    running_in_training,
                    new_in_training,
                ),
                "new_mean": (mean_inverted, mean_in_evaluation, mean_replaced, mean_left_alone),
                "new_var": (
                    var_biased,
                    var_inverted,
                    var_biased_inverted,
                    var_in_evaluation,
                    var_replaced,
                    var_left_alone,
                    deviation_followed,
                ),
            },
        ),
    ),
    hints=(
        "Which axes does the average for a channel run over? Look at M in the task. And decide "
        "first which mean and variance are in use: that depends on `training` alone.",
        "x.mean(axis=(0, 1, 2)) has the shape (C,), and arithmetic with x, whose last axis is the "
        "channel, does the rest by itself. NumPy's var divides by M, which is what y needs.",
        "In training the new statistics are (1 - momentum) * old + momentum * the batch's, with "
        "the variance times M / (M - 1), M = x.size / C. In evaluation return the old ones.",
    ),
    race=Race(
        "batch_norm",
        of_images,
        reference=with_kernels(kernels.reference),
        engine=with_kernels(kernels),
    ),
    after="The factor M / (M - 1) matters most where M is small: with 2 images on a 1 x 1 map it "
    "is 2. Forgetting it is a bug that has been found in published libraries, years later.",
)
