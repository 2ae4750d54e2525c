"""Networks as ONNX, run by ONNX Runtime."""

import sys
from copy import deepcopy

import numpy as np
import pytest

from minires import Tensor, concatenate, no_grad, pad
from minires.models import VGG, cifar_resnet, googlenet, resnet, resnet50
from minires.nn import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    Conv2d,
    Flatten,
    Linear,
    Module,
    PReLU,
    Sequential,
    fold_batch_norm,
)
from minires.weights import export_onnx
from tests.helpers import randomise, relative_error


def runtime():
    return pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")


def small_vgg(**options):
    return VGG(16, dropout=0.5, classes=3, hidden=8, seed=0, dtype=np.float32, **options)


def odd_layers():
    rng = np.random.default_rng(0)
    return Sequential(
        Conv2d(3, 4, 3, bias=True, rng=rng),
        PReLU(4),
        AvgPool2d(3, stride=2, padding=1),
        PReLU(),
        AdaptiveAvgPool2d(4),
        Flatten(),
        Linear(64, 5, rng=rng),
    )


def flattened_map():
    rng = np.random.default_rng(0)
    return Sequential(Conv2d(3, 4, 3, rng=rng), Flatten(), Linear(4 * 3 * 2, 5, rng=rng))


class Calculus(Module):
    """The operations of tensors by themselves."""

    def __init__(self):
        super().__init__()
        self.conv = Conv2d(3, 4, (1, 3), rng=np.random.default_rng(0))

    def forward(self, x):
        y = self.conv(x)
        y = (y * y + 1.0).log() / 3.0 - (-y).exp() ** 2.0
        y = pad(concatenate([y.tanh(), y.sigmoid()], axis=1), ((0, 0), (2, 1), (0, 1), (0, 3)), 0.5)
        y = concatenate([y, y.abs().sqrt()], axis=-1)
        return y.transpose(0, 3, 1, 2).sum((2, 3)) + y.mean((1, 2))


NETWORKS = {
    "ResNet-18 A": (lambda: resnet(18, shortcut="A", classes=7), (64, 57, 3)),
    "ResNet-50": (lambda: resnet50(classes=7), (64, 64, 3)),
    "plain-18": (lambda: resnet(18, shortcut=None, classes=7), (64, 64, 3)),
    "v2": (lambda: cifar_resnet(20, block="bottleneck", version="v2", shortcut="C"), (32, 32, 3)),
    "VGG": (lambda: small_vgg(batch_norm=False), (32, 64, 3)),
    "VGG BN": (lambda: small_vgg(batch_norm=True), (64, 32, 3)),
    "GoogLeNet": (lambda: googlenet(classes=7, transform_input=True, aux=True), (96, 75, 3)),
    "folded": (lambda: deepcopy(fold_batch_norm(resnet(18, classes=7))), (64, 64, 3)),
    "other layers": (odd_layers, (15, 11, 3)),
    "flattened map": (flattened_map, (5, 4, 3)),
    "calculus": (Calculus, (5, 4, 3)),
}


@pytest.mark.parametrize(("make", "shape"), NETWORKS.values(), ids=NETWORKS.keys())
def test_onnx_runtime_answers_alike(make, shape, tmp_path, rng):
    model = make()
    randomise(model, rng, scale=0.02)
    for name, buffer in model.named_buffers():
        if "running" in name:
            buffer += rng.uniform(0.1, 0.5, buffer.shape).astype(np.float32)
    training = model.training
    path = tmp_path / "network.onnx"
    export_onnx(model, path, shape)
    assert model.training == training
    session = runtime().InferenceSession(path, providers=["CPUExecutionProvider"])
    for count in (1, 3):  # as many images as one likes
        x = rng.standard_normal((count, *shape)).astype(np.float32)
        [answer] = session.run(None, {"images": x.transpose(0, 3, 1, 2)})
        with no_grad():
            expected = model.eval()(Tensor(x)).data
        assert relative_error(answer, expected) < 2e-5


def test_the_graph_has_names_that_one_knows(tmp_path):
    onnx = pytest.importorskip("onnx")
    export_onnx(cifar_resnet(8), tmp_path / "network.onnx", (32, 32, 3))
    model = onnx.load(tmp_path / "network.onnx")
    assert model.producer_name == "minires"
    assert model.graph.name == "ResNet-8"
    weights = {w.name: tuple(w.dims) for w in model.graph.initializer}
    assert weights["layer2.0.conv1.weight"] == (32, 16, 3, 3)
    assert [i.name for i in model.graph.input] == ["images"]
    assert [o.name for o in model.graph.output] == ["logits"]
    kinds = [node.op_type for node in model.graph.node]
    assert "Transpose" not in kinds  # maps stay maps


class Picked(Module):
    """Something that ONNX could do, but this export does not."""

    def __init__(self):
        super().__init__()
        self.conv = Conv2d(3, 4, 1, rng=np.random.default_rng(0))

    def forward(self, x):
        return self.conv(x)[:, 0, 0]


def test_what_can_not_be_exported_is_named_and_nothing_written(tmp_path):
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match="the operation GetItem can't be exported to ONNX"):
        export_onnx(Picked(), tmp_path / "network.onnx", (4, 4, 3))
    assert not list(tmp_path.iterdir())


def test_without_the_package_a_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setitem(sys.modules, "onnx.checker", None)
    with pytest.raises(ValueError, match="needs the package onnx: pip install onnx"):
        export_onnx(cifar_resnet(8), tmp_path / "network.onnx", (32, 32, 3))
