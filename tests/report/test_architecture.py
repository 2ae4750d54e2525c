"""The picture of networks: it shows what runs."""

import xml.etree.ElementTree as ET

import pytest
from typer.testing import CliRunner

from minires.cli import app
from minires.models import by_name, cifar_resnet, googlenet, plain34, resnet34, resnet50, vgg19
from minires.report import draw_architectures
from minires.report.architecture import outline

LARGE = (224, 224, 3)


def texts(boxes):
    return [text for box in boxes for text in box.texts if text]


@pytest.mark.parametrize("make", [plain34, lambda **o: resnet34(shortcut="A", **o)])
def test_a_box_for_each_of_34_layers(make):
    boxes = outline(make(seed="zeros"), LARGE)
    layers = [box for box in boxes if box.kind in ("conv", "fc")]
    assert len(layers) == 34
    assert [box.texts[0] for box in layers[:2]] == ["7×7 conv, 64, /2", "3×3 conv, 64"]
    assert [box.texts[0] for box in boxes if box.kind == "pool"] == ["max pool, /2", "avg pool"]
    assert sum(box.texts[0].startswith("3×3 conv, 256") for box in layers) == 12


def test_shortcuts_stand_where_they_are_and_dotted_where_the_shape_changes():
    boxes = outline(resnet34(seed="zeros"), LARGE)
    kinds = {box.block: box.shortcut for box in boxes if box.block}
    assert list(kinds.values()).count("changed") == 3
    assert list(kinds.values()).count("identity") == 13
    assert kinds["layer2.0"] == "changed"
    assert not any(box.shortcut for box in outline(plain34(seed="zeros"), LARGE))
    everywhere = outline(cifar_resnet(8, shortcut="C", seed="zeros"), (32, 32, 3))
    assert {box.shortcut for box in everywhere if box.block} == {"changed"}


def test_maps_are_as_large_as_they_are():
    boxes = outline(vgg19(seed="zeros"), (64, 64, 3))
    assert [box.size for box in boxes if box.kind == "pool"] == [32, 16, 8, 4, 2]
    assert texts(boxes)[-3:] == ["fc, 4096", "fc, 4096", "fc, 1000"]


def test_branches_stand_side_by_side():
    boxes = outline(googlenet(seed="zeros"), (64, 64, 3))
    rows = [box.texts for box in boxes if box.block == "inception3a"]
    assert rows == [
        ("1×1, 64", "1×1, 96", "1×1, 16", "pool"),
        ("", "3×3, 128", "5×5, 32", "1×1, 32"),
    ]


def test_many_equal_blocks_are_counted():
    boxes = outline(cifar_resnet(110, seed="zeros"), (32, 32, 3))
    words = [text for text in texts(boxes) if "more" in text]
    assert words == ["⋮  15 more blocks", "⋮  14 more blocks", "⋮  14 more blocks"]


def test_the_file_is_svg_with_names_and_costs(tmp_path):
    models = [plain34(seed="zeros"), resnet50(seed="zeros").train()]
    path = draw_architectures(models, tmp_path / "two.svg", LARGE)
    words = [
        "".join(node.itertext()) for node in ET.parse(path).iter() if node.tag.endswith("text")
    ]
    assert {"plain-34", "ResNet-50", "3.6 billion multiply-adds", "25.6 million parameters"} <= {
        *words
    }
    assert models[1].training


def test_the_command_draws(tmp_path):
    path = tmp_path / "x.svg"
    result = CliRunner().invoke(app, ["draw", "plain20", "resnet20", "--out", str(path)])
    assert result.exit_code == 0, result.output
    assert "32 × 32" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("resnet50", "ResNet-50"),
        ("plain34", "plain-34"),
        ("resnet20", "ResNet-20"),
        ("plain56", "plain-56"),
        ("vgg16_bn", "VGG-16 BN"),
        ("googlenet", "GoogLeNet"),
    ],
)
def test_networks_by_name(name, shown):
    assert by_name(name, seed="zeros").name == shown


@pytest.mark.parametrize("name", ["resnet", "alexnet", "vgg16bn", "ResNet50"])
def test_an_unknown_name_is_refused_with_examples(name):
    with pytest.raises(ValueError, match=f"no network '{name}': try resnet50, plain34"):
        by_name(name)
