"""What is checked of batch norm's backward pass."""

import numpy as np

from ... import kernels
from ..task import AWKWARD_IMAGES, CHANNEL, IMAGE, Case, Exercise, Race, Task, numeric_gradient

PER_CHANNEL = (0, 1, 2)
EPS = (1e-5, 0.1, 0.3)


def cases(rng):
    """Channels of different mean and spread, a random cotangent."""
    for shape, eps in zip(AWKWARD_IMAGES, EPS, strict=True):
        channels = shape[3:]
        spread, offset = rng.uniform(0.5, 2, channels), rng.standard_normal(channels)
        x = spread * rng.standard_normal(shape) + offset
        gamma = rng.uniform(0.5, 1.5, channels)
        yield Case({"dy": rng.standard_normal(shape), "x": x, "gamma": gamma, "eps": eps})


def forward(x, gamma, beta, eps):
    """The engine's, result only."""
    return kernels.batch_norm(x, gamma, beta, eps=eps)[0]


def gradients(dy, x, gamma, eps):
    """By differences."""
    beta = np.zeros(gamma.shape)
    return (
        numeric_gradient(lambda x: forward(x, gamma, beta, eps), x, dy),
        numeric_gradient(lambda gamma: forward(x, gamma, beta, eps), gamma, dy),
        numeric_gradient(lambda beta: forward(x, gamma, beta, eps), beta, dy),
    )


def statistics(x, eps):
    """x_hat and the standard deviation."""
    std = np.sqrt(x.var(PER_CHANNEL) + eps)
    return (x - x.mean(PER_CHANNEL)) / std, std


def terms(dy, x, gamma, eps):
    """The three routes from x to y."""
    x_hat, std = statistics(x, eps)
    dx_hat = dy * gamma
    mean = np.broadcast_to(dx_hat.mean(PER_CHANNEL), x.shape)
    return {
        "the direct term (dx_hat / std)": dx_hat / std,
        "the term through the mean": -mean / std,
        "the term through the variance": -x_hat * (dx_hat * x_hat).mean(PER_CHANNEL) / std,
    }


def right_dx(dy, x, gamma, eps):
    """All three together."""
    return sum(terms(dy, x, gamma, eps).values())


def gamma_not_in_dx(dy, x, gamma, eps):
    """Everything is right except that gamma is not in dx: dx_hat is dy * gamma."""
    return right_dx(dy, x, np.ones(gamma.shape), eps)


def std_not_in_dx(dy, x, gamma, eps):
    """Everything is right except that dx is not divided by the standard deviation,
    sqrt(var + eps)."""
    return right_dx(dy, x, gamma, eps) * statistics(x, eps)[1]


def variance_for_std(dy, x, gamma, eps):
    """dx is divided by var + eps where its square root belongs."""
    return right_dx(dy, x, gamma, eps) / statistics(x, eps)[1]


def unbiased_variance(dy, x, gamma, eps):
    """The variance is the unbiased one (ddof=1): batch norm normalises by the biased variance,
    divided by M."""
    count = x.size // x.shape[3]
    std = np.sqrt(x.var(PER_CHANNEL, ddof=1) + eps)
    x_hat, dx_hat = (x - x.mean(PER_CHANNEL)) / std, dy * gamma
    return (
        dx_hat - dx_hat.mean(PER_CHANNEL) - x_hat * (dx_hat * x_hat).sum(PER_CHANNEL) / count
    ) / std


