"""What is checked of the residual block."""

import numpy as np

from ... import kernels
from ...kernels.records import ConvNorm
from ..task import CHANNEL, IMAGE, WEIGHT, Case, Exercise, Race, Task, numeric_gradient

SHAPES = ((2, 3, 4, 3), (1, 4, 3, 2), (3, 2, 3, 1))
EPS = (1e-5, 0.1, 1e-3)
MARGIN = 1e-3  # from both ReLUs' kinks
PARAMETERS = ("weight1", "gamma1", "beta1", "weight2", "gamma2", "beta2")


def draw(rng, shape, eps):
    """Arguments for which no ReLU is at its kink."""
    channels = shape[3]
    while True:
        arguments = {"x": rng.standard_normal(shape)}
        for number in (1, 2):
            size = (3, 3, channels, channels)
            arguments[f"weight{number}"] = rng.standard_normal(size) / np.sqrt(channels)
            arguments[f"gamma{number}"] = rng.uniform(0.5, 1.5, channels)
            arguments[f"beta{number}"] = 0.5 * rng.standard_normal(channels)
        steps = Steps(*arguments.values(), eps)
        if min(np.abs(steps.n1).min(), np.abs(steps.sum).min()) > MARGIN:
            return {**arguments, "eps": eps}


class Steps:
    """The block's values one after the other; wrong programs use some of them."""

    def __init__(self, x, weight1, gamma1, beta1, weight2, gamma2, beta2, eps):
        self.x, self.eps = x, eps
        self.weight1, self.gamma1, self.weight2, self.gamma2 = weight1, gamma1, weight2, gamma2
        self.z1 = kernels.conv2d(x, weight1, padding=1)
        self.n1, *self.moments1 = kernels.batch_norm(self.z1, gamma1, beta1, eps=eps)
        self.a = kernels.relu(self.n1)
        self.z2 = kernels.conv2d(self.a, weight2, padding=1)
        self.n2, *self.moments2 = kernels.batch_norm(self.z2, gamma2, beta2, eps=eps)
        self.sum = self.n2 + x
        self.y = kernels.relu(self.sum)

    def back_to_a(self, dn2):
        """The gradient of a, for that of the second norm's result, and its parameters'."""
        dz2, dgamma2, dbeta2, _ = kernels.batch_norm_grad(
            dn2, self.z2, self.gamma2, *self.moments2, eps=self.eps
        )
        dweight2 = kernels.conv2d_weight_grad(dz2, self.a, kernel_size=(3, 3), padding=1)
        da = kernels.conv2d_input_grad(dz2, self.weight2, x_shape=self.a.shape, padding=1)
        return da, dweight2, dgamma2, dbeta2

    def back_to_x(self, dn1):
        """The gradient of x through the branch, and the first parameters'."""
        dz1, dgamma1, dbeta1, _ = kernels.batch_norm_grad(
            dn1, self.z1, self.gamma1, *self.moments1, eps=self.eps
        )
        dweight1 = kernels.conv2d_weight_grad(dz1, self.x, kernel_size=(3, 3), padding=1)
        dx = kernels.conv2d_input_grad(dz1, self.weight1, x_shape=self.x.shape, padding=1)
        return dx, dweight1, dgamma1, dbeta1

    def backward(self, dn2, *, inner_relu=True):
        """All gradients but the skip connection's, in the order of the arguments."""
        da, *second = self.back_to_a(dn2)
        dx, *first = self.back_to_x(kernels.relu_grad(da, self.a) if inner_relu else da)
        return dx, *first, *second


def forward_cases(rng):
    """Random blocks."""
    return [Case(draw(rng, shape, eps)) for shape, eps in zip(SHAPES, EPS, strict=True)]


def grad_cases(rng):
    """With a random cotangent in front."""
    return [
        Case({"dy": rng.standard_normal(case.arguments["x"].shape), **case.arguments})
        for case in forward_cases(rng)
    ]


