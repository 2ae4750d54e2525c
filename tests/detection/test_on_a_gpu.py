"""Detectors on a GPU: what runs on maps runs there; boxes are chosen on the host."""

import numpy as np
import pytest

from minires import Tensor, no_grad
from minires.detection.pooling import PyramidPooling
from minires.detection.pyramid import enlarged
from minires.detection.small import small_resnet
from tests.detection.test_network import LABELS, OBJECTS, tiny
from tests.device import gpu, to_host

pytestmark = pytest.mark.cuda
IMAGES = np.random.default_rng(0).standard_normal((2, 64, 80, 3))


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
