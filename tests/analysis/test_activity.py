"""Dead units that were killed on purpose, and updates of known size."""

import numpy as np
import pytest

from minires.analysis import dead_shares, update_ratios
from minires.analysis.activity import Activity, draw, weights_of
from minires.optim import SGD

from .networks import backward_pass, batch, network


def test_channels_that_were_switched_off_are_dead():
    model, images = network(8), batch(4)[0]
    for norm in (model.bn1, model.layer1[0].bn1):
        norm.bias[...] = 100.0
    model.bn1.bias[:4] = -100.0  # 4 of 16 channels, all negative
    model.layer1[0].conv1.weight[...] = 0
    shares = dead_shares(model, images)
    assert len(shares) == 7  # the first layer's, and two in each block
    assert shares[0] == 4 / 16
    assert shares[1] == 0


def test_a_channel_that_one_image_wakes_is_alive():
    model, images = network(8), batch(4)[0]
    for channel in range(16):
        model.conv1.weight[..., channel] = 0
    model.bn1.bias[...] = -1.0
    model.bn1.running_mean[...] = 0
    model.conv1.weight[1, 1, 0, 0] = 1000.0
    assert dead_shares(model, images)[0] == 15 / 16


def test_an_update_is_rate_times_gradient_over_weight():
    model, (images, labels) = network(8), batch(4)
    before = weights_of(model)
    backward_pass(model.train(), images, labels)
    gradients = {name: p.grad for name, p in model.named_parameters()}
    SGD(model.parameters(), lr=0.3, momentum=0, weight_decay=0).step()
    expected = [
        0.3 * np.linalg.norm(gradients[name]) / np.linalg.norm(w) for name, w in before.items()
    ]
    assert update_ratios(before, model) == pytest.approx(expected, rel=1e-9)
    assert len(before) == 8


@pytest.mark.parametrize(("share", "top"), [(0.0, 10), (0.75, 75)])
def test_the_scale_shows_all_that_is_dead(share, top):
    dead = {"plain-20": np.full((1, 19), share), "ResNet-20": np.zeros((1, 19))}
    ratios = {name: np.full((1, 20), 1e-3) for name in dead}
    axis = draw(Activity((1,), dead, ratios, "made up")).axes[0]
    low, high = axis.get_ylim()
    assert low < 0
    assert top < high < 1.1 * top
