"""A training that replays its steps does what one that runs them does, bit for bit."""

import os
import signal
import warnings

import numpy as np
import pytest

from minires import Tensor, nn
from minires.data import Batches
from minires.data.resident import ResidentBatches
from minires.models import cifar_resnet
from minires.training import DivergedError, InterruptedTraining, LinearDecay, evaluate
from minires.training.replay import Replay
from tests.cuda import fake_cupy
from tests.device import gpu, is_real

from . import small
from .test_on_gpu import tiny_data

pytestmark = pytest.mark.cuda
counted = pytest.mark.skipif(is_real(), reason="only the stand-in counts")

RECIPE = {"iterations": 14, "batch_size": 4, "record_every": 5, "evaluate_every": 7}
RECIPE |= {"checkpoint_every": 7, "test_images": 4}
RECIPE |= {"schedule": LinearDecay(peak=0.05, start=4, stop=14)}


def trainer(folder, *, model=None, **settings):
    """On the GPU; an epoch has five batches."""
    watch, data = settings.pop("watch", None), tiny_data(train=21)
    made = small.trainer(folder, data=data, **(RECIPE | settings))
    return type(made)(
        model or made.model,
        made.dataset,
        made.recipe,
        folder=folder,
        seed=0,
        name="net",
        device="cuda",
        watch=watch,
    )


@pytest.fixture(autouse=True)
def device():
    with gpu():
        yield


@pytest.fixture
def both(tmp_path, monkeypatch):
    """What a run leaves behind, replayed and not, of trainers made by a function of the folder."""

    def run(make, run=lambda trainer: trainer.run()):
        results = []
        for name in ("replayed", "as it is"):
            with monkeypatch.context() as patch:
                if name == "as it is":
                    patch.setattr(Replay, "__call__", lambda self, part: part())
                made = make(tmp_path / name)
                run(made)
            results.append((small.state(made), small.records(tmp_path / name)))
        return results

    return run


def assert_same(results):
    (state, records), (expected, expected_records) = results
    assert records == expected_records
    for name, array in expected.items():
        np.testing.assert_array_equal(state[name], array, err_msg=name)


@pytest.fixture
def replays(monkeypatch):
    """How many steps were replayed so far; only those that launch a recording count."""
    from minires.kernels.recording import Recording

    launched, launch = [], Recording.launch

    def count(recording):
        launched.append(recording)
        launch(recording)

    monkeypatch.setattr(Recording, "launch", count)
    return launched


def test_a_run_gives_the_same_bits(both, replays):
    """Three epochs with a schedule that falls, evaluations and records in between."""
    assert_same(both(trainer))
    assert len(replays) >= 5


def test_in_float64_too(both, replays):
    assert_same(both(lambda folder: trainer(folder, model=cifar_resnet(8, dtype=np.float64))))
    assert replays


def test_recomputed_blocks_give_the_same_bits(both, replays):
    assert_same(both(lambda folder: trainer(folder, model=cifar_resnet(8, recompute=True))))
    assert replays


def test_a_resumed_run_gives_the_same_bits(both, tmp_path, replays):
    def in_two_parts(first):
        def interrupt(trainer):
            if trainer.step == 9:
                os.kill(os.getpid(), signal.SIGINT)

        first.watch = interrupt
        with pytest.raises(InterruptedTraining, match="after 9 of 14"):
            first.run()
        second = trainer(first.folder)
        second.resume()
        second.run()
        first.model.load_state_dict(second.model.state_dict())
        first.optimizer.load_state_dict(second.optimizer.state_dict())

    parts = both(trainer, in_two_parts)
    assert_same(parts)
    whole = trainer(tmp_path / "whole")
    whole.run()
    assert_same([parts[0], (small.state(whole), small.records(tmp_path / "whole"))])
