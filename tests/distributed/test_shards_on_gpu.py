"""A batch in shards on one GPU: what the CPU computes, replayed, and nobody waits for it."""

import dataclasses

import numpy as np
import pytest

from minires.data import resident
from minires.models import cifar_resnet
from minires.nn import BatchNorm2d
from minires.training.replay import Replay
from tests.cuda import fake_cupy
from tests.device import is_real, quick_gpu
from tests.training import small
from tests.training.test_on_gpu import assert_same_records, tiny_data

pytestmark = pytest.mark.cuda
SHARDED = {"iterations": 7, "batch_size": 4, "record_every": 6, "evaluate_every": 7}
SHARDED |= {"checkpoint_every": 7, "test_images": 4, "shards": 2}


def trainer(folder, device="cuda", *, dtype=np.float32, **settings):
    """Four batches an epoch."""
    recipe = dataclasses.replace(small.RECIPE, **(SHARDED | settings))
    place = {"folder": folder, "seed": 0, "name": "net", "device": device}
    return small.Trainer(cifar_resnet(8, dtype=dtype), tiny_data(train=16), recipe, **place)


def trained(folder, *arguments, act=lambda made: None, **settings):
    """What a run leaves behind."""
    made = trainer(folder, *arguments, **settings)
    act(made)
    made.run()
    return small.state(made), small.records(folder)


def freeze_half(made):
    norms = [m for _, m in made.model.named_modules() if isinstance(m, BatchNorm2d)]
    for norm in norms[::2]:
        norm.eval()


@pytest.mark.parametrize("act", [lambda made: None, freeze_half])
def test_it_is_what_the_cpu_computes(act, tmp_path):
    settings = {"dtype": np.float64, "act": act, "iterations": 2, "decay_norms": False}
    state, records = trained(tmp_path / "cpu", "cpu", **settings)
    with quick_gpu():
        ours, our_records = trained(tmp_path / "cuda", "cuda", **settings)
    for name, array in state.items():
        if not name.startswith(("0.", "1.")):  # velocities of the CPU have other names
            np.testing.assert_allclose(ours[name], array, rtol=1e-7, atol=1e-9, err_msg=name)
    kept = [[r for r in lines if r["kind"] != "gradients"] for lines in (our_records, records)]
    assert_same_records(*kept)


def test_a_replayed_run_has_the_same_bits(tmp_path, monkeypatch):
    with quick_gpu():
        ours = trained(tmp_path / "replayed")
        graphs = is_real() or fake_cupy.machine.counts.graph_launches
        assert graphs >= 1
        with monkeypatch.context() as patch:
            patch.setattr(Replay, "__call__", lambda self, part: part())
            patch.setattr(resident, "LARGEST_SHARE", 0)  # batches go over one by one
            expected = trained(tmp_path / "as it is")
    assert ours[1] == expected[1]
    assert small.same(ours[0], expected[0])


@pytest.mark.skipif(is_real(), reason="only the stand-in counts")
def test_a_step_waits_for_nothing(tmp_path):
    with quick_gpu():
        made = trainer(tmp_path)
        made.model.train()
        made.train_step()  # records gradients
        fake_cupy.machine.counts = counts = fake_cupy.Counts()
        for _ in range(2):
            made.train_step()
        assert counts.synchronisations == counts.copies_to_host == counts.copies_to_device == 0


def test_a_gpu_does_not_shard_by_itself(tmp_path):
    with quick_gpu():
        whole, parts = (trained(tmp_path / str(k), shards=k, iterations=1)[0] for k in (1, 2))
    assert not small.same(whole, parts)