def forward(*arguments):
    """The result alone."""
    return Steps(*arguments).y


def gradients(dy, *arguments):
    """By differences with respect to every array."""

    def gradient(position):
        def f(array):
            return forward(*arguments[:position], array, *arguments[position + 1 :])

        return numeric_gradient(f, arguments[position], dy)

    return tuple(gradient(i) for i in range(1 + len(PARAMETERS)))


def no_skip(*arguments):
    """x is not added: this is the plain block."""
    return kernels.relu(Steps(*arguments).n2)


def relu_before_addition(*arguments):
    """The second ReLU stands before the addition: it should follow it. As it is, the branch can
    only ever add, never take away."""
    steps = Steps(*arguments)
    return kernels.relu(steps.n2) + steps.x


def no_last_relu(*arguments):
    """The second ReLU, after the addition, is missing."""
    return Steps(*arguments).sum


def no_inner_relu(x, weight1, gamma1, beta1, weight2, gamma2, beta2, eps):
    """The first ReLU, between the convolutions, is missing."""
    steps = Steps(x, weight1, gamma1, beta1, weight2, gamma2, beta2, eps)
    z2 = kernels.conv2d(steps.n1, weight2, padding=1)
    return kernels.relu(kernels.batch_norm(z2, gamma2, beta2, eps=eps)[0] + x)


def gated(dy, steps):
    """dy behind the last ReLU."""
    return kernels.relu_grad(dy, steps.y)


def skip_not_gated(dy, *arguments):
    """Everything is right except the term through the skip connection, which does not go through
    the last ReLU: that stands after the addition, so it gates both terms."""
    steps = Steps(*arguments)
    return steps.backward(gated(dy, steps))[0] + dy


def branch_not_gated(dy, *arguments):
    """The last ReLU is ignored in the branch: y is cut off at zero after the addition, so dy counts
    only where y > 0, for both terms."""
    steps = Steps(*arguments)
    return steps.backward(dy)[0] + gated(dy, steps)


def nothing_gated(dy, *arguments):
    """The last ReLU is ignored: dy counts only where y > 0, in the branch and in the skip
    connection."""
    steps = Steps(*arguments)
    return steps.backward(dy)[0] + dy


def inner_relu_ignored(dy, *arguments):
    """The first ReLU, between the convolutions, is ignored: the branch's gradient counts only where
    a > 0."""
    steps = Steps(*arguments)
    dsum = gated(dy, steps)
    return steps.backward(dsum, inner_relu=False)[0] + dsum


def first_norm_ignored(dy, *arguments):
    """The first batch norm is ignored on the way back: the gradient goes straight from its result
    to the first convolution."""
    steps = Steps(*arguments)
    dsum = gated(dy, steps)
    dn1 = kernels.relu_grad(steps.back_to_a(dsum)[0], steps.a)
    dx = kernels.conv2d_input_grad(dn1, steps.weight1, x_shape=steps.x.shape, padding=1)
    return dx + dsum


def constant_moments(dy, *arguments):
    """The means and variances of batch norm are treated as constants, as in evaluation. In
    training they are functions of the input: use batch_norm_grad."""
    steps = Steps(*arguments)
    dsum = gated(dy, steps)
    dz2 = dsum * steps.gamma2 / np.sqrt(steps.moments2[1] + steps.eps)
    da = kernels.conv2d_input_grad(dz2, steps.weight2, x_shape=steps.a.shape, padding=1)
    dn1 = kernels.relu_grad(da, steps.a)
    dz1 = dn1 * steps.gamma1 / np.sqrt(steps.moments1[1] + steps.eps)
    dx = kernels.conv2d_input_grad(dz1, steps.weight1, x_shape=steps.x.shape, padding=1)
    return dx + dsum


def terms(dy, *arguments):
    """The two ways from x to y."""
    steps = Steps(*arguments)
    dsum = gated(dy, steps)
    return {
        "the term through the branch": steps.backward(dsum)[0],
        "the term through the skip connection": dsum,
    }


