"""The real images, where MINIRES_TEST_CIFAR10 names a folder that holds them."""

import os
from pathlib import Path

import numpy as np
import pytest

from minires.data import Batches, load

folder = os.environ.get("MINIRES_TEST_CIFAR10")
pytestmark = pytest.mark.skipif(not folder, reason="MINIRES_TEST_CIFAR10 names no folder")


@pytest.fixture(scope="module")
def cifar10():
    return load("cifar10", data_dir=Path(folder))


def test_all_images_are_there_and_balanced(cifar10):
    assert cifar10.name.startswith("CIFAR-10")
    for images, labels in (cifar10.split("train"), cifar10.split("test")):
        assert images.shape == (len(labels), 32, 32, 3)
        assert np.array_equal(np.bincount(labels), np.full(10, len(labels) // 10))
    assert len(cifar10.train_labels) == 50_000
    assert len(cifar10.test_labels) == 10_000


def test_colours_are_those_of_cifar10(cifar10):
    mean = cifar10.train_images.mean((0, 1, 2)) / 255
    assert mean == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.002)


def test_batches_are_normalised(cifar10):
    images, _ = Batches(cifar10, 1000, seed=0, augment=False).batch(0)
    assert images.mean((0, 1, 2)) == pytest.approx([0, 0, 0], abs=0.05)
    assert images.std((0, 1, 2)) == pytest.approx([1, 1, 1], abs=0.05)
