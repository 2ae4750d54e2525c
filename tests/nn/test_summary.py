"""The table of a network's layers."""

import dataclasses

import numpy as np
import pytest

from minires import Tensor
from minires.models import cifar_resnet
from minires.nn import BatchNorm2d, Conv2d, Flatten, Linear, Sequential, summary


@pytest.fixture
def model():
    rng = np.random.default_rng(0)
    return Sequential(
        Conv2d(3, 4, 3, stride=2, bias=True, rng=rng),
        BatchNorm2d(4),
        Flatten(),
        Linear(4 * 3 * 2, 5, rng=rng),
    )


def test_every_layer_has_its_size_parameters_and_multiply_adds(model):
    table = summary(model, (7, 5, 3))
    assert [dataclasses.astuple(row) for row in table.rows] == [
        ("0", "Conv2d", (3, 2, 4), 3 * 3 * 3 * 4 + 4, 3 * 2 * 4 * 27, 4 * 24),
        ("1", "BatchNorm2d", (3, 2, 4), 8, 0, 4 * 24),
        ("2", "Flatten", (24,), 0, 0, 0),  # the same memory
        ("3", "Linear", (5,), 24 * 5 + 5, 24 * 5, 4 * 5),
    ]
    assert table.activation_bytes == 4 * (24 + 24 + 5)
    assert table.parameters == 112 + 8 + 125
    assert table.multiply_adds == 648 + 120


def test_its_text_has_a_line_a_layer_and_a_total(model):
    lines = str(summary(model, (7, 5, 3))).splitlines()
    assert len(lines) == 6
    assert lines[1].split() == ["0", "Conv2d", "3", "x", "2", "x", "4", "112", "648"]
    assert lines[-1].split() == ["total", "245", "768"]


def test_the_network_is_left_as_it_was():
    model = cifar_resnet(8)
    model.layer2.eval()
    before = model.state_dict()
    modes = [module.training for _, module in model.named_modules()]
    summary(model)
    assert [module.training for _, module in model.named_modules()] == modes
    assert all(p.grad is None for p in model.parameters())
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    calls = []
    model.fc.register_forward_hook(lambda *_: calls.append(1))
    model(Tensor(np.zeros((2, 32, 32, 3), np.float32)))
    assert calls == [1]


def test_a_network_that_fails_is_left_as_it_was(model):
    model[1].eval()
    with pytest.raises(ValueError, match="Linear: x must be"):
        summary(model, (9, 9, 3))
    assert [module.training for _, module in model.named_modules()] == [
        True,
        True,
        False,
        True,
        True,
    ]
