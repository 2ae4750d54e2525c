"""Fig. 7's figures where they are known."""

import numpy as np
import pytest

from minires import Tensor
from minires.analysis import response_stds
from minires.models import cifar_resnet
from minires.nn import BatchNorm2d

from .networks import batch, network

IMAGES, _ = batch(5)


@pytest.mark.parametrize("shortcut", ["A", "C", None])
def test_at_initialisation_every_response_has_unit_deviation(shortcut):
    stds = response_stds(cifar_resnet(14, shortcut=shortcut, dtype=np.float64), IMAGES)
    assert stds.shape == (13,)
    np.testing.assert_allclose(stds, 1, atol=1e-3)


def test_a_response_is_scale_and_shift_pooled_over_the_channels():
    """Within a channel the deviation is |weight|, between channels that of the biases."""
    model = network(14)
    norms = [m for n, m in model.named_modules() if isinstance(m, BatchNorm2d)]
    expected = [np.sqrt((m.weight.data**2).mean() + m.bias.data.var()) for m in norms]
    np.testing.assert_allclose(response_stds(model, IMAGES), expected, rtol=1e-3)


def test_layers_are_in_the_order_of_their_use():
    """The first is the first layer's, before its ReLU."""
    model = network(8)
    first = model.bn1.train()(model.conv1(Tensor(IMAGES))).data.std()
    assert response_stds(model, IMAGES)[0] == pytest.approx(first, rel=1e-9)
