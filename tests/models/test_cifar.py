"""The CIFAR networks against the paper's table: layers, map sizes, parameters, multiply-adds."""

from collections import Counter

import numpy as np
import pytest

from minires import Tensor
from minires.models import cifar_resnet
from minires.nn import SHORTCUTS, BatchNorm2d, Conv2d, Linear, summary

PARAMETERS = {  # depth: options A (and plain), B, C
    20: (269_722, 272_474, 283_962),
    32: (464_154, 466_906, 489_594),
    44: (658_586, 661_338, 695_226),
    56: (853_018, 855_770, 900_858),
    110: (1_727_962, 1_730_714, 1_826_202),
    1202: (19_421_274, 19_424_026, 20_538_714),
}
MILLION_MULTIPLY_ADDS = {20: 40.6, 32: 68.9, 44: 97.2, 56: 125.5, 110: 252.9}  # option A


@pytest.mark.parametrize("depth", PARAMETERS)
def test_parameters_equal_the_table_for_every_shortcut(depth):
    for shortcut, expected in zip("ABC", PARAMETERS[depth], strict=True):
        model = cifar_resnet(depth, shortcut=shortcut)
        assert sum(p.data.size for p in model.parameters()) == expected, shortcut


@pytest.mark.parametrize("depth", [d for d in PARAMETERS if d < 1202])
def test_a_plain_network_has_the_parameters_of_option_a(depth):
    plain, resnet = (cifar_resnet(depth, shortcut=kind) for kind in (None, "A"))
    assert [(n, p.shape) for n, p in plain.named_parameters()] == [
        (n, p.shape) for n, p in resnet.named_parameters()
    ]


def multiply_adds(depth):
    """By hand: a stage's maps are a quarter as large and its weights four times as many, so every
    3x3 convolution costs the same but the two that halve the map, which cost half."""
    convolution = 32 * 32 * 9 * 16 * 16
    return 32 * 32 * 27 * 16 + (depth - 2) * convolution - 2 * convolution // 2 + 640


@pytest.mark.parametrize("depth", MILLION_MULTIPLY_ADDS)
def test_multiply_adds_equal_the_table(depth):
    total = summary(cifar_resnet(depth)).multiply_adds
    assert total == multiply_adds(depth)
    assert round(total / 1e6, 1) == MILLION_MULTIPLY_ADDS[depth]


def test_multiply_adds_of_1202_layers():
    """Without running it: per layer the same as in the networks above."""
    by_depth = {depth: summary(cifar_resnet(depth)).multiply_adds for depth in (8, 20)}
    total = by_depth[20] + (1202 - 20) * (by_depth[20] - by_depth[8]) // 12
    assert total == multiply_adds(1202)
    assert round(total / 1e6) == 2829


@pytest.mark.parametrize("depth", [20, 56])
@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_layers_are_counted_as_in_the_paper(depth, shortcut):
    n = (depth - 2) // 6
    model = cifar_resnet(depth, shortcut=shortcut)
    kinds = Counter(type(module) for _, module in model.named_modules())
    projections = {"A": 0, "B": 2, "C": 3 * n, None: 0}[shortcut]
    assert kinds[Conv2d] - projections + kinds[Linear] == 6 * n + 2 == depth
    assert kinds[BatchNorm2d] == kinds[Conv2d]
    assert all(module.bias is None for _, module in model.named_modules() if type(module) is Conv2d)


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_maps_shrink_from_32_to_16_to_8_as_filters_double(shortcut):
    model = cifar_resnet(20, shortcut=shortcut)
    shapes = {}
    for name in ("layer1", "layer2", "layer3"):
        module = getattr(model, name)
        module.register_forward_hook(lambda _, __, y, name=name: shapes.update({name: y.shape[1:]}))
    logits = model(Tensor(np.zeros((2, 32, 32, 3), np.float32)))
    assert logits.shape == (2, 10)
    assert shapes == {"layer1": (32, 32, 16), "layer2": (16, 16, 32), "layer3": (8, 8, 64)}


def test_only_the_first_block_of_the_second_and_third_stage_strides():
    model = cifar_resnet(32)
    strides = [
        [block.conv1.stride for block in stage]
        for stage in (model.layer1, model.layer2, model.layer3)
    ]
    assert strides == [[1] * 5, [2, 1, 1, 1, 1], [2, 1, 1, 1, 1]]


def test_names_are_those_of_torchvision():
    names = [name for name, _ in cifar_resnet(8, shortcut="B").named_parameters()]
    assert names[:3] == ["conv1.weight", "bn1.weight", "bn1.bias"]
    assert "layer1.0.conv2.weight" in names
    assert "layer2.0.downsample.1.bias" in names
    assert names[-2:] == ["fc.weight", "fc.bias"]


