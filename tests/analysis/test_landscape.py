"""The loss surface against a closed form, and filter normalisation against its purpose."""

import numpy as np
import pytest

from minires.analysis import filter_normalised_direction, loss_surface
from minires.analysis.landscape import (
    Landscape,
    LandscapeStudy,
    draw,
    loss_at,
    loss_levels,
    moved,
    tell,
)
from minires.models import cifar_resnet
from minires.nn import Conv2d, Flatten, Linear, Sequential
from minires.training import evaluate_split

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
    expected = evaluate_split(model, data).loss
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


def test_an_interruption_while_weights_move_restores_them_too():
    model = network(8, dtype=np.float32)
    before = model.state_dict()
    direction = filter_normalised_direction(model, np.random.default_rng(0))
    broken = direction | {"fc.weight": np.zeros((7, 7, 7))}  # fails after the others have moved
    with pytest.raises(ValueError, match="broadcast"), moved(model, [(0.3, broken)]):
        pass
    assert all(np.array_equal(a, before[n]) for n, a in model.state_dict().items())


def slope(plane=None):
    """Losses that rise on one side only."""
    line = np.linspace(-1, 1, 21)
    lines = np.array([np.where(line > 0, 1 + 10 * line, 1), np.where(line > 0, 1 + 2 * line, 1)])
    side = np.linspace(-1, 1, 3)
    return Landscape(line, lines, side, np.ones((3, 3)) if plane is None else plane)


def test_both_sides_count_in_what_is_told():
    [text] = tell(LandscapeStudy({"plain-8": slope()}, "made up"))
    assert "loss 1.00 where training ended" in text
    assert "half a filter length away 2.5, from 1 to 6" in text
    assert "a whole filter length away 4, from 1 to 11" in text


def test_only_distances_that_were_taken_are_told():
    scene = slope()
    few = Landscape(scene.line[::10], scene.lines[:, ::10], scene.side, scene.plane)
    [text] = tell(LandscapeStudy({"plain-8": few}, "made up"))
    assert "half" not in text
    assert "a whole filter length away 4" in text


def test_the_plane_is_drawn_with_the_first_direction_to_the_right():
    """Losses that rise to 300 along the first direction, and do not change along the second."""
    plane = np.array([[1.0] * 3, [2.0] * 3, [300.0] * 3])
    figure = draw(LandscapeStudy({"plain-8": slope(plane)}, "made up"))
    below = figure.axes[1]
    assert below.get_xlabel() == "step in the first direction"
    steepest = [path for path in below.collections[0].get_paths() if len(path)][-1]
    assert steepest.vertices[:, 0].min() > 0
    assert steepest.vertices[:, 1].min() == -1
    ticks = [tick.get_text() for tick in figure.axes[2].get_yticklabels()]
    assert ticks[0] == "1"
    assert ticks[-1] == "≥ 100"


def test_the_scale_is_that_of_the_losses():
    assert loss_levels([np.array([[0.2, 3.0]]), np.array([[0.5, 9.0]])])[[0, -1]] == pytest.approx(
        [0.2, 9.0]
    )
    assert loss_levels([np.array([[2.0, np.inf, np.nan]])])[0] == pytest.approx(2.0)
    assert loss_levels([np.array([[500.0, 1e9]])])[0] == pytest.approx(500.0)
