"""The predictions, and the measurement that decides."""

import functools

import numpy as np

from ...autograd import Tensor
from ...nn import functional as F
from ...nn.init import he_normal
from ..task import Case, Exercise, Task

BLOCKS, CHANNELS, SIDE, BATCH = 27, 16, 8, 16
LIMIT = 100  # from here on a gradient "explodes"; below 1 / LIMIT it "vanishes"

# shortcut, batch_norm, weight_scale
NETWORKS = (
    (0, False, 0.7),
    (0, False, 1),
    (0, True, 1),
    (0, True, 0.7),
    (1, False, 1),
    (1, True, 1),
    (0.5, False, 0.7),
    (0.5, True, 1),
)


@functools.cache
def measure(shortcut, batch_norm, weight_scale, seed=0):
    """|gradient at layer 1's input| / |gradient at the last layer's output|, at initialisation."""
    rng = np.random.default_rng(seed)
    shape = (BATCH, SIDE, SIDE, CHANNELS)
    x = Tensor(rng.standard_normal(shape, np.float32), requires_grad=True)
    y = x
    for _ in range(BLOCKS):
        branch = F.relu(layer(y, batch_norm, weight_scale, rng))
        branch = layer(branch, batch_norm, weight_scale, rng)
        y = F.relu(branch + y * shortcut if shortcut else branch)
    dy = rng.standard_normal(shape, np.float32)
    y.backward(dy)
    return float(np.linalg.norm(x.grad) / np.linalg.norm(dy))


def layer(x, batch_norm, weight_scale, rng):
    """A convolution, and batch norm if wanted."""
    weight = he_normal((3, 3, CHANNELS, CHANNELS), rng, np.float32) * np.float32(weight_scale)
    z = F.conv2d(x, Tensor(weight), padding=1)
    if not batch_norm:
        return z
    ones, zeros = Tensor(np.ones(CHANNELS, np.float32)), Tensor(np.zeros(CHANNELS, np.float32))
    return F.batch_norm(z, ones, zeros)[0]


def in_digits(ratio):
    """Two digits, with an exponent for small numbers only."""
    return f"{float(f'{ratio:.2g}'):,.0f}" if ratio >= 10 else f"{ratio:.2g}"


def in_a_word(ratio):
    """What the student's function should have said."""
    if ratio < 1 / LIMIT:
        return "vanishes"
    return "explodes" if ratio > LIMIT else "keeps its size"


def cases(rng):
    """Every network, with what was measured as the note."""
    for network in NETWORKS:
        arguments = dict(zip(("shortcut", "batch_norm", "weight_scale"), network, strict=True))
        yield Case(arguments, f"measured: {in_digits(measure(*network))} times as large at layer 1")


def measured(shortcut, batch_norm, weight_scale):
    """By building the network."""
    return in_a_word(measure(shortcut, batch_norm, weight_scale))


def the_slogan(shortcut, batch_norm, weight_scale):
    """This is the popular account: plain networks vanish, residual ones do not. Measure: with batch
    norm a plain network's gradient does not vanish at the start, it explodes; and without batch
    norm a residual network's explodes too."""
    return "keeps its size" if shortcut == 1 else "vanishes"


def plain_vanishes(shortcut, batch_norm, weight_scale):
    """This is the popular account: a network without skip connections vanishes. Measure: it depends
    on the scale of the weights, and with batch norm it explodes instead."""
    return "vanishes" if shortcut == 0 else "keeps its size"


def norm_cures(shortcut, batch_norm, weight_scale):
    """You take batch norm for the cure. It keeps the size of the signal on the way forward; on the
    way back, without a full skip connection, it makes gradients grow at the start."""
    return "keeps its size" if batch_norm else "vanishes"


def norm_cures_scale(shortcut, batch_norm, weight_scale):
    """Without batch norm you are nearly right, but batch norm is not the cure you take it for: on
    the way back, without a full skip connection, it makes gradients grow at the start."""
    if batch_norm:
        return "keeps its size"
    return "vanishes" if weight_scale < 1 else "keeps its size"


def scale_decides(shortcut, batch_norm, weight_scale):
    """You let the weights' scale decide alone. Without batch norm it matters; batch norm divides it
    out: a layer's result is the same for weights of 0.7 times the size."""
    return "vanishes" if weight_scale < 1 else "keeps its size"


