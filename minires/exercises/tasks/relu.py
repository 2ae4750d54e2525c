"""What is checked of ReLU."""

import numpy as np

from ... import kernels
from ..task import AWKWARD_IMAGES, IMAGE, Case, Exercise, Race, Task, numeric_gradient

MARGIN = 0.1  # from the kink


def inputs(rng):
    """Images away from zero, and then some elements that are exactly zero."""
    for shape in AWKWARD_IMAGES:
        x = rng.uniform(MARGIN, 1.5, shape) * rng.choice([-1.0, 1.0], shape)
        yield x, ""
    yield x * rng.choice([0.0, 1.0], x.shape), "some elements of x are exactly 0"


def forward_cases(rng):
    """x alone."""
    return [Case({"x": x}, note) for x, note in inputs(rng)]


def grad_cases(rng):
    """With a random cotangent."""
    return [Case({"dy": rng.standard_normal(x.shape), "x": x}, note) for x, note in inputs(rng)]


def gradient(dy, x):
    """By differences; zero at the kink, by convention."""
    return np.where(x == 0, 0.0, numeric_gradient(kernels.relu, x, dy))


def absolute(x):
    """This is the absolute value: negative elements should become 0, not positive."""
    return np.abs(x)


def upside_down(x):
    """This keeps what is negative: it is min(x, 0), not max(x, 0)."""
    return np.minimum(x, 0)


def zero_is_open(dy, x):
    """Everything is right except where x is exactly 0: there the gradient should be 0 (compare
    with >, not with >=)."""
    return dy * (x >= 0)


def not_gated(dy, x):
    """dy is handed on as it came: where x was negative, y does not depend on x at all."""
    return dy


def gated_by_dy(dy, x):
    """The gradient is cut off where dy is negative. What decides is the sign of x, not of dy."""
    return np.maximum(dy, 0)


def gated_by_both(dy, x):
    """The gradient is cut off where x is negative, which is right, and also where dy is, which is
    not: a gradient may well be negative."""
    return np.maximum(dy, 0) * (x > 0)


def derivative_alone(dy, x):
    """This is the derivative of y, 0 or 1: the chain rule multiplies it by dy."""
    return (x > 0).astype(float)


def times_x(dy, x):
    """dy is multiplied by relu(x). The derivative of x, where x is positive, is 1, not x."""
    return dy * np.maximum(x, 0)


def wrong_side(dy, x):
    """The gradient passes where x is negative, and is cut off where it is positive: the wrong way
    round."""
    return dy * (x < 0)


def of_images(rng):
    """For the race."""
    x, dy = rng.standard_normal((2, 32, 16, 16, 16), dtype=np.float32)
    return {"dy": dy, "x": x}


EXERCISE = Exercise(
    "relu",
    "ReLU",
    tasks=(
        Task(
            "relu",
            {"y": IMAGE},
            forward_cases,
            kernels.relu,
            mistakes={"y": (absolute, upside_down)},
        ),
        Task(
            "relu_grad",
            {"dx": IMAGE},
            grad_cases,
            gradient,
            mistakes={
                "dx": (
                    zero_is_open,
                    not_gated,
                    gated_by_dy,
                    gated_by_both,
                    derivative_alone,
                    times_x,
                    wrong_side,
                )
            },
        ),
    ),
    hints=(
        "Look at one element. If x is 3 and becomes 3.001, by how much does y change? And if x is "
        "-3 and becomes -2.999?",
        "So the derivative of y is 1 where x is positive and 0 elsewhere. The chain rule "
        "multiplies it by dy, element by element.",
        "In NumPy, x > 0 is an array of True and False, which count as 1 and 0 in a product.",
    ),
    race=Race(
        "relu_grad",
        of_images,
        reference=kernels.reference.relu_grad,
        engine=kernels.relu_grad,
    ),
    after="ReLU's gradient can also be found from its output: y > 0 exactly where x > 0. The "
    "engine keeps y, which the next layer keeps anyway.",
)
