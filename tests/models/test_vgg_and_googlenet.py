"""VGG and GoogLeNet: exact counts, and logits and gradients as PyTorch's."""

import numpy as np
import pytest

from minires import Tensor, no_grad
from minires.models import googlenet, vgg, vgg16, vgg19
from minires.nn import summary
from minires.nn.functional import cross_entropy

PARAMETERS = {  # torchvision's
    (16, False): 138_357_544,
    (19, False): 143_667_240,
    (16, True): 138_365_992,
    (19, True): 143_678_248,
}
# The ResNet paper says 15.3 and 19.6 billion: without and with the fully connected layers
MULTIPLY_ADDS = {16: (15_346_630_656, 15_470_264_320), 19: (19_508_428_800, 19_632_062_464)}


@pytest.mark.parametrize(("depth", "batch_norm"), PARAMETERS)
def test_vggs_parameters_and_multiply_adds(depth, batch_norm):
    table = summary(vgg(depth, batch_norm=batch_norm, seed="zeros"), (224, 224, 3))
    convolutions = sum(row.multiply_adds for row in table.rows if row.kind == "Conv2d")
    assert table.parameters == PARAMETERS[depth, batch_norm]
    assert (convolutions, table.multiply_adds) == MULTIPLY_ADDS[depth]


def test_a_plain_network_of_34_layers_takes_18_percent_of_vgg19():
    from minires.models import plain34

    plain, large = summary(plain34(seed="zeros"), (224, 224, 3)), MULTIPLY_ADDS[19][1]
    assert plain.multiply_adds / large == pytest.approx(0.18, abs=0.006)


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({"version": "torchvision"}, 6_624_904),
        ({"version": "torchvision", "aux": True}, 13_004_888),
        ({}, 7_005_832),
    ],
)
def test_googlenets_parameters(options, parameters):
    model = googlenet(seed="zeros", **options)
    assert sum(p.data.size for p in model.parameters()) == parameters


def test_googlenets_maps_are_those_of_table_1():
    model, shapes = googlenet(seed="zeros"), {}
    for name in ["conv1", "maxpool1", "conv3", "maxpool2", "inception3b", "maxpool3"]:
        module = getattr(model, name)
        module.register_forward_hook(lambda _, __, y, name=name: shapes.update({name: y.shape[1:]}))
    for name in ["inception4e", "maxpool4", "inception5b"]:
        module = getattr(model, name)
        module.register_forward_hook(lambda _, __, y, name=name: shapes.update({name: y.shape[1:]}))
    with no_grad():
        model.eval()(Tensor(np.zeros((1, 224, 224, 3), np.float32)))
    sizes = {"conv1": 112, "maxpool1": 56, "conv3": 56, "maxpool2": 28, "inception3b": 28}
    sizes |= {"maxpool3": 14, "inception4e": 14, "maxpool4": 7, "inception5b": 7}
    channels = [64, 64, 192, 192, 480, 480, 832, 832, 1024]
    expected = {n: (s, s, c) for (n, s), c in zip(sizes.items(), channels, strict=True)}
    assert shapes == expected


def test_names_for_tables_and_pictures():
    assert [m.name for m in (vgg16(seed="zeros"), vgg19(batch_norm=True, seed="zeros"))] == [
        "VGG-16",
        "VGG-19 BN",
    ]
    assert googlenet(seed="zeros").name == "GoogLeNet"
    assert googlenet(seed="zeros", version="torchvision").name == "GoogLeNet (torchvision)"


def test_what_there_is_not_is_refused():
    with pytest.raises(ValueError, match="depth must be 16 or 19, not 11"):
        vgg(11)
    with pytest.raises(ValueError, match="version must be 'paper' or 'torchvision', but is 'v1'"):
        googlenet(version="v1")


def test_the_auxiliary_classifiers_answer_in_training_only():
    model = googlenet(aux=True, classes=3, seed=1)
    x = Tensor(np.random.default_rng(0).standard_normal((2, 64, 64, 3), np.float32))
    answers = model(x)
    assert [a.shape for a in answers] == [(2, 3)] * 3
    losses = [cross_entropy(a, np.array([0, 1])) for a in answers]
    (losses[0] + 0.3 * losses[1] + 0.3 * losses[2]).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    assert model.eval()(x).shape == (2, 3)


def test_transformed_input_is_what_the_published_weights_expect():
    """From ImageNet's means and deviations to (x - 0.5) / 0.5."""
    pixels = np.random.default_rng(0).uniform(0, 1, (1, 40, 40, 3))
    x = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    plain = googlenet(classes=3, dtype=np.float64).eval()
    transformed = googlenet(classes=3, transform_input=True, dtype=np.float64).eval()
    expected = plain(Tensor((pixels - 0.5) / 0.5)).data
    np.testing.assert_allclose(transformed(Tensor(x)).data, expected, rtol=1e-10)
