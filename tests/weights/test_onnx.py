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
    BatchNorm2d,
    Conv2d,
    Flatten,
    GlobalAvgPool,
    Identity,
    Linear,
    Module,
    PReLU,
    ReLU,
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


def other_convolutions():
    rng = np.random.default_rng(0)
    return Sequential(
        Conv2d(3, 6, (3, 2), stride=(2, 1), padding=(0, 1), dilation=(1, 2), rng=rng, bias=True),
        Conv2d(6, 8, 3, groups=2, padding=1, rng=rng),
        BatchNorm2d(8),
        ReLU(),
        GlobalAvgPool(),
    )


def folded_convolutions():
    folded = fold_batch_norm(other_convolutions(), (15, 11, 3))
    assert isinstance(folded[2], Identity)
    return folded


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
    "other convolutions": (other_convolutions, (15, 11, 3)),
    "other convolutions, folded": (lambda: deepcopy(folded_convolutions()), (15, 11, 3)),
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


# ------------------------------------------------------------------- what depends on the images


class Lambda(Module):
    """A function as a network, with a convolution in front."""

    def __init__(self, function):
        super().__init__()
        self.conv, self.function = (
            Conv2d(3, 8, 3, padding=1, rng=np.random.default_rng(0)),
            function,
        )

    def forward(self, x):
        return self.function(self.conv(x))


def answers(model, path, images):
    session = runtime().InferenceSession(path, providers=["CPUExecutionProvider"])
    [logits] = session.run(None, {"images": images.transpose(0, 3, 1, 2)})
    with no_grad():
        expected = model(Tensor(images)).data
    assert relative_error(logits, expected) < 1e-5


ANY_NUMBER = {
    "pixels as rows": lambda x: x.reshape(x.shape[0] * 64, 8).reshape(-1, 512),
    "the number named": lambda x: x.reshape(x.shape[0], 512),
    "the number worked out": lambda x: x.reshape(-1, 512),
    "four axes": lambda x: x.reshape(x.shape[0], 4, 16, 8).sum((1, 2)),
}


@pytest.mark.parametrize("function", ANY_NUMBER.values(), ids=ANY_NUMBER.keys())
def test_a_reshape_fits_any_number_of_images(function, tmp_path, rng):
    model, path = Lambda(function).eval(), tmp_path / "x.onnx"
    export_onnx(model, path, (8, 8, 3))
    for count in (1, 2, 5):
        answers(model, path, rng.random((count, 8, 8, 3), np.float32))


OF_ALL_IMAGES = {
    "a constant": (lambda x: (x * float(x.shape[0])).mean((1, 2)), "Multiply"),
    "a mean over them": (lambda x: (x * (1 / x.shape[0])).mean((0, 1, 2)), "Multiply"),
    "a sum over them": (lambda x: x.sum((0, 1, 2)), "the shape of the result"),
    "rows without end": (lambda x: x.reshape(x.shape[0] * 64, 8), "the shape of the result"),
    "two axes": (
        lambda x: concatenate([x] * len(x)).reshape(len(x), len(x), -1).mean(1),
        "the number of operations|Concatenate|Reshape",
    ),
}


@pytest.mark.parametrize(("function", "what"), OF_ALL_IMAGES.values(), ids=OF_ALL_IMAGES.keys())
def test_what_depends_on_the_number_of_images_is_refused(function, what, tmp_path):
    pytest.importorskip("onnx", reason="needs onnx")
    with pytest.raises(ValueError, match=rf"({what}) differs between two images and three"):
        export_onnx(Lambda(function), tmp_path / "x.onnx", (8, 8, 3))
    assert not list(tmp_path.iterdir())


SIZES = {
    "shortcut A": (lambda: cifar_resnet(8), True),
    "padded on both sides": (lambda: cifar_resnet(8, padding="both"), True),
    "projections": (lambda: cifar_resnet(8, shortcut="B"), True),
    "a flattened map": (lambda: Lambda(lambda x: x.reshape(-1, 8 * 16 * 16)), False),
    "a constant": (lambda: Lambda(lambda x: x.mean((1, 2)) * float(x.shape[1])), False),
}


@pytest.mark.parametrize(("make", "any_size"), SIZES.values(), ids=SIZES.keys())
def test_other_sizes_are_taken_where_the_network_takes_them(make, any_size, tmp_path, rng):
    model, path = make().eval(), tmp_path / "x.onnx"
    export_onnx(model, path, (16, 16, 3))
    session = runtime().InferenceSession(path, providers=["CPUExecutionProvider"])
    assert (session.get_inputs()[0].shape[2:] == ["H", "W"]) == any_size
    for height, width in [(16, 16), *([(17, 23), (32, 20), (15, 9)] if any_size else [])]:
        answers(model, path, rng.random((2, height, width, 3), np.float32))


@pytest.mark.parametrize("kernel", [(1, 3), (3, 1), (1, 7), (5, 3)])
@pytest.mark.parametrize("padding", [0, 1])
def test_both_sides_of_a_kernel_are_exported(kernel, padding, tmp_path, rng):
    conv = Conv2d(3, 4, kernel, padding=padding, rng=np.random.default_rng(0))
    model = Sequential(conv, AdaptiveAvgPool2d(1), Flatten()).eval()
    export_onnx(model, tmp_path / "x.onnx", (9, 8, 3))
    answers(model, tmp_path / "x.onnx", rng.random((2, 9, 8, 3), np.float32))