def everything_vanishes(shortcut, batch_norm, weight_scale):
    """You say "vanishes" for every network: 54 layers alone do not make a gradient vanish. Each
    layer multiplies it; by how much?"""
    return "vanishes"


def everything_keeps(shortcut, batch_norm, weight_scale):
    """You say "keeps its size" for every network. Each of 54 layers multiplies the gradient: 1.1
    each makes 172 together, 0.7 each makes 4e-9."""
    return "keeps its size"


def everything_explodes(shortcut, batch_norm, weight_scale):
    """You say "explodes" for every network. Each of 54 layers multiplies the gradient; by less than
    1, too."""
    return "explodes"


def residual_without_norm(shortcut, batch_norm, weight_scale):
    """All right but one: without batch norm a residual network explodes. Every block adds its
    branch to x, and nothing scales the sum down, so it doubles again and again."""
    if shortcut == 1:
        return "keeps its size"
    return measured(shortcut, batch_norm, weight_scale)


def plain_with_norm(shortcut, batch_norm, weight_scale):
    """All right but for plain networks with batch norm, whose gradients you let vanish. He et al.
    2015, sec. 4.1, say that they do not; at the start they even explode."""
    if shortcut == 0 and batch_norm:
        return "vanishes"
    return measured(shortcut, batch_norm, weight_scale)


def plain_with_norm_keeps(shortcut, batch_norm, weight_scale):
    """All right but for plain networks with batch norm: at the start their gradients explode. Batch
    norm divides by the spread of the convolution's result, which is a little less than 1, at every
    layer."""
    if shortcut == 0 and batch_norm:
        return "keeps its size"
    return measured(shortcut, batch_norm, weight_scale)


def norm_keeps(shortcut, batch_norm, weight_scale):
    """All right without batch norm. With it you say "keeps its size" always; it does so on the way
    forward, but on the way back, without a full skip connection, gradients grow at the start."""
    if batch_norm:
        return "keeps its size"
    return measured(shortcut, batch_norm, weight_scale)


def half_shortcut(shortcut, batch_norm, weight_scale):
    """All right but for the shortcut of 0.5 with batch norm: half of a skip connection does not
    keep the gradient's size; the branch takes over, and it explodes as in a plain network."""
    if shortcut == 0.5 and batch_norm:
        return "keeps its size"
    return measured(shortcut, batch_norm, weight_scale)


def half_shortcut_vanishes(shortcut, batch_norm, weight_scale):
    """All right but for the shortcut of 0.5 with batch norm: 0.5 to the power of 27 is next to
    nothing, but the branches' terms are not, and with batch norm they grow."""
    if shortcut == 0.5 and batch_norm:
        return "vanishes"
    return measured(shortcut, batch_norm, weight_scale)


EXERCISE = Exercise(
    "plain_or_residual",
    "plain or residual: predict the gradient at layer 1",
    tasks=(
        Task(
            "predict",
            {"prediction": ()},
            cases,
            measured,
            mistakes={
                "prediction": (
                    the_slogan,
                    plain_vanishes,
                    norm_cures,
                    norm_cures_scale,
                    scale_decides,
                    everything_vanishes,
                    everything_keeps,
                    everything_explodes,
                    residual_without_norm,
                    plain_with_norm,
                    plain_with_norm_keeps,
                    norm_keeps,
                    half_shortcut,
                    half_shortcut_vanishes,
                )
            },
            tell=True,
        ),
    ),
    hints=(
        "Each layer multiplies the gradient by some factor, and 54 factors are multiplied: 0.7 to "
        "the power of 54 is 4e-9. Begin without batch norm: which factor does the weights' scale "
        "bring?",
        "He's initialisation keeps the signal's size through conv and ReLU. What happens to a sum "
        "F(x) + x of two signals of that size, 27 times over? And what does batch norm do to "
        "weights that are 0.7 times as large?",
        "Batch norm divides by the spread of its input: on the way back, too, and there the factor "
        "of a plain layer is a little more than 1. Only where a full skip connection carries most "
        "of the signal does that not add up. The paper says of its plain networks with batch norm "
        "that their gradients do not vanish.",
    ),
    after="So the slogan that plain networks fail because gradients vanish is not what is "
    "measured: with batch norm they explode at the start, and in training their size is moderate "
    "(He et al. 2015, sec. 4.1; the main job draws it). One thing that does tell plain and "
    "residual networks apart is how well the gradients of neighbouring inputs agree "
    "(Balduzzi et al. 2017).",
)
