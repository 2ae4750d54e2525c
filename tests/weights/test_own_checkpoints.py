"""A checkpoint of a Trainer as weights: read by its name, or into a network that one made."""

import numpy as np
import pytest

from minires.evaluation.networks import find_preprocessing
from minires.models import cifar_resnet
from minires.training.checkpoints import save_checkpoint
from minires.weights import load_torchvision
from tests.helpers import randomise


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
