"""State dicts in torchvision's layout: written, read back, recognised, and refused in detail."""

import numpy as np
import pytest

from minires import Tensor, no_grad
from minires.models import (
    VGG,
    by_name,
    cifar_resnet,
    googlenet,
    plain18,
    resnet,
    resnet18,
    resnet50,
)
from minires.nn import Dropout, Linear, Sequential
from minires.weights import load_torchvision, save_torchvision
from minires.weights.recognise import recognise
from minires.weights.torchvision import slots_of, torch_state
from tests.helpers import randomise

KINDS = pytest.mark.parametrize("suffix", [".pth", ".safetensors"])


def small_vgg(depth=16, *, batch_norm=True, seed=0):
    options = {"dropout": 0.5, "classes": 3, "hidden": 8, "dtype": np.float32}
    return VGG(depth, batch_norm=batch_norm, seed=seed, **options)


NETWORKS = {
    "ResNet-18": lambda seed: resnet18(seed=seed, classes=7),
    "ResNet-50": lambda seed: resnet50(seed=seed, classes=7, version="v1.5"),
    "VGG": lambda seed: small_vgg(seed=seed),
    "GoogLeNet": lambda seed: googlenet(seed=seed, classes=7, aux=True, version="torchvision"),
    "plain-18": lambda seed: plain18(seed=seed, classes=7),
    "v2": lambda seed: cifar_resnet(20, block="bottleneck", version="v2", shortcut="C", seed=seed),
}


def used(make):
    """A network that has seen a batch or so: nothing in it has its initial value."""
    rng = np.random.default_rng(0)
    model = make(1)
    randomise(model, rng, scale=0.1)
    for name, buffer in model.named_buffers():
        buffer += 0 if name.endswith("batches") else rng.uniform(0.1, 1, buffer.shape)
    return model


@KINDS
@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS.keys())
def test_what_is_written_is_read_back(make, suffix, tmp_path):
    model, other = used(make), make(2)
    path = tmp_path / f"weights{suffix}"
    save_torchvision(model, path)
    assert load_torchvision(path, other) is other
    state = other.state_dict()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(state[name], array, err_msg=name)


def test_the_layout_is_pytorchs():
    model = small_vgg()
    state = torch_state(model)
    conv, linear = model.features[3].weight.data, model.classifier[0].weight.data
    assert state["features.3.weight"].shape == (64, 64, 3, 3)
    assert state["features.3.weight"][5, 7, 1, 2] == conv[1, 2, 7, 5]
    assert state["classifier.0.weight"].shape == (8, 25088)
    row, column, channel = 2, 6, 300  # of the map, which is flattened channel by channel
    place = channel * 49 + row * 7 + column
    assert state["classifier.0.weight"][4, place] == linear[(row * 7 + column) * 512 + channel, 4]
    assert state["features.1.num_batches_tracked"].shape == ()
    names = list(state)
    assert (
        names.index("features.1.num_batches_tracked") == names.index("features.1.running_var") + 1
    )
    assert not [name for name in names if "batches" in name and "tracked" not in name]


def test_dropouts_count_stays_when_weights_are_loaded(tmp_path):
    model = Sequential(Linear(2, 2, rng=np.random.default_rng(0)), Dropout(0.5))
    save_torchvision(model, tmp_path / "w.pth")
    model(Tensor(np.ones((1, 2), np.float32)))
    load_torchvision(tmp_path / "w.pth", model)
    assert model[1].batches[0] == 1


# ---------------------------------------------------------------------------------- recognition


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_resnets_are_recognised(depth, tmp_path):
    original = resnet(depth, classes=3, seed="zeros")
    shapes = {name: slot.torch_shape for name, slot in slots_of(original).items()}
    model = recognise(shapes, tmp_path)
    assert model.depth == depth
    assert model.version == "v1.5"
    assert model.fc.bias.shape == (3,)


@pytest.mark.parametrize(
    "name", ["wide_resnet50_2", "wide_resnet101_2", "resnext50_32x4d", "resnext101_32x8d"]
)
def test_networks_of_other_widths_are_recognised(name, tmp_path):
    original = by_name(name, classes=3, channels=1, seed="zeros")
    shapes = {name: slot.torch_shape for name, slot in slots_of(original).items()}
    model = recognise(shapes, tmp_path)
    assert model.name == original.name
    assert slots_of(model).keys() == shapes.keys()
    assert {name: slot.torch_shape for name, slot in slots_of(model).items()} == shapes


@pytest.mark.parametrize("depth", [16, 19])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_vggs_are_recognised(depth, batch_norm, tmp_path):
    original = small_vgg(depth, batch_norm=batch_norm, seed="zeros")
    shapes = {name: slot.torch_shape for name, slot in slots_of(original).items()}
    shapes["classifier.6.weight"] = (*shapes["classifier.6.bias"], 4096)
    model = recognise(shapes, tmp_path)
    assert (model.depth, model.batch_norm) == (depth, batch_norm)


