"""Own images on a GPU: a step finds its batch where the recording reads it."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from minires.kernels.recording import Recording

from minires.data import find_photographs
from minires.models import cifar_resnet
from minires.own_images import PhotographTrainer, freeze_layers, recipe_of
from minires.training.replay import Replay
from tests.data.own import drawings
from tests.device import quick_gpu
from tests.training import small

pytestmark = pytest.mark.cuda


@pytest.fixture(autouse=True)
def device():
    with quick_gpu() as cupy:
        yield cupy


@pytest.fixture
def data(tmp_path):
    return find_photographs(drawings(tmp_path / "f", count=10), size=16)


def test_batches_are_those_of_the_cpu_in_any_order(data):
    on_gpu, on_cpu = (
        data.training_batches(4, 7, dtype=np.float32, device=device) for device in ("cuda", "cpu")
    )
    for step in (0, 1, 2, 3, 4, 4, 9, 1):
        for batches in (on_gpu, on_cpu):
            batches.seek(step)
        for ours, expected in zip(on_gpu.next(), on_cpu.next(), strict=True):
            assert ours.dtype == expected.dtype
            np.testing.assert_array_equal(ours.get(), expected)


@pytest.mark.parametrize("options", [{}, {"weights": (0.5, 2.0), "frozen": ["conv1", "layer1"]}])
def test_a_replayed_run_gives_the_same_bits(options, data, tmp_path, monkeypatch):
    launched, launch = [], Recording.launch
    monkeypatch.setattr(Recording, "launch", lambda self: (launched.append(self), launch(self)))
    states = []
    for name in ("replayed", "as it is"):
        if name == "as it is":
            monkeypatch.setattr(Replay, "__call__", lambda self, part: part())
        model = cifar_resnet(8, classes=2)
        freeze_layers(model, options.get("frozen", []), 16, pretrained=True)
        settings = {"folder": tmp_path / name, "seed": 0, "name": "net", "device": "cuda"}
        recipe = recipe_of("toy", 16, epochs=2, batch_size=4)
        recipe = replace(recipe, class_weights=options.get("weights"))
        made = PhotographTrainer(model, data, recipe, **settings)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made.run()
        states.append(small.state(made))
    assert launched
    for name, array in states[1].items():
        np.testing.assert_array_equal(states[0][name], array, err_msg=name)
