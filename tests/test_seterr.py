"""`np.seterr(all="raise")` finds mistakes, and no number that is rightly so small that it is 0."""

import dataclasses

import numpy as np
import pytest

from minires import Tensor, nn, optim, precision
from minires.data import load
from minires.evaluation import predict
from minires.models import cifar_resnet
from minires.nn import functional as F
from minires.nn.averaging import WeightAverage
from minires.training import PRESETS, Trainer


@pytest.fixture(autouse=True)
def all_raise():
    with np.errstate(all="raise"):
        yield


OPERATIONS = {
    "exp": lambda x: (-100 * x * x).exp(),
    "sigmoid": lambda x: (9 * x).sigmoid(),
    "tanh": lambda x: (9 * x).tanh(),
    "softmax": lambda x: F.softmax(9 * x),
    "log_softmax": lambda x: F.log_softmax(9 * x),
    "cross_entropy": lambda x: F.cross_entropy(9 * x, np.arange(len(x))),
    "soft targets": lambda x: F.cross_entropy(9 * x, np.full(x.shape, 1 / x.shape[1])),
    "product": lambda x: (x * 1e-30) * (x * 1e-30) * 1e-300,
    "square": lambda x: (x * 1e-30) ** 2 * 1e-300,
    "quotient": lambda x: x * 1e-30 / 1e15 * 1e-300,
    "matrix product": lambda x: (x * 1e-30) @ (x.transpose() * 1e-30),
    "mean": lambda x: ((x * 1e-44) * 1e-300).mean(),
    "linear": lambda x: nn.Linear(x.shape[1], 4, dtype=x.dtype)(x * 1e-30) * 1e-30,
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPERATIONS)
def test_what_underflows_is_zero_forward_and_backward(name, dtype, rng):
    """13 operations x 2 dtypes."""
    x = Tensor((300 * rng.standard_normal((5, 7))).astype(dtype), requires_grad=True)
    OPERATIONS[name](x).sum().backward()
    assert np.isfinite(x.grad).all()


OPTIMISERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adamw": optim.AdamW,
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_so_are_steps(name):
    layer = nn.Linear(3, 4)
    optimizer, average = OPTIMISERS[name](layer.parameters()), WeightAverage(layer)
    for _ in range(2):
        (layer(Tensor(np.ones((2, 3), np.float32))) * 1e-25).sum().backward()
        optim.clip_gradients(layer.parameters(), 1e-25)
        optimizer.step()
        average.update()


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_a_network_is_trained_and_asked(kind, rng):
    model = cifar_resnet(8)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    x = Tensor(rng.standard_normal((4, 32, 32, 3)).astype(np.float32))
    with precision(kind):
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(100 * model(x), np.arange(4)).backward()
            optimizer.step()
        predict(model.eval(), list(100 * x.numpy()))


CHOICES = [
    {},
    {"label_smoothing": 0.1, "mixup": 0.2, "average": 0.99, "clip_norm": 1.0},
    {"optimizer": "adamw"},
]


@pytest.mark.parametrize("choices", CHOICES)
def test_so_does_a_trainer(choices, tmp_path):
    data = load("builtin")
    recipe = dataclasses.replace(PRESETS["toy"](8, len(data.train_images)), **choices)
    Trainer(cifar_resnet(8), data, recipe, folder=tmp_path, seed=0, name="ResNet-8").run()


def test_a_mistake_is_still_told():
    with pytest.raises(FloatingPointError, match="divide by zero"):
        1 / Tensor([0.0])