def sums_for_means(dy, x, gamma, eps):
    """In the terms through the mean and the variance there are sums over the batch where there
    should be averages: the factor 1 / M is missing."""
    direct, *others = terms(dy, x, gamma, eps).values()
    return direct + sum(others) * (x.size // x.shape[3])


def divided_by_images(dy, x, gamma, eps):
    """In the terms through the mean and the variance the sums are divided by the number of images:
    every channel has M = N * H * W values."""
    direct, *others = terms(dy, x, gamma, eps).values()
    return direct + sum(others) * (x.shape[1] * x.shape[2])


def x_for_x_hat_in_dx(dy, x, gamma, eps):
    """The term through the variance has x - mean where x_hat belongs, in two places: divide it by
    the standard deviation."""
    _, std = statistics(x, eps)
    direct, mean, variance = terms(dy, x, gamma, eps).values()
    return direct + mean + variance * std**2


def dgamma_without_x_hat(dy, x, gamma, eps):
    """x_hat is not in dgamma: this is dbeta. y = gamma * x_hat + beta, so gamma's derivative is
    x_hat."""
    return dy.sum(PER_CHANNEL)


def dgamma_with_x(dy, x, gamma, eps):
    """dgamma has x where x_hat, the normalised x, belongs."""
    return (dy * x).sum(PER_CHANNEL)


def dgamma_with_centred(dy, x, gamma, eps):
    """dgamma has x - mean where x_hat belongs: divide it by the standard deviation."""
    return (dy * (x - x.mean(PER_CHANNEL))).sum(PER_CHANNEL)


def dgamma_averaged(dy, x, gamma, eps):
    """dgamma is an average where it should be a sum: every value of the channel uses gamma."""
    return (dy * statistics(x, eps)[0]).mean(PER_CHANNEL)


def dgamma_with_y(dy, x, gamma, eps):
    """dgamma has gamma * x_hat where x_hat alone belongs."""
    return (dy * gamma * statistics(x, eps)[0]).sum(PER_CHANNEL)


def dbeta_averaged(dy, x, gamma, eps):
    """dbeta is an average where it should be a sum: every value of the channel uses beta."""
    return dy.mean(PER_CHANNEL)


def dbeta_with_gamma(dy, x, gamma, eps):
    """dbeta is multiplied by gamma: y = gamma * x_hat + beta, so beta's derivative is 1."""
    return (dy * gamma).sum(PER_CHANNEL)


def of_images(rng):
    """For the race."""
    dy, x = rng.standard_normal((2, 32, 16, 16, 16), dtype=np.float32)
    return {"dy": dy, "x": x, "gamma": np.ones(16, np.float32), "eps": 1e-5}


def with_kernels(module):
    """Statistics and gradients, as the student's function has to do both."""

    def run(dy, x, gamma, eps):
        _, mean, var = module.batch_norm(x, gamma, gamma, eps=eps)
        return module.batch_norm_grad(dy, x, gamma, mean, var, eps=eps)[:3]

    return run


EXERCISE = Exercise(
    "batch_norm_grad",
    "batch norm, backward",
    tasks=(
        Task(
            "batch_norm_grad",
            {"dx": IMAGE, "dgamma": CHANNEL, "dbeta": CHANNEL},
            cases,
            gradients,
            mistakes={
                "dx": (
                    gamma_not_in_dx,
                    std_not_in_dx,
                    variance_for_std,
                    unbiased_variance,
                    sums_for_means,
                    divided_by_images,
                    x_for_x_hat_in_dx,
                ),
                "dgamma": (
                    dgamma_without_x_hat,
                    dgamma_with_x,
                    dgamma_with_centred,
                    dgamma_averaged,
                    dgamma_with_y,
                ),
                "dbeta": (dbeta_averaged, dbeta_with_gamma),
            },
            terms={"dx": terms},
        ),
    ),
    hints=(
        "Begin with the easy ones: y = gamma * x_hat + beta is a linear layer, so dgamma, dbeta "
        "and dx_hat look as they did there, summed over images, rows and columns.",
        "Now think of one channel, M numbers. x_hat[i] = (x[i] - mean) / std: if x[j] grows, the "
        "mean of all grows by 1/M of that, and var by 2 * (x[j] - mean) / M. Sum over all i what "
        "that does to x_hat[i].",
        "Written with averages over the channel it becomes short: from dx_hat take away the "
        "average of dx_hat (the mean's doing), and x_hat times the average of a product of two "
        "arrays that you have (the variance's doing). All of it is divided by the same number.",
    ),
    race=Race(
        "batch_norm_grad",
        of_images,
        reference=with_kernels(kernels.reference),
        engine=with_kernels(kernels),
    ),
    after="Your dx has average 0 over each channel, and is (but for eps) perpendicular to x_hat: "
    "batch norm's result does not change when x is shifted or stretched, so no gradient goes that "
    "way. That is why L = y.sum() cannot test dx.",
)
