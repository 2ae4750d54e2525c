"""The ImageNet ResNets against the paper's table 1 and torchvision's exact counts."""

from collections import Counter

import numpy as np
import pytest

from minires import Tensor, models
from minires.models import plain34, resnet, resnet18, resnet50
from minires.nn import SHORTCUTS, BatchNorm2d, Conv2d, Linear, summary

DEPTHS = (18, 34, 50, 101, 152)
PARAMETERS = dict(  # torchvision's, shortcuts B
    zip(DEPTHS, (11_689_512, 21_797_672, 25_557_032, 44_549_160, 60_192_808), strict=True)
)
MULTIPLY_ADDS = {  # exact, strides as in the paper; table 1 has 1.8, 3.6, 3.8, 7.6, 11.3 billion
    18: 1_814_073_344,
    34: 3_663_761_408,
    50: 3_857_973_248,
    101: 7_570_194_432,
    152: 11_282_415_616,
}
TABLE_1 = dict(zip(DEPTHS, (1.8, 3.6, 3.8, 7.6, 11.3), strict=True))


def parameters(model):
    return sum(p.data.size for p in model.parameters())


def by_name(depth, **options):
    return getattr(models, f"resnet{depth}")(**options)


@pytest.mark.parametrize("depth", DEPTHS)
def test_parameters_and_multiply_adds(depth):
    table = summary(by_name(depth), (224, 224, 3))
    assert table.parameters == PARAMETERS[depth]
    assert table.multiply_adds == MULTIPLY_ADDS[depth]
    assert abs(table.multiply_adds / 1e9 - TABLE_1[depth]) < 0.065  # the paper rounds or cuts off


OTHER_WIDTHS = {  # torchvision's counts, and its billions of multiply-adds
    "wide_resnet50_2": (68_883_240, 11.40),
    "wide_resnet101_2": (126_886_696, 22.75),
    "resnext50_32x4d": (25_028_904, 4.23),
    "resnext101_32x8d": (88_791_336, 16.41),
}


@pytest.mark.parametrize(("name", "counts"), OTHER_WIDTHS.items(), ids=OTHER_WIDTHS)
def test_other_widths_have_torchvisions_counts(name, counts):
    model = models.by_name(name, seed="zeros")
    table = summary(model, (224, 224, 3))
    assert table.parameters == counts[0]
    assert f"{table.multiply_adds / 1e9:.2f}" == f"{counts[1]:.2f}"
    assert model.version == "v1.5"
    assert model.layer1[0].conv2.groups == (32 if "next" in name else 1)


def test_names_tell_widths():
    names = [models.by_name(name, seed="zeros").name for name in list(OTHER_WIDTHS)[::2]]
    assert names == ["ResNet-50 1x128d v1.5", "ResNet-50 32x4d v1.5"]


@pytest.mark.parametrize("depth", [18, 34])
def test_basic_blocks_have_no_groups(depth):
    with pytest.raises(ValueError, match=rf"for bottlenecks \(50, 101, 152\), not {depth}"):
        resnet(depth, groups=32, width_per_group=4)


GREY = {
    "resnet18": lambda: resnet18(channels=1, classes=3),
    "cifar_resnet": lambda: models.cifar_resnet(8, channels=1, classes=3),
    "googlenet": lambda: models.googlenet(channels=1, classes=3),
    "vgg": lambda: models.VGG(
        16, channels=1, batch_norm=False, dropout=0, classes=3, seed=0, dtype="f4", hidden=2
    ),
}


@pytest.mark.parametrize("make", GREY.values(), ids=GREY)
def test_images_may_have_one_channel(make):
    model = make().eval()
    assert model(Tensor(np.zeros((2, 32, 32, 1), np.float32))).shape == (2, 3)


def test_colours_are_not_transformed_where_there_are_none():
    with pytest.raises(ValueError, match="transform_input is for 3 channels, red, green and blue"):
        models.googlenet(channels=1, transform_input=True)
    assert models.vgg16(channels=4, seed="zeros", classes=1).features[0].weight.shape[2] == 4


def test_torchvisions_strides_cost_more():
    """Its ResNet-50 v1.5 has 4.09 billion multiply-adds, with the same parameters."""
    table = summary(resnet50(version="v1.5"), (224, 224, 3))
    assert table.multiply_adds == 4_089_184_256
    assert table.parameters == PARAMETERS[50]


