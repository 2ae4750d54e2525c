"""A checkpoint of a Trainer as weights: read by its name, or into a network that one made."""

import json

import numpy as np
import pytest

from minires.data import DatasetImages
from minires.evaluation import evaluate
from minires.evaluation.networks import find_classes, find_preprocessing, load_networks
from minires.models import (
    cifar_resnet,
    googlenet,
    made_as,
    make_again,
    resnet,
    resnext50_32x4d,
)
from minires.training.checkpoints import save_checkpoint
from minires.weights import load_torchvision, save_torchvision
from tests.helpers import randomise
from tests.training import small


def saved(path, model, name=""):
    arrays = {f"model.{n}": array for n, array in model.state_dict().items()}
    identity = {"network": name or model.name, "data": "CIFAR-10"}
    save_checkpoint(path, arrays | {"sgd.velocity.0": np.zeros(3)}, {"identity": identity})
    return path


@pytest.mark.parametrize(
    "options",
    [
        {"depth": 8},
        {"depth": 8, "shortcut": None},
        {"depth": 8, "shortcut": "B", "classes": 7},
        {"depth": 11, "shortcut": "C", "version": "v2", "block": "bottleneck"},
    ],
)
def test_it_is_read(options, tmp_path):
    model = cifar_resnet(**options)
    randomise(model, np.random.default_rng(0))
    path = saved(tmp_path / "checkpoint.safetensors", model)
    for loaded in (load_torchvision(path), load_torchvision(path, cifar_resnet(**options, seed=1))):
        assert loaded.name == model.name
        for name, array in model.state_dict().items():
            np.testing.assert_array_equal(loaded.state_dict()[name], array)


def test_what_does_not_fit_gets_a_sentence(tmp_path):
    path = saved(tmp_path / "c.safetensors", cifar_resnet(8), name="mine")
    with pytest.raises(ValueError, match=r"a network called 'mine', .* pass it as `model`"):
        load_torchvision(path)
    with pytest.raises(ValueError, match=r"c.safetensors: this state does not fit"):
        load_torchvision(path, cifar_resnet(14))


def test_a_command_would_normalise_its_images_wrongly_and_says_so(tmp_path):
    path = saved(tmp_path / "c.safetensors", cifar_resnet(8))
    with pytest.raises(ValueError, match=r"a run on CIFAR-10, .* preprocessing=Preprocessing.of"):
        find_preprocessing([path])


def test_the_checkpoint_of_a_run_says_how_it_sees_images(tmp_path):
    """So that an evaluation of it gives what the training measured."""
    made = small.trainer(tmp_path)
    made.run()
    path = made.checkpoint_path
    seen, images = find_preprocessing([path]), DatasetImages(made.dataset, limit=30)
    result = evaluate(load_networks([path], "cpu"), images, preprocessing=seen)
    *_, last = [r for r in small.records(tmp_path) if r["kind"] == "evaluation"]
    [score] = result.scores.values()
    assert score.top1_error == pytest.approx(last["test_error"])
    assert find_classes([path], None).names == made.dataset.classes


def test_networks_that_see_images_in_different_ways_are_no_ensemble(tmp_path):
    small.trainer(tmp_path).run()
    other = tmp_path / "other.safetensors"
    save_torchvision(resnet(18, classes=10), other)
    paths = [tmp_path / "checkpoint.safetensors", other]
    with pytest.raises(ValueError, match=r"\(32 of 32 pixels and 224 of 256, .* one by one"):
        find_preprocessing(paths)
    with pytest.raises(ValueError, match="or other moments"):
        find_preprocessing(paths, 32, 32)


@pytest.mark.parametrize(
    "about",
    [
        {"image_size": "0"},
        {"image_size": "-3"},
        {"image_size": "x" * 1000},
        {"image_size": "99999"},
    ],
)
def test_a_size_that_is_none(about, tmp_path):
    save_torchvision(cifar_resnet(8), tmp_path / "a.safetensors", about=about)
    with pytest.raises(ValueError, match="is no size"):
        find_preprocessing([tmp_path / "a.safetensors"])


@pytest.mark.parametrize(
    "made",
    [
        *("", "null", "3", "[]", '"resnet"', "{"),
        *('{"family": "cifar_resnet"}', '{"family": ["resnet"]}'),
        '{"family": "cifar_resnet", "depth": 600002, "shortcut": "A", "version": "v1", '
        '"block": "basic", "padding": "end", "channels": 3}',
        '{"family": "cifar_resnet", "depth": "8", "shortcut": "A", "version": "v1", '
        '"block": "basic", "padding": "end", "channels": 3}',
    ],
)
def test_a_description_that_is_none(made, tmp_path):
    save_torchvision(cifar_resnet(8), tmp_path / "a.safetensors", about={"network": made})
    with pytest.raises(ValueError, match="does not say how its network was made"):
        load_torchvision(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "network",
    [
        lambda: resnet(34, shortcut=None, classes=3, seed="zeros"),
        lambda: resnet(50, version="v1", classes=3, seed="zeros"),
        lambda: resnext50_32x4d(classes=3, seed="zeros"),
        lambda: cifar_resnet(8, padding="both", classes=3),
        lambda: cifar_resnet(8, channels=1, classes=3),
        lambda: cifar_resnet(11, shortcut="B", version="v2", block="bottleneck", classes=3),
        lambda: googlenet(classes=3, seed="zeros"),
    ],
)
def test_a_network_is_made_again_as_it_was(network, tmp_path):
    model = network()
    again = make_again(made_as(model), classes=3, seed="zeros")
    assert again.name == model.name
    assert made_as(again) == made_as(model)
    path, about = tmp_path / "a.safetensors", {"network": json.dumps(made_as(model))}
    save_torchvision(model, path, about=about)
    loaded = load_torchvision(path)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(loaded.state_dict()[name], array)
