"""What is checked of the linear layer."""

import numpy as np

from ..task import CHANNEL, MATRIX, SAMPLE, Case, Exercise, Race, Task, numeric_gradient

SIZES = ((2, 5, 3), (1, 4, 7), (6, 1, 3), (3, 4, 4), (5, 3, 1))  # N, C, K
NOTES = {1: "a batch of one", 3: "weight is square"}


def draw(rng):
    """x, weight and bias for each size."""
    for i, (n, c, k) in enumerate(SIZES):
        x, weight, bias = (rng.standard_normal(shape) for shape in ((n, c), (c, k), (k,)))
        yield x, weight, bias, rng.standard_normal((n, k)), NOTES.get(i, "")


def forward_cases(rng):
    """x, weight, bias."""
    return [
        Case({"x": x, "weight": weight, "bias": bias}, note)
        for x, weight, bias, _, note in draw(rng)
    ]


def grad_cases(rng):
    """dy, x, weight."""
    return [
        Case({"dy": dy, "x": x, "weight": weight}, note) for x, weight, _, dy, note in draw(rng)
    ]


def forward(x, weight, bias):
    """The layer."""
    return x @ weight + bias


def gradients(dy, x, weight):
    """By differences."""
    bias = np.zeros(weight.shape[1])
    return (
        numeric_gradient(lambda x: forward(x, weight, bias), x, dy),
        numeric_gradient(lambda weight: forward(x, weight, bias), weight, dy),
        numeric_gradient(lambda bias: forward(x, weight, bias), bias, dy),
    )


def without_bias(x, weight, bias):
    """bias is not added."""
    return x @ weight


def bias_subtracted(x, weight, bias):
    """bias is subtracted instead of added."""
    return x @ weight - bias


def dx_not_transposed(dy, x, weight):
    """weight is not transposed: output k depends on input c by weight[c, k], so dx[n, c] collects
    dy[n, k] * weight[c, k]."""
    return dy @ weight


def dweight_averaged(dy, x, weight):
    """dweight is divided by the batch size. Every sample that uses the weight adds its gradient;
    if there is an average anywhere, it is in the loss, and so already in dy."""
    return x.T @ dy / len(x)


def dweight_of_first(dy, x, weight):
    """dweight comes from the first sample alone: all samples use the same weight, so their
    gradients add up."""
    return np.outer(x[0], dy[0])


def dweight_of_last(dy, x, weight):
    """dweight comes from the last sample alone: each sample should add to what is there, not
    replace it (+= instead of =)."""
    return np.outer(x[-1], dy[-1])


def dweight_of_sums(dy, x, weight):
    """x and dy are each summed over the batch before they are multiplied: the sum of products is
    not the product of sums."""
    return np.outer(x.sum(0), dy.sum(0))


def dbias_averaged(dy, x, weight):
    """dbias is the mean over the batch where it should be the sum: every sample uses the bias
    once. If there is an average anywhere, it is in the loss, and so already in dy."""
    return dy.mean(0)


def dbias_of_first(dy, x, weight):
    """dbias comes from the first sample alone: every sample uses the bias, so their gradients add
    up."""
    return dy[0]


def dbias_of_last(dy, x, weight):
    """dbias comes from the last sample alone: each sample should add to what is there."""
    return dy[-1]


def of_features(rng):
    """For the race."""
    shapes = {"dy": (128, 10), "x": (128, 64), "weight": (64, 10)}
    return {name: rng.standard_normal(s, dtype=np.float32) for name, s in shapes.items()}


def in_the_engine(dy, x, weight):
    """What MatMul and Add do in minires/autograd/ops.py."""
    return dy @ weight.swapaxes(-1, -2), x.swapaxes(-1, -2) @ dy, dy.sum(0)


EXERCISE = Exercise(
    "linear",
    "the linear layer",
    tasks=(
        Task(
            "linear",
            {"y": SAMPLE},
            forward_cases,
            forward,
            mistakes={"y": (without_bias, bias_subtracted)},
        ),
        Task(
            "linear_grad",
            {"dx": SAMPLE, "dweight": MATRIX, "dbias": CHANNEL},
            grad_cases,
            gradients,
            mistakes={
                "dx": (dx_not_transposed,),
                "dweight": (dweight_averaged, dweight_of_first, dweight_of_last, dweight_of_sums),
                "dbias": (dbias_averaged, dbias_of_first, dbias_of_last),
            },
        ),
    ),
    hints=(
        "Write the sum of the task out for one element: by how much does y[n, k] change when "
        "x[n, c] does? When weight[c, k] does? When bias[k] does?",
        "By weight[c, k], x[n, c] and 1. Now the chain rule: dx[n, c] collects from all k, "
        "dweight[c, k] and dbias[k] collect from all samples n, since all of them use it.",
        "A sum over the index that two matrices share is their product. Which index is summed for "
        "dx, which for dweight? Transpose one of the factors so that this index meets itself in "
        "the middle.",
    ),
    race=Race("linear_grad", of_features, reference=in_the_engine, engine=in_the_engine),
    after="dweight is as large as weight, however many samples there are: that is why a network "
    "can be trained on batches of any size.",
)
