"""Detectors on a GPU: what runs on maps runs there; boxes are chosen on the host."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

import minires
from minires import Tensor, no_grad
from minires.detection import DetectorTrainer, scenes
from minires.detection.pooling import PyramidPooling
from minires.detection.pyramid import enlarged
from minires.detection.small import SETTINGS, SMALL, small_resnet
from minires.detection.training import TERMS, toy
from minires.training.records import read_records
from tests.detection.test_network import LABELS, OBJECTS, tiny
from tests.device import gpu, is_real, products_on, to_host

pytestmark = pytest.mark.cuda
IMAGES = np.random.default_rng(0).standard_normal((2, 64, 80, 3))
VIEW = replace(SETTINGS, shorter=32, longer=32, sizes=((8, 16),), after_nms=(8, 4))
VIEW = replace(VIEW, anchor_sample=16, region_sample=8)


def on_gpu(*arrays):
    return [Tensor(array).to("cuda") for array in arrays]


@pytest.mark.parametrize("method", ["align", "max"])
def test_a_detector_finds_what_it_finds_on_the_cpu(method):
    model = tiny().eval()
    model.pool.method = method
    right = model(Tensor(IMAGES))
    with gpu():
        found = model.to("cuda")(*on_gpu(IMAGES))
    for ours, theirs in zip(found, right, strict=True):
        assert len(ours.boxes)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        np.testing.assert_allclose(ours.boxes, theirs.boxes, rtol=0, atol=1e-9)
        np.testing.assert_allclose(ours.scores, theirs.scores, rtol=0, atol=1e-9)


def test_a_detector_in_float32_runs():
    with gpu():
        found = small_resnet(["a", "b"]).eval().to("cuda")(*on_gpu(IMAGES.astype(np.float32)))
    assert all(np.isfinite(one.boxes).all() for one in found)


def test_losses_are_those_of_the_cpu():
    def losses(model, x):
        with no_grad():
            return model.losses(x, OBJECTS, LABELS, np.random.default_rng(0))

    model = tiny().train()
    right = losses(model, Tensor(IMAGES))
    with gpu():
        made = losses(model.to("cuda"), *on_gpu(IMAGES))
        values = [one.item() for one in made[:4]]
    np.testing.assert_allclose(values, [one.item() for one in right[:4]], rtol=1e-9)
    np.testing.assert_array_equal(made.labels, right.labels)


def test_a_pyramid_picks_maps_and_enlarges_them(rng):
    maps = [rng.standard_normal((1, side, side, 3)) for side in (16, 8)]
    boxes = np.array([[0.0, 0, 300, 280], [0, 0, 30, 20], [5, 5, 20, 60]])
    pool, images = PyramidPooling(2, (1 / 4, 1 / 8)), np.zeros(3, np.int64)
    right = pool([Tensor(x) for x in maps], boxes, images).data
    larger = enlarged(Tensor(maps[1]), (15, 16)).data
    with gpu():
        there = on_gpu(*maps)
        np.testing.assert_allclose(to_host(pool(there, boxes, images).data), right, atol=1e-12)
        np.testing.assert_array_equal(to_host(enlarged(there[1], (15, 16)).data), larger)


# ------------------------------------------------------------------------ training


@pytest.fixture(scope="module")
def data():
    return scenes(train=6, test=1, size=32)


def trainer_of(data, folder, kind="resnet", dtype=np.float32, device="cpu"):
    model = SMALL[kind](data.classes, settings=VIEW, dtype=dtype)
    options = {"folder": folder, "seed": 0, "name": model.name, "device": device}
    return DetectorTrainer(model, data, toy(3), **options)


def trained(data, folder, *options, **device):
    """Three steps of two scenes: what is learnt, and the records."""
    trainer = trainer_of(data, folder, *options, **{"device": "cuda", **device})
    trainer.finish()
    return trainer.model.state_dict(), read_records(folder / "records.jsonl")


@pytest.mark.parametrize("kind", SMALL)
def test_a_training_is_that_of_the_cpu(kind, data, tmp_path):
    """In float64, where no rounding moves a proposal to the other side of a threshold."""
    right, lines = trained(data, tmp_path / "cpu", kind, np.float64, device="cpu")
    with gpu():
        made, ours = trained(data, tmp_path / "cuda", kind, np.float64)
    for name, array in right.items():
        np.testing.assert_allclose(made[name], array, rtol=0, atol=1e-9, err_msg=name)
    for line, other in zip(lines, ours, strict=True):
        for term in {*TERMS, "loss", "training_error", "mAP50", "mAP"} & {*line}:
            assert other[term] == pytest.approx(line[term], rel=1e-9)


def test_losses_in_float32_are_those_of_the_cpu(data, tmp_path):
    _, lines = trained(data, tmp_path / "cpu", device="cpu")
    with gpu(), products_on(is_real()):  # tensor cores take the stand-in long
        _, ours = trained(data, tmp_path / "cuda")
    losses = [[line["loss"] for line in of if "loss" in line] for of in (lines, ours)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_two_trainings_have_the_same_bits_and_so_has_one_gone_on_with(data, tmp_path):
    with gpu(), products_on(is_real()), warnings.catch_warnings():
        warnings.simplefilter("error")
        whole, _ = trained(data, tmp_path / "a")
        interrupted = trainer_of(data, tmp_path / "b", device="cuda")
        iterations = interrupted.iterations()
        for _ in range(2):
            next(iterations)
        iterations.close()
        again, _ = trained(data, tmp_path / "b")  # from the checkpoint after two steps
    for name, array in whole.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


def test_a_step_waits_once_for_the_gpu(data, tmp_path):
    """For what the maps say of the anchors; suppression waits, too, but then all is done."""
    fetched = []
    with gpu() as cupy, pytest.MonkeyPatch.context() as patch:
        trainer = trainer_of(data, tmp_path, dtype=np.float64, device="cuda")
        get = cupy.ndarray.get
        patch.setattr(cupy.ndarray, "get", lambda a, *_: fetched.append(a.shape) or get(a))
        trainer.make_gradients_and_update()
    maps = [shape for shape in fetched if len(shape) > 1]
    assert [len(shape) for shape in maps] == [2, 3]  # logits, codes
    kept = [shape for shape in fetched if len(shape) == 1]  # a GPU fetches how many, too
    assert len(kept) == 2  # what stays of each image's boxes


def test_tf32_is_kept_in_the_configuration(data, tmp_path):
    with gpu(), minires.precision("tf32"):
        trainer = trainer_of(data, tmp_path, device="cuda")
        next(trainer.iterations())
    assert '"precision": "tf32"' in (tmp_path / "config.json").read_text()
