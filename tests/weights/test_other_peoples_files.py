"""Weights as training programs save them: wrapped, prefixed, beside other things, or not at all."""

import argparse
import json
import pickle
import struct
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest

from minires import Tensor, no_grad
from minires.models import cifar_resnet, resnet18
from minires.weights import load_torchvision, save_torchvision
from minires.weights.reading import AVERAGES, PREFIXES, WRAPPERS, read_state
from minires.weights.torchvision import torch_state
from tests.helpers import randomise

ARRAYS = {"x.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "x.n": np.zeros((), np.int64)}


def saved(path, arrays):
    """A file of either kind, by its name."""
    if path.suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file(arrays, path)
    else:
        torch = pytest.importorskip("torch", reason="needs PyTorch")
        torch.save({n: torch.from_numpy(a.copy()) for n, a in arrays.items()}, path)
    return path


def assert_read(path):
    state = read_state(path)
    assert state.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(state[name].load(), array)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("prefix", [*PREFIXES, "module._orig_mod.", "model.backbone."])
def test_a_prefix_of_all_names_is_taken_off(prefix, suffix, tmp_path):
    arrays = {prefix + name: array for name, array in ARRAYS.items()}
    assert_read(saved(tmp_path / f"w{suffix}", arrays | {"n_averaged": np.ones((), np.int64)}))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_prefix_of_some_names_stays(suffix, tmp_path):
    arrays = {"module.x": ARRAYS["x.weight"], "head.x": ARRAYS["x.weight"]}
    assert read_state(saved(tmp_path / f"w{suffix}", arrays)).keys() == arrays.keys()


@pytest.mark.parametrize("wrapper", [*WRAPPERS, *AVERAGES])
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_a_wrapper_is_opened_whatever_lies_beside_it(wrapper, protocol, tmp_path):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    state = OrderedDict((n, torch.from_numpy(a.copy())) for n, a in ARRAYS.items())
    beside = {
        "epoch": np.int64(3),
        "best": np.float32(0.5),
        "args": argparse.Namespace(lr=0.1, arch="resnet18"),
        "optimizer": {"state": {0: {"momentum_buffer": state["x.weight"]}}, "param_groups": []},
        "scheduler": {"milestones": Counter([30, 60]), "_step_count": 1},
        "history": defaultdict(list, loss=[0.1]),
        "array": np.arange(3.0),
        "device": torch.device("cpu"),
        "size": state["x.weight"].shape,
        "dtype": torch.float16,
        "empty": {},
    }
    path = tmp_path / "w.pth"
    torch.save(beside | {wrapper: state}, path, pickle_protocol=protocol)
    assert_read(path)


def test_a_name_as_browsers_keep_it_says_nothing_of_the_kind(tmp_path):
    for suffix in (".safetensors", ".pth"):
        path = saved(tmp_path / f"w{suffix}", ARRAYS)
        assert_read(path.rename(tmp_path / f"w{suffix}?download=true"))


def test_bfloat16_is_widened(tmp_path):
    values = np.array([1.5, -2.0, 1e-3, 3e38], np.float32)
    halves = (values.view(np.uint32) >> 16).astype("<u2")
    head = json.dumps({"x": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head + halves.tobytes())
    x = read_state(path)["x"].load()
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x.ravel().view(np.uint32), halves.astype(np.uint32) << 16)


def test_a_safetensors_file_cut_at_any_length_is_refused(tmp_path):
    whole = saved(tmp_path / "w.safetensors", ARRAYS).read_bytes()
    path = tmp_path / "cut.safetensors"
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"cut.safetensors is not a whole safetensors file"):
            load_torchvision(path)


def test_what_is_aside_does_not_become_weights(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(pickle.dumps({"model": argparse.Namespace(a=1)}, protocol=2))
    with pytest.raises(ValueError, match="can't be read as weights"):
        load_torchvision(path)


# ------------------------------------------------------ networks for CIFAR of other code bases


def elsewhere(model, path, prefix="module."):
    """The weights of a network as those code bases name them."""
    names = (("fc.", "linear."), (".downsample.", ".shortcut."))
    state = {}
    for name, array in torch_state(model).items():
        for ours, theirs in names:
            name = name.replace(ours, theirs)
        state[prefix + name] = array
    return saved(path, state)


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_they_are_recognised(shortcut, tmp_path):
    padding = "both" if shortcut == "A" else "end"
    model = cifar_resnet(20, shortcut=shortcut, padding=padding, classes=7)
    randomise(model, np.random.default_rng(0), scale=0.1)
    loaded = load_torchvision(elsewhere(model, tmp_path / "w.safetensors"))
    assert (loaded.name, loaded.padding, loaded.depth) == (model.name, padding, 20)
    x = Tensor(np.random.default_rng(1).standard_normal((2, 32, 32, 3), np.float32))
    with no_grad():
        np.testing.assert_array_equal(loaded(x).data, model.eval()(x).data)


def test_they_are_refused_by_a_network_that_pads_at_the_end(tmp_path):
    path = elsewhere(cifar_resnet(20), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="on both sides, but this one pads at the end"):
        load_torchvision(path, cifar_resnet(20))
    load_torchvision(path, cifar_resnet(20, padding="both"))


def test_where_nobody_can_know_both_paddings_are_named(tmp_path):
    save_torchvision(cifar_resnet(8), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"padding='both'\) for half of the new channels"):
        load_torchvision(tmp_path / "w.safetensors")


@pytest.mark.parametrize("given", [{"padding": "both", "shortcut": "B"}, {"padding": "left"}])
def test_another_padding_gets_a_sentence(given):
    with pytest.raises(ValueError, match="padding must be 'end', or 'both' with shortcut 'A'"):
        cifar_resnet(20, **given)


def test_padding_on_both_sides_is_pytorchs(rng):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    model = cifar_resnet(8, padding="both", dtype=np.float64)
    x = rng.standard_normal((2, 9, 9, 16))
    ours = model.layer2[0].downsample(Tensor(x)).data
    theirs = torch.nn.functional.pad(
        torch.from_numpy(x.transpose(0, 3, 1, 2))[:, :, ::2, ::2], (0, 0, 0, 0, 8, 8)
    )
    np.testing.assert_array_equal(ours, theirs.numpy().transpose(0, 2, 3, 1))


def test_a_resnet_for_imagenet_with_a_wrapper_is_recognised(tmp_path):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    state = {
        f"module.{n}": torch.from_numpy(a) for n, a in torch_state(resnet18(classes=3)).items()
    }
    torch.save({"model_state_dict": state, "epoch": 3}, tmp_path / "w.pth")
    assert load_torchvision(tmp_path / "w.pth").name == "ResNet-18"