def wrong_parameter(mistake, position, text):
    """A mistake seen in a parameter's gradient."""

    def wrong(dy, *arguments):
        steps = Steps(*arguments)
        return mistake(dy, steps)[position]

    wrong.__name__, wrong.__doc__ = text
    return wrong


LAST_RELU = (
    "last_relu_ignored",
    "The last ReLU is ignored: dy counts only where y > 0.",
)
INNER_RELU = (
    "inner_relu_ignored",
    "The first ReLU, between the convolutions, is ignored: the gradient counts only where a > 0.",
)


def parameter_mistakes(position):
    """What can be seen in the gradient of the parameter at a position."""
    return (
        wrong_parameter(lambda dy, steps: steps.backward(dy), position, LAST_RELU),
        wrong_parameter(
            lambda dy, steps: steps.backward(gated(dy, steps), inner_relu=False),
            position,
            INNER_RELU,
        ),
    )


def of_images(rng):
    """For the race."""
    dy, x = rng.standard_normal((2, 8, 16, 16, 16), dtype=np.float32)
    arguments = {"dy": dy, "x": x}
    for number in (1, 2):
        weight = rng.standard_normal((3, 3, 16, 16), dtype=np.float32)
        arguments[f"weight{number}"] = weight / np.float32(12)
        arguments[f"gamma{number}"] = np.ones(16, np.float32)
        arguments[f"beta{number}"] = np.zeros(16, np.float32)
    return {**arguments, "eps": 1e-5}


def with_kernels(module):
    """Forward and backward in the engine's fused kernels."""

    def run(dy, *arguments):
        x, *parameters, eps = arguments
        first = ConvNorm(*parameters[:3], eps=eps, padding=1)
        second = ConvNorm(*parameters[3:], eps=eps, padding=1)
        _, saved = module.basic_block(x, first, second, skip=True)
        return module.basic_block_grad(dy, x, first, second, saved, skip=True)

    return run


AXES = (IMAGE, WEIGHT, CHANNEL, CHANNEL, WEIGHT, CHANNEL, CHANNEL)
GRADIENTS = dict(zip(("dx", *(f"d{name}" for name in PARAMETERS)), AXES, strict=True))
OF_PARAMETERS = {f"d{name}": parameter_mistakes(1 + i) for i, name in enumerate(PARAMETERS)}

EXERCISE = Exercise(
    "residual_block",
    "the residual block",
    tasks=(
        Task(
            "residual_block",
            {"y": IMAGE},
            forward_cases,
            forward,
            mistakes={"y": (no_skip, relu_before_addition, no_last_relu, no_inner_relu)},
        ),
        Task(
            "residual_block_grad",
            GRADIENTS,
            grad_cases,
            gradients,
            mistakes={
                "dx": (
                    skip_not_gated,
                    branch_not_gated,
                    nothing_gated,
                    inner_relu_ignored,
                    first_norm_ignored,
                    constant_moments,
                ),
                **OF_PARAMETERS,
            },
            terms={"dx": terms},
        ),
    ),
    hints=(
        "Write the forward pass with a name for every value: z1, n1, a, z2, n2, y. The backward "
        "pass needs them all, so compute them again in residual_block_grad.",
        "Go back line by line: relu_grad takes dy to d(n2 + x). That one array is the gradient of "
        "both n2 and x: it goes on into the branch, and it is the skip connection's term.",
        "In the branch: batch_norm_grad, then conv2d_input_grad and conv2d_weight_grad, relu_grad "
        "with a, and the same once more. In the end dx is the sum of what comes out of the first "
        "convolution and what went past the branch.",
    ),
    race=Race(
        "residual_block_grad",
        of_images,
        reference=with_kernels(kernels.reference),
        engine=with_kernels(kernels),
    ),
    after="Leave out one addition, `+ x`, and you have the plain block, with the same parameters. "
    "What difference it makes in 54 layers is the last exercise.",
)
