"""Batches of images that lie on the GPU are those that go over one by one."""

import numpy as np
import pytest

from minires.data import Batches, training_batches
from minires.data.resident import ResidentBatches
from tests.device import gpu
from tests.training.small import dataset

pytestmark = pytest.mark.cuda


@pytest.fixture(autouse=True)
def device():
    with gpu() as cupy:
        yield cupy


@pytest.mark.parametrize("augment", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batches_are_the_same_in_any_order(dtype, augment):
    """Through three epochs and back; 20 images make six batches an epoch."""
    settings = {"augment": augment, "dtype": dtype, "device": "cuda"}
    resident = ResidentBatches(dataset(train=20), 3, 7, **settings)
    over = Batches(dataset(train=20), 3, 7, **settings)
    for step in [*range(14), 3, 4, 4, 0, 5, 6, 29]:
        resident.seek(step)
        for ours, expected in zip(resident.next(), over.batch(step), strict=True):
            assert ours.dtype == expected.dtype
            np.testing.assert_array_equal(ours.get(), expected.get())


def test_batches_come_one_after_the_other_without_seeking():
    settings = {"dtype": np.float32, "device": "cuda"}
    resident = ResidentBatches(dataset(train=20), 3, 7, **settings)
    for step in range(6):
        np.testing.assert_array_equal(resident.next()[0].get(), resident.batch(step)[0].get())


def test_images_lie_there_where_they_fit(device, monkeypatch):
    settings = {"dtype": np.float32, "device": "cuda"}
    images = dataset(train=20).train_images
    for free, kind in ((4 * images.nbytes, ResidentBatches), (4 * images.nbytes - 4, Batches)):
        monkeypatch.setattr("minires.data.resident.free_bytes", lambda free=free: free)
        assert type(training_batches(dataset(train=20), 3, 7, **settings)) is kind


def test_on_the_cpu_batches_are_made_one_by_one():
    assert type(training_batches(dataset(), 3, 7, dtype=np.float32, device="cpu")) is Batches
