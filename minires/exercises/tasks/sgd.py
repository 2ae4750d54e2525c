"""What is checked of the optimiser's step."""

import numpy as np

from ... import kernels
from ..task import Case, Exercise, Race, Task

SHAPES = ((3,), (2, 5), (3, 2, 1, 4))
ANY: tuple[str, ...] = ()


def cases(rng):
    """From rest, on the way, and without decay."""
    for number, shape in enumerate(SHAPES):
        parameter, grad, velocity = rng.standard_normal((3, *shape))
        note = "the first step, velocity 0" if number == 0 else ""
        yield Case(
            {
                "parameter": parameter,
                "grad": grad,
                "velocity": velocity * (number > 0),
                "lr": (0.1, 0.05, 0.3)[number],
                "momentum": (0.9, 0.8, 0.95)[number],
                "weight_decay": (0.01, 0.2, 0.05)[number],
            },
            note,
        )


def expected(parameter, grad, velocity, lr, momentum, weight_decay):
    """With the engine's kernel, on copies."""
    parameter, velocity = parameter.copy(), velocity.copy()
    kernels.sgd_step(parameter, grad, velocity, lr=lr, momentum=momentum, weight_decay=weight_decay)
    return parameter, velocity


def velocity_terms(parameter, grad, velocity, lr, momentum, weight_decay):
    """The summands of the velocity; one that is zero in a case leaves the case out."""
    return {
        "the term of the old velocity (momentum * velocity)": momentum * velocity,
        "the term of the gradient": grad,
        "the term of the weight decay": weight_decay * parameter,
    }


def parameter_terms(parameter, grad, velocity, lr, momentum, weight_decay):
    """The summands of the parameter; its own part of the decay is a part of the parameter."""
    return {
        "the old parameter": parameter,
        "the step along the old velocity": -lr * momentum * velocity,
        "the step along the gradient": -lr * grad,
    }


def wrong(name, text, rule):
    """A wrong rule of (parameter, grad, velocity, lr, momentum, weight_decay), seen in both
    outputs."""

    def pick(position):
        def mistake(*arguments):
            return rule(*arguments)[position]

        mistake.__name__, mistake.__doc__ = name, text
        return mistake

    return pick(0), pick(1)


def dampened(p, g, v, lr, m, wd):
    """(1 - momentum) before the gradient."""
    v = m * v + (1 - m) * (g + wd * p)
    return p - lr * v, v


def half_dampened(p, g, v, lr, m, wd):
    """(1 - momentum) before the gradient, not before the decay."""
    v = m * v + (1 - m) * g + wd * p
    return p - lr * v, v


def without_decay(p, g, v, lr, m, wd):
    """No decay."""
    v = m * v + g
    return p - lr * v, v


def decay_without_lr(p, g, v, lr, m, wd):
    """Decay outside of both."""
    v = m * v + g
    return p - lr * v - wd * p, v


def lr_inside(p, g, v, lr, m, wd):
    """As in Caffe."""
    v = m * v + lr * (g + wd * p)
    return p - v, v


def nesterov(p, g, v, lr, m, wd):
    """Looks ahead."""
    d = g + wd * p
    v = m * v + d
    return p - lr * (d + m * v), v


def old_velocity(p, g, v, lr, m, wd):
    """One step late."""
    return p - lr * v, m * v + g + wd * p


def uphill(p, g, v, lr, m, wd):
    """The wrong direction."""
    v = m * v + g + wd * p
    return p + lr * v, v


def no_momentum(p, g, v, lr, m, wd):
    """Forgets the past."""
    v = g + wd * p
    return p - lr * v, v


def growth(p, g, v, lr, m, wd):
    """Decay with the wrong sign."""
    v = m * v + g - wd * p
    return p - lr * v, v


def momentum_on_all(p, g, v, lr, m, wd):
    """Momentum outside of the bracket."""
    v = m * (v + g + wd * p)
    return p - lr * v, v


def decay_of_square(p, g, v, lr, m, wd):
    """Derivative of wd * p**2."""
    v = m * v + g + 2 * wd * p
    return p - lr * v, v


MISTAKES = (
    wrong(
        "dampened",
        "The gradient is multiplied by (1 - momentum), as in an average. Here it goes into the "
        "velocity undiminished.",
        dampened,
    ),
    wrong(
        "half_dampened",
        "The gradient is multiplied by (1 - momentum); here it goes into the velocity "
        "undiminished.",
        half_dampened,
    ),
    wrong(
        "without_decay",
        "The term of the weight decay is missing. If you take it off the parameter directly (as "
        "AdamW does): here it belongs to the gradient, and so into the velocity.",
        without_decay,
    ),
    wrong(
        "decay_without_lr",
        "The weight decay is taken off the parameter directly, without lr. Here it belongs to the "
        "gradient, and so into the velocity.",
        decay_without_lr,
    ),
    wrong(
        "lr_inside",
        "lr is inside of the velocity (as in Caffe): it should be multiplied when the parameter "
        "moves. The two differ when lr changes.",
        lr_inside,
    ),
    wrong("nesterov", "This is Nesterov's momentum: here the step is lr * new_velocity.", nesterov),
    wrong(
        "old_velocity",
        "The parameter follows the old velocity: update the velocity first, and use the new one.",
        old_velocity,
    ),
    wrong("uphill", "The parameter moves up the gradient: subtract lr * new_velocity.", uphill),
    wrong(
        "no_momentum", "The old velocity is not in the new one: momentum is missing.", no_momentum
    ),
    wrong(
        "growth",
        "The weight decay has the wrong sign: it is added to the gradient, so that parameters "
        "shrink.",
        growth,
    ),
    wrong(
        "momentum_on_all",
        "momentum multiplies the gradient too: it belongs to the old velocity alone.",
        momentum_on_all,
    ),
    wrong(
        "decay_of_square",
        "The weight decay is there twice: it is the gradient of weight_decay / 2 * parameter**2.",
        decay_of_square,
    ),
)


def of_weights(rng):
    """For the race: as many as ResNet-20 has."""
    parameter, grad, velocity = rng.standard_normal((3, 269722), dtype=np.float32)
    arrays = {"parameter": parameter, "grad": grad, "velocity": velocity}
    return {**arrays, "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}


def with_kernels(module):
    """The engine's step, in place as always."""

    def run(parameter, grad, velocity, lr, momentum, weight_decay):
        settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        module.sgd_step(parameter, grad, velocity, **settings)

    return run


EXERCISE = Exercise(
    "sgd",
    "SGD with momentum",
    tasks=(
        Task(
            "sgd_step",
            {"new_parameter": ANY, "new_velocity": ANY},
            cases,
            expected,
            mistakes={
                "new_parameter": tuple(first for first, _ in MISTAKES),
                "new_velocity": tuple(second for _, second in MISTAKES),
            },
            terms={"new_velocity": velocity_terms, "new_parameter": parameter_terms},
        ),
    ),
    hints=(
        "The task holds the formula: two lines. What can go wrong is which velocity the parameter "
        "follows, and what the arrays are that you change.",
        "Compute new_velocity first, from all three terms, as a new array. velocity *= momentum "
        "would change the array you were given.",
        "Then the parameter, which follows the *new* velocity, downhill: a minus sign.",
    ),
    race=Race(
        "sgd_step",
        of_weights,
        reference=with_kernels(kernels.reference),
        engine=with_kernels(kernels),
    ),
    after="With momentum 0.9 a gradient that stays the same is worth ten: the velocity grows to "
    "1 / (1 - 0.9) of it. So lr and momentum are not two independent settings.",
)
