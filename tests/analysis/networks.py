"""Small networks for the probes' tests, and what tells whether one was left alone."""

import numpy as np

from minires import Tensor
from minires.data import Dataset
from minires.models import cifar_resnet
from minires.nn import functional as F
from tests.helpers import randomise


def network(depth=14, *, shortcut="A", dtype=np.float64, seed=0):
    """Every parameter and running statistic is off its initial value."""
    model, rng = cifar_resnet(depth, shortcut=shortcut, dtype=dtype), np.random.default_rng(seed)
    randomise(model, rng)
    for name, buffer in model.named_buffers():
        low = 0.5 if "var" in name else -0.2
        buffer += rng.uniform(low, low + 0.4, buffer.shape).astype(dtype)
    return model


def batch(count=6, *, dtype=np.float64, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, 32, 32, 3)).astype(dtype), rng.integers(0, 10, count)


def backward_pass(model, images, labels):
    """The gradients are in the parameters; returns the loss."""
    loss = F.cross_entropy(model(Tensor(images)), labels)
    loss.backward()
    return loss.item()


def dataset(count=40, seed=0):
    """Noise, whose labels show in the brightness."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    images = rng.integers(0, 150, (count, 32, 32, 3)) + 10 * labels[:, None, None, None]
    images, labels = images.astype(np.uint8), labels.astype(np.uint8)
    mirrored = images[::-1].copy(), labels[::-1].copy()
    return Dataset("noise", images, labels, *mirrored, tuple("abcdefghij"))


def traces(model):
    """All that a probe might leave behind in a network: values, modes, gradients, hooks, parts."""
    modules = list(model.named_modules())
    return {
        "parts": [(name, id(module)) for name, module in modules],
        "modes": [module.training for _, module in modules],
        "hooks": [len(module._hooks) for _, module in modules],
        "gradients": [id(parameter.grad) for parameter in model.parameters()],
        "tensor hooks": [len(parameter.hooks) for parameter in model.parameters()],
        "state": {name: array.tobytes() for name, array in model.state_dict().items()},
    }