def test_basic_blocks_stride_alike_in_both_versions():
    first, second = (summary(resnet18(version=v), (64, 64, 3)).rows for v in ("v1", "v1.5"))
    assert first == second


@pytest.mark.parametrize("depth", [18, 34])
def test_a_plain_network_has_the_parameters_of_option_a(depth):
    plain = getattr(models, f"plain{depth}")()
    own = [(name, p.shape) for name, p in plain.named_parameters()]
    assert own == [(n, p.shape) for n, p in resnet(depth, shortcut="A").named_parameters()]
    assert (
        summary(plain, (224, 224, 3)).multiply_adds == {18: 1_794_805_760, 34: 3_644_493_824}[depth]
    )


def test_the_plain_twin_starts_from_the_same_weights():
    plain, residual = plain34(seed=3).state_dict(), resnet(34, seed=3).state_dict()
    for name, array in plain.items():
        np.testing.assert_array_equal(array, residual[name])


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_layers_are_counted_as_in_the_paper(depth, shortcut):
    model = resnet(depth, shortcut=shortcut, seed="zeros")
    kinds = Counter(type(m) for m in model.modules())
    blocks = {18: 8, 34: 16, 50: 16, 101: 33, 152: 50}[depth]
    changes = 3 if depth < 50 else 4  # bottlenecks widen in the first stage too
    projections = {"A": 0, "B": changes, "C": blocks, None: 0}[shortcut]
    assert kinds[Conv2d] - projections + kinds[Linear] == depth
    assert kinds[BatchNorm2d] == kinds[Conv2d]


@pytest.mark.parametrize("model", [resnet18(), resnet50(), plain34()], ids=lambda m: m.name)
def test_maps_shrink_as_in_table_1(model):
    shapes = []
    names = ["conv1", "maxpool", "layer1", "layer2", "layer3", "layer4"]
    for name in names:
        getattr(model, name).register_forward_hook(lambda _, __, y: shapes.append(y.shape[1:3]))
    logits = model.eval()(Tensor(np.zeros((1, 224, 224, 3), np.float32)))
    assert logits.shape == (1, 1000)
    assert shapes == [(size, size) for size in (112, 56, 56, 28, 14, 7)]


@pytest.mark.parametrize(("version", "strides"), [("v1", (2, 1, 1)), ("v1.5", (1, 2, 1))])
def test_where_a_bottleneck_strides(version, strides):
    first, second = list(resnet50(version=version).layer2)[:2]
    assert tuple(getattr(first, f"conv{i}").stride for i in (1, 2, 3)) == strides
    assert tuple(getattr(second, f"conv{i}").stride for i in (1, 2, 3)) == (1, 1, 1)


def test_names_are_those_of_torchvision():
    names = list(resnet50().state_dict())
    assert {"conv1.weight", "bn1.running_mean", "layer1.0.conv3.weight", "fc.bias"} <= set(names)
    assert "layer4.0.downsample.1.running_var" in names
    assert len(names) == 161 + 2 * 53  # PyTorch's own list has a counter for each batch norm too


def test_names_for_tables_and_pictures():
    names = [resnet(34, shortcut=s, seed="zeros").name for s in SHORTCUTS]
    assert names == ["ResNet-34 (A)", "ResNet-34", "ResNet-34 (C)", "plain-34"]
    assert resnet50(version="v1.5", seed="zeros").name == "ResNet-50 v1.5"


@pytest.mark.parametrize("depth", [18, 50])
def test_any_image_size_will_do(depth):
    model = by_name(depth, classes=7).eval()
    assert model(Tensor(np.zeros((1, 65, 40, 3), np.float32))).shape == (1, 7)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"depth": 20}, "depth must be one of 18, 34, 50, 101, 152, not 20"),
        ({"depth": 18, "shortcut": "D"}, "shortcut must be 'A', 'B', 'C' or None .* is 'D'"),
        ({"depth": 50, "version": "v2"}, r"version must be 'v1' .* or 'v1.5' .* is 'v2'"),
    ],
)
def test_what_there_is_not_is_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        resnet(**options)