@pytest.mark.parametrize("aux", [False, True])
def test_googlenet_is_recognised(aux, tmp_path):
    original = googlenet(version="torchvision", aux=aux, classes=3)
    save_torchvision(original, tmp_path / "w.safetensors")
    model = load_torchvision(tmp_path / "w.safetensors")
    assert (model.aux, model.transform_input, model.training) == (aux, True, False)
    state = model.state_dict()
    assert all(np.array_equal(state[name], a) for name, a in original.state_dict().items())


LAST = [  # a network's last layer, and the features that it takes
    ("fc", lambda: resnet(18, seed="zeros"), 512),
    ("fc", lambda: resnet(50, seed="zeros"), 2048),
    ("fc", lambda: googlenet(version="torchvision", seed="zeros"), 1024),
    ("classifier.6", lambda: small_vgg(16, seed="zeros"), 4096),
]


@pytest.mark.parametrize(("layer", "make", "features"), LAST)
@pytest.mark.parametrize("bias", [(), (0,), (30_000_000,), (4, 4)])
def test_a_last_layer_that_is_none_is_not_believed(layer, make, features, bias, tmp_path):
    """A file with a bias alone would make a network of many gigabytes."""
    shapes = {name: slot.torch_shape for name, slot in slots_of(make()).items()}
    shapes |= {f"{layer}.bias": bias, f"{layer}.weight": (4, features)}
    sentence = (
        rf"x.pth: expected {layer}.weight \(classes, {features}\) and .* \(4, {features}\) and"
    )
    with pytest.raises(ValueError, match=sentence):
        recognise(shapes, tmp_path / "x.pth")
    del shapes[f"{layer}.weight"]
    with pytest.raises(ValueError, match=r"x.pth: expected .*, but got \(\) and"):
        recognise(shapes, tmp_path / "x.pth")


def test_a_network_is_recognised_and_answers_alike(tmp_path):
    original = used(NETWORKS["ResNet-18"]).eval()
    save_torchvision(original, tmp_path / "w.pth")
    model = load_torchvision(str(tmp_path / "w.pth"))
    assert not model.training
    x = Tensor(np.random.default_rng(0).standard_normal((1, 64, 64, 3), np.float32))
    with no_grad():
        np.testing.assert_array_equal(model(x).data, original(x).data)


def test_an_unknown_network_is_named_by_its_tensors(tmp_path):
    save_torchvision(cifar_resnet(8), tmp_path / "w.pth")
    sentence = r"none of the networks .* its tensors are conv1.weight, bn1.weight, .* as `model`"
    with pytest.raises(ValueError, match=sentence):
        load_torchvision(tmp_path / "w.pth")


# ------------------------------------------------------------------------------------- strictness


def test_everything_that_does_not_fit_is_listed_and_nothing_changed(tmp_path):
    save_torchvision(resnet(18, shortcut="C", classes=4), tmp_path / "w.pth")
    model = resnet18(classes=5)
    before = model.state_dict()
    with pytest.raises(ValueError, match="does not fit the ResNet-18:\n") as refusal:
        load_torchvision(tmp_path / "w.pth", model)
    text = str(refusal.value)
    assert "unexpected: layer1.0.downsample.0.weight (64, 64, 1, 1)" in text
    assert "fc.weight: expected (5, 512), but got (4, 512)" in text or "more" in text
    assert all(np.array_equal(before[name], a) for name, a in model.state_dict().items())
    save_torchvision(model, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"missing: layer1.0.downsample.0.weight \(64, 64, 1, 1\)"):
        load_torchvision(tmp_path / "w.pth", resnet(18, shortcut="C", classes=5))


def test_a_long_list_is_cut(tmp_path):
    save_torchvision(cifar_resnet(8), tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"and \d+ more$") as refusal:
        load_torchvision(tmp_path / "w.pth", resnet50(seed="zeros"))
    assert len(str(refusal.value).splitlines()) == 21


@pytest.mark.parametrize("name", ["weights", "weights.bin", "weights.npz"])
def test_another_suffix_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match=r"must end in .safetensors, .pth, .pt"):
        save_torchvision(cifar_resnet(8), tmp_path / name)
    assert not list(tmp_path.iterdir())


@KINDS
def test_a_failed_write_leaves_the_old_file(suffix, tmp_path, monkeypatch):
    path = tmp_path / f"w{suffix}"
    save_torchvision(cifar_resnet(8), path)
    before = path.read_bytes()
    monkeypatch.setattr("minires.weights.torchvision.torch_state", lambda _: {"x": "no array"})
    with pytest.raises(Exception):  # noqa: B017, PT011
        save_torchvision(cifar_resnet(8), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
