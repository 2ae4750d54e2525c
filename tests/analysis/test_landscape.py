"""The loss surface against a closed form, and filter normalisation against its purpose."""

import numpy as np
import pytest

from minires.analysis import filter_normalised_direction, loss_surface
from minires.analysis.landscape import loss_at, moved
from minires.models import cifar_resnet
from minires.nn import Conv2d, Flatten, Linear, Sequential
from minires.training import evaluate

from .networks import batch, dataset, network


def linear():
    """Softmax regression on images of one pixel."""
    return Sequential(Flatten(), Linear(4, 3, rng=np.random.default_rng(0), dtype=np.float64))


def cross_entropy(logits, labels):
    shifted = logits - logits.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return -logs[np.arange(len(labels)), labels].mean()


def test_a_linear_network_has_the_loss_that_a_formula_gives():
    model, rng = linear(), np.random.default_rng(1)
    images, labels = rng.standard_normal((300, 1, 1, 4)), rng.integers(0, 3, 300)
    result = loss_surface(model, (images, labels), points=5, directions=2, size=3, seed=7)
    draws, weight = np.random.default_rng(7), model[1].weight.data
    ways = []
    for _ in range(2):
        noise = draws.standard_normal((4, 3))
        ways.append(noise * np.linalg.norm(weight, axis=0) / np.linalg.norm(noise, axis=0))
    x, bias = images[:, 0, 0], model[1].bias.data
    for i, t in enumerate(np.linspace(-1, 1, 5)):
        for j, way in enumerate(ways):
            expected = cross_entropy(x @ (weight + t * way) + bias, labels)
            assert result.lines[j, i] == pytest.approx(expected, rel=1e-12)
    few = slice(0, 256)
    for i, a in enumerate((-1, 0, 1)):
        for j, b in enumerate((-1, 0, 1)):
            logits = x[few] @ (weight + a * ways[0] + b * ways[1]) + bias
            assert result.plane[i, j] == pytest.approx(
                cross_entropy(logits, labels[few]), rel=1e-12
            )


def test_the_middle_is_the_loss_of_the_network():
    model, data = network(8, dtype=np.float32), dataset(40)
    from minires.data import evaluation_batches

    images = next(evaluation_batches(data, "test", 40))
    result = loss_surface(model, images, points=3, directions=1, size=3)
    expected = evaluate(model, data).loss
    assert result.lines[0, 1] == pytest.approx(expected, rel=1e-4)
    assert result.plane[1, 1] == pytest.approx(expected, rel=1e-4)


def test_every_filter_of_a_direction_is_as_long_as_the_networks():
    model = network(8)
    direction = filter_normalised_direction(model, np.random.default_rng(0))
    parameters = dict(model.named_parameters())
    assert "bn1.weight" not in direction
    assert "fc.bias" not in direction
    for name, change in direction.items():
        for channel in range(change.shape[-1]):
            wanted = np.linalg.norm(parameters[name].data[..., channel])
            assert np.linalg.norm(change[..., channel]) == pytest.approx(wanted)


def test_the_surface_is_blind_to_the_scale_of_filters_behind_batch_norm():
    """Doubling a filter and its batch norm's statistics changes nothing that is computed."""
    model, images = network(8), batch(4)
    twin = cifar_resnet(8, dtype=np.float64)
    twin.load_state_dict(model.state_dict())
    for name, factor in (("conv1", 2.0), ("layer2.0.conv1", 0.25)):
        rescale(twin, name, factor)
    surfaces = [loss_surface(m, images, points=3, directions=1, size=2) for m in (model, twin)]
    np.testing.assert_allclose(surfaces[0].lines, surfaces[1].lines, rtol=1e-3)
    raw = [
        loss_at(m, images, [(1.0, {"layer2.0.conv1.weight": np.full((3, 3, 16, 32), 0.1)})])
        for m in (model, twin)
    ]
    assert abs(raw[0] - raw[1]) > 1e-2 * raw[0]  # a step not normalised is another one there


def rescale(model, name, factor):
    parts = dict(model.named_modules())
    conv, norm = parts[name], parts[name.replace("conv", "bn")]
    assert isinstance(conv, Conv2d)
    conv.weight *= factor
    norm.running_mean *= factor
    norm.running_var *= factor**2


def test_moving_back_restores_every_bit():
    model = network(8, dtype=np.float32)
    before = model.state_dict()
    direction = filter_normalised_direction(model, np.random.default_rng(0))
    with moved(model, [(0.3, direction)]):
        assert not np.array_equal(model.conv1.weight.data, before["conv1.weight"])
    assert all(np.array_equal(a, before[n]) for n, a in model.state_dict().items())
