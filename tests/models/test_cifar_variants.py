"""CIFAR networks of bottlenecks, and those of He et al. 2016 with the activation in front."""

import numpy as np
import pytest

from minires.models import cifar_resnet
from minires.nn import SHORTCUTS, BatchNorm2d, Conv2d, summary
from tests.helpers import gradcheck_where_smooth, randomise

V2 = {  # depth: parameters and multiply-adds; the paper: 1.7 M (110 and 164), 10.2 M (1001)
    110: ({"version": "v2"}, 1_727_962, 252_887_680),
    164: ({"version": "v2", "block": "bottleneck", "shortcut": "B"}, 1_703_258, 244_500_992),
    1001: ({"version": "v2", "block": "bottleneck", "shortcut": "B"}, 10_327_706, 1_487_849_984),
}


@pytest.mark.parametrize("depth", V2)
def test_the_networks_of_the_second_paper(depth):
    options, parameters, multiply_adds = V2[depth]
    model = cifar_resnet(depth, **options, seed="zeros")
    table = summary(model)
    assert (table.parameters, table.multiply_adds) == (parameters, multiply_adds)
    convolutions = [m for _, m in model.named_modules() if type(m) is Conv2d]
    projections = [
        m for n, m in model.named_modules() if n.endswith("downsample") and m in convolutions
    ]
    assert len(convolutions) - len(projections) + 1 == depth
    norms = sum(type(m) is BatchNorm2d for _, m in model.named_modules())
    assert norms == depth - 1  # one in front of each layer but the first


def test_bottlenecks_of_the_first_version():
    model = cifar_resnet(164, block="bottleneck", shortcut="B", seed="zeros")
    assert summary(model).parameters == 1_704_154
    assert model.layer1[0].conv3.weight.shape == (1, 1, 16, 64)
    assert model.fc.weight.shape == (256, 10)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_plain_bottleneck_network_has_the_parameters_of_option_a(version):
    plain, residual = (
        cifar_resnet(29, block="bottleneck", version=version, shortcut=s) for s in (None, "A")
    )
    for (name, p), (other, q) in zip(
        plain.named_parameters(), residual.named_parameters(), strict=True
    ):
        assert name == other
        np.testing.assert_array_equal(p.data, q.data)


@pytest.mark.parametrize(
    "names", [("v2", "basic"), ("v2", "bottleneck"), ("v1", "bottleneck")], ids=" ".join
)
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_the_gradient_of_a_block(names, training, shortcut, rng):
    version, kind = names
    depth = {"basic": 8, "bottleneck": 11}[kind]
    options = {"version": version, "block": kind, "shortcut": shortcut, "dtype": np.float64}
    block = cifar_resnet(depth, **options).layer2[0].train(training)
    randomise(block, rng)
    channels = {"basic": 16, "bottleneck": 64}[kind]

    def draw():
        return rng.standard_normal((2, 5, 4, channels)), *block.parameters()

    gradcheck_where_smooth(lambda x, *_: block(x), draw, rng=rng, max_elements=4)


@pytest.mark.parametrize("shortcut", ["A", "B", "C"])
def test_the_identities_of_version_two_are_one_clean_path(shortcut):
    """With a silent branch a block hands on its input, sign and all; version 1 cuts off."""
    from minires import Tensor

    x = Tensor(np.random.default_rng(0).standard_normal((2, 8, 8, 16), np.float32))
    for version, clean in (("v2", shortcut != "C"), ("v1", False)):
        block = cifar_resnet(8, version=version, shortcut=shortcut).layer1[0]
        last = block.conv2.weight if version == "v2" else block.bn2.weight
        last *= 0.0
        assert np.array_equal(block(x).data, x.data) == clean


def test_recomputed_blocks_of_version_two_train_alike():
    from minires import Tensor

    x = Tensor(np.random.default_rng(0).standard_normal((2, 8, 8, 3), np.float32))
    gradients = []
    for again in (False, True):
        model = cifar_resnet(29, block="bottleneck", version="v2", recompute=again)
        model(x).sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    assert all(np.array_equal(a, b) for a, b in zip(*gradients, strict=True))
