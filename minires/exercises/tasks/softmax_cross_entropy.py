"""What is checked of the loss."""

import numpy as np

from ... import kernels
from ..task import Case, Exercise, Race, Task, numeric_gradient

LOGITS = ("image", "class")
SIZES = ((4, 3), (1, 10), (5, 2), (3, 7))


def draw(rng):
    """Logits and labels; at the end so large that exp overflows."""
    for n, classes in SIZES:
        yield 2 * rng.standard_normal((n, classes)), rng.integers(0, classes, n), ""
    large = 1000 + 2 * rng.standard_normal((3, 4))
    yield large, rng.integers(0, 4, 3), "logits near 1000, where exp overflows"
    far = np.array([[0.0, 1000.0, -1000.0], [900.0, 0.5, 900.5]])
    yield far, np.array([0, 2]), "logits far apart, where a probability is rounded to 0"


def forward_cases(rng):
    """logits, labels."""
    return [Case({"logits": x, "labels": labels}, note) for x, labels, note in draw(rng)]


def grad_cases(rng):
    """With a random dloss."""
    return [
        Case({"dloss": float(rng.uniform(0.5, 2)), "logits": x, "labels": labels}, note)
        for x, labels, note in draw(rng)
    ]


def loss(logits, labels):
    """The engine's."""
    return kernels.softmax_cross_entropy(logits, labels)[0]


def gradient(dloss, logits, labels):
    """By differences."""
    return numeric_gradient(lambda logits: loss(logits, labels), logits, dloss)


def probabilities(logits):
    """Softmax of each image, safely."""
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)


def one_hot(logits, labels):
    """1 at the true class."""
    return (labels[:, None] == np.arange(logits.shape[1])).astype(float)


def summed(logits, labels):
    """The loss is summed over the images instead of averaged."""
    return loss(logits, labels) * len(labels)


def in_bits(logits, labels):
    """The loss is in bits: take the natural logarithm, np.log."""
    return loss(logits, labels) / np.log(2)


def negative(logits, labels):
    """The loss has the wrong sign: it is -log p, which is never negative."""
    return -loss(logits, labels)


def not_shifted(logits, labels):
    """Right as long as logits are small; exp(1000), though, is infinite. Subtract the largest
    logit of each image first: the probabilities stay the same."""
    exponentials = np.exp(logits)
    p = exponentials / exponentials.sum(1, keepdims=True)
    return -np.log(p[np.arange(len(labels)), labels]).mean()


def logarithm_of_zero(logits, labels):
    """Right as long as no probability is rounded to 0, whose logarithm is minus infinity: compute
    log p as (logit - largest) - log(sum of exponentials), without dividing first."""
    return -np.log(probabilities(logits)[np.arange(len(labels)), labels]).mean()


def of_logit_alone(logits, labels):
    """The logarithm of the sum of exponentials is missing: this is minus the true class's logit,
    shifted by the largest."""
    shifted = logits - logits.max(1, keepdims=True)
    return -shifted[np.arange(len(labels)), labels].mean()


def not_divided(dloss, logits, labels):
    """dlogits is not divided by N: the loss is the mean over the images, so each counts for 1/N."""
    return dloss * (probabilities(logits) - one_hot(logits, labels))


def divided_twice(dloss, logits, labels):
    """dlogits is divided by N twice."""
    return not_divided(dloss, logits, labels) / len(labels) ** 2


def divided_by_classes(dloss, logits, labels):
    """dlogits is divided by the number of logits, N * K: the loss is the mean over the N images,
    not over classes."""
    return not_divided(dloss, logits, labels) / logits.size


def dloss_forgotten(dloss, logits, labels):
    """Everything is right but for dloss, which is not in it: the chain rule multiplies by it."""
    return not_divided(1.0, logits, labels) / len(labels)


def neither_dloss_nor_n(dloss, logits, labels):
    """dloss is not in it, and the division by N is missing."""
    return not_divided(1.0, logits, labels)


def over_the_batch(dloss, logits, labels):
    """The softmax runs over the images instead of over the classes: sum over axis 1."""
    p = probabilities(logits.T).T
    return dloss * (p - one_hot(logits, labels)) / len(labels)


def grad_not_shifted(dloss, logits, labels):
    """Right as long as logits are small; exp(1000), though, is infinite. Subtract the largest
    logit of each image first: the probabilities stay the same."""
    exponentials = np.exp(logits)
    p = exponentials / exponentials.sum(1, keepdims=True)
    return dloss * (p - one_hot(logits, labels)) / len(labels)


def of_true_class_alone(dloss, logits, labels):
    """Only the true class's logit gets a gradient; the others are in the sum of exponentials."""
    return not_divided(dloss, logits, labels) * one_hot(logits, labels) / len(labels)


def terms(dloss, logits, labels):
    """What the model believes, and what is true."""
    scale = dloss / len(labels)
    return {
        "the term of the probabilities": scale * probabilities(logits),
        "the term of the true class (the 1 that is subtracted at the label)": -scale
        * one_hot(logits, labels),
    }


def of_logits(rng):
    """For the race."""
    logits = rng.standard_normal((1024, 10), dtype=np.float32)
    return {"dloss": 1.0, "logits": logits, "labels": rng.integers(0, 10, 1024)}


def with_kernels(module):
    """Forward and backward, as the student's function has to do both."""

    def run(dloss, logits, labels):
        _, p = module.softmax_cross_entropy(logits, labels)
        return np.float32(dloss) * module.softmax_cross_entropy_grad(p, labels)

    return run


EXERCISE = Exercise(
    "softmax_cross_entropy",
    "softmax and cross-entropy",
    tasks=(
        Task(
            "softmax_cross_entropy",
            {"loss": ()},
            forward_cases,
            loss,
            mistakes={
                "loss": (summed, in_bits, negative, not_shifted, logarithm_of_zero, of_logit_alone)
            },
        ),
        Task(
            "softmax_cross_entropy_grad",
            {"dlogits": LOGITS},
            grad_cases,
            gradient,
            mistakes={
                "dlogits": (
                    not_divided,
                    divided_twice,
                    divided_by_classes,
                    dloss_forgotten,
                    neither_dloss_nor_n,
                    over_the_batch,
                    grad_not_shifted,
                    of_true_class_alone,
                )
            },
            terms={"dlogits": terms},
        ),
    ),
    hints=(
        "Take one image, and write its loss as log(sum over j of exp(logits[j])) - logits[label]. "
        "If you subtract the largest logit from all of them, neither term can overflow.",
        "Differentiate that: the first term gives exp(logits[k]) / sum of exp, which is p[k]. The "
        "second gives 1 for the true class and 0 for the others.",
        "So for each image dlogits is what the model believes minus what is true. Then two factors "
        "are left: the loss is a mean over N images, and the chain rule brings dloss.",
    ),
    race=Race(
        "softmax_cross_entropy_grad",
        of_logits,
        reference=with_kernels(kernels.reference),
        engine=with_kernels(kernels),
    ),
    after="Belief minus truth: the gradients of an image sum to zero over the classes, and a model "
    "that is sure and right has none: such an image teaches it nothing more.",
)