def test_the_same_seed_gives_the_same_weights_whatever_the_shortcut():
    plain = cifar_resnet(20, shortcut=None, seed=3).state_dict()
    for shortcut in "ABC":
        state = cifar_resnet(20, shortcut=shortcut, seed=3).state_dict()
        for name, array in plain.items():
            np.testing.assert_array_equal(state[name], array)


def test_another_seed_gives_other_weights():
    first, second = (dict(cifar_resnet(8, seed=seed).named_parameters()) for seed in (0, 1))
    for name, parameter in first.items():
        drawn = parameter.ndim > 1  # batch norm and biases start at 1 and 0
        assert np.array_equal(parameter.data, second[name].data) != drawn, name


def test_float32_and_float64_networks_start_alike():
    single, double = (cifar_resnet(8, dtype=dtype) for dtype in (np.float32, np.float64))
    for a, b in zip(single.parameters(), double.parameters(), strict=True):
        assert (a.dtype, b.dtype) == (np.float32, np.float64)
        np.testing.assert_array_equal(a.data, b.data.astype(np.float32))


def test_weights_have_the_variance_that_keeps_a_signal_through_relu():
    """2 / fan_in, which is not 2 / fan_out where channels change."""
    state = cifar_resnet(20).state_dict()
    weight = state["layer3.2.conv2.weight"]  # 36,864 numbers: a standard error of 0.7 %
    assert weight.var() == pytest.approx(2 / (9 * 64), rel=0.03)
    assert abs(weight.mean()) < 4 * np.sqrt(2 / (9 * 64) / weight.size)
    for name, fan_in in {"layer2.0.conv1": 9 * 16, "layer3.0.conv1": 9 * 32, "fc": 64}.items():
        assert state[f"{name}.weight"].var() == pytest.approx(2 / fan_in, rel=0.15), name


def test_a_plain_network_has_no_way_past_a_layer():
    plain, residual = cifar_resnet(8, shortcut=None), cifar_resnet(8)
    for number in (1, 2, 3):
        assert getattr(plain, f"layer{number}")[0].downsample is None
        assert getattr(residual, f"layer{number}")[0].downsample is not None


def test_every_parameter_gets_a_gradient():
    for shortcut in SHORTCUTS:
        model = cifar_resnet(8, shortcut=shortcut)
        images = np.random.default_rng(0).standard_normal((2, 16, 16, 3)).astype(np.float32)
        model(Tensor(images)).sum().backward()
        assert all(p.grad is not None and p.grad.any() for p in model.parameters()), shortcut


@pytest.mark.parametrize("classes", [2, 100])
def test_the_number_of_classes_can_be_chosen(classes):
    model = cifar_resnet(8, classes=classes)
    assert model(Tensor(np.zeros((1, 8, 8, 3), np.float32))).shape == (1, classes)


@pytest.mark.parametrize(
    ("depth", "nearest"), [(21, 20), (18, 20), (2, 8), (0, 8), (-4, 8), (100, 98), (20.0, 20)]
)
def test_a_depth_that_is_not_six_n_plus_two_is_refused_with_the_nearest(depth, nearest):
    sentence = rf"depth must be 6n \+ 2 .* but is {depth}: the nearest is {nearest}$"
    with pytest.raises(ValueError, match=sentence):
        cifar_resnet(depth)


@pytest.mark.parametrize("shortcut", ["a", "D", "none", 1])
def test_an_unknown_shortcut_is_refused(shortcut):
    with pytest.raises(ValueError, match=f"shortcut must be 'A', 'B', 'C' or None .*{shortcut!r}"):
        cifar_resnet(20, shortcut=shortcut)


@pytest.mark.parametrize(
    ("depth", "options", "sentence"),
    [
        (20, {"block": "wide"}, "block must be 'basic' or 'bottleneck' .* are 'wide' and 'v1'"),
        (20, {"version": "v1.5"}, "version 'v1' or 'v2', but they are 'basic' and 'v1.5'"),
        (112, {"block": "bottleneck"}, r"must be 9n \+ 2 .* with bottlenecks, but is 112: .* 110$"),
    ],
)
def test_what_other_blocks_there_are_not_is_refused(depth, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        cifar_resnet(depth, **options)


def test_names_for_tables_and_pictures():
    names = [cifar_resnet(8, shortcut=shortcut).name for shortcut in SHORTCUTS]
    assert names == ["ResNet-8", "ResNet-8 (B)", "ResNet-8 (C)", "plain-8"]
