"""What is checked of the addition and the skip connection."""

import numpy as np

from ..task import AWKWARD_IMAGES, IMAGE, Case, Exercise, Race, Task, numeric_gradient


def pairs(rng):
    """Two arrays of each shape."""
    return [
        Case({"a": rng.standard_normal(shape), "b": rng.standard_normal(shape)})
        for shape in AWKWARD_IMAGES
    ]


def cotangents(rng):
    """dy alone."""
    return [Case({"dy": rng.standard_normal(shape)}) for shape in AWKWARD_IMAGES]


def gradients(dy):
    """By differences of a + b, at zero."""
    zero = np.zeros(dy.shape)
    return numeric_gradient(lambda a: a + zero, zero, dy), numeric_gradient(np.positive, zero, dy)


def branch_that_overwrites(weight):
    """The gradient of F(x) = weight * x, which works in place."""

    def branch_grad(dy):
        dy *= weight
        return dy

    return branch_grad


def skip_cases(rng):
    """Branches of several shapes, whose derivative is a random array."""
    return [
        Case(
            {
                "dy": rng.standard_normal(shape),
                "branch_grad": branch_that_overwrites(rng.standard_normal(shape)),
            }
        )
        for shape in AWKWARD_IMAGES
    ]


def skip_gradient(dy, branch_grad):
    """By differences of weight * x + x, at zero."""
    weight = branch_grad(np.ones(dy.shape))
    return numeric_gradient(lambda x: weight * x + x, np.zeros(dy.shape), dy)


def only_a(a, b):
    """b is not in the sum."""
    return a


def product(a, b):
    """This is the product of a and b."""
    return a * b


def zero_for_one(dy):
    """All zeros: the sum depends on both of its inputs, in the same way."""
    return np.zeros(dy.shape)


def shared_out(dy):
    """dy has been split in halves between a and b. But a gradient is no quantity to be shared
    out: L changes by dy when a does, and by dy when b does."""
    return dy / 2


def skip_forgotten(dy, branch_grad):
    """Everything is right except the term through the skip connection, which is missing: x also
    reaches y directly, without the branch."""
    return branch_grad(dy.copy())


def branch_forgotten(dy, branch_grad):
    """Everything is right except the term through the branch, which is missing: that is F(x) = 0,
    a network in which no layer learns."""
    return dy


def branch_twice(dy, branch_grad):
    """The branch has overwritten dy before you added it: so its own gradient is there twice, and
    the skip connection's not at all. Hand the branch a copy."""
    return 2 * branch_grad(dy.copy())


def halved(dy, branch_grad):
    """dx is the average of the two terms. Gradients of several uses add up, they are not
    averaged."""
    return (dy + branch_grad(dy.copy())) / 2


def in_turn(dy, branch_grad):
    """The two terms are multiplied. Along a path derivatives are multiplied, but the results of
    several paths are added."""
    return dy * branch_grad(dy.copy())


def skip_terms(dy, branch_grad):
    """The two ways from x to y."""
    return {
        "the term through the branch": branch_grad(dy.copy()),
        "the term through the skip connection": dy,
    }


def of_images(rng):
    """For the race."""
    return {"dy": rng.standard_normal((32, 16, 16, 16), dtype=np.float32)}


def copies(dy):
    """Two arrays."""
    return dy.copy(), dy.copy()


def handed_on(dy):
    """What Add does in minires/autograd/ops.py; the sweep knows that it does not own dy."""
    return dy, dy


EXERCISE = Exercise(
    "add",
    "addition, the skip connection",
    tasks=(
        Task("add", {"y": IMAGE}, pairs, np.add, mistakes={"y": (only_a, product)}),
        Task(
            "add_grad",
            {"da": IMAGE, "db": IMAGE},
            cotangents,
            gradients,
            mistakes={"da": (shared_out, zero_for_one), "db": (shared_out, zero_for_one)},
            apart=True,
        ),
        Task(
            "skip_grad",
            {"dx": IMAGE},
            skip_cases,
            skip_gradient,
            mistakes={
                "dx": (skip_forgotten, branch_forgotten, branch_twice, halved, in_turn),
            },
            terms={"dx": skip_terms},
        ),
    ),
    hints=(
        "If a grows by 0.001, so does y, whatever b is. So how much of dy goes to a, and how much "
        "to b? Nothing is shared out.",
        "In y = F(x) + x, x reaches y twice: through F and directly. The gradients of the two ways "
        "add up; that of the direct way is dy as it is.",
        "Who gets which array? branch_grad may overwrite what you hand it. If that is dy itself, "
        "dy is gone when you want to add it: give the branch an array of its own.",
    ),
    race=Race("add_grad", of_images, reference=copies, engine=handed_on),
    after="The term dy goes past the branch as it is: through any number of blocks it is added "
    "undiminished (the ReLUs behind the additions aside), whatever the branches do. The "
    "engine copies nothing: it hands the same array on twice, and its sweep remembers which arrays "
    "it may write into (minires/autograd/backward.py).",
)
