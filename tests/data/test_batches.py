"""The stream of batches: stateless, covering, normalised, augmented, and in order to evaluate."""

import numpy as np
import pytest

from minires.data import Batches, Dataset, evaluation_batches
from minires.data.batches import PADDING


def dataset(count: int = 30, size: int = 8) -> Dataset:
    """Random images; training image k has label k, so that a label names its image."""
    rng = np.random.default_rng(0)
    return Dataset(
        "tiny",
        rng.integers(0, 256, (count, size, size, 3), np.uint8),
        np.arange(count),
        rng.integers(0, 256, (7, size, size, 3), np.uint8),
        np.arange(7),
        tuple(f"class {k}" for k in range(count)),
    )


def same(a: tuple, b: tuple) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_batch_has_the_promised_shapes_and_dtypes() -> None:
    images, labels = Batches(dataset(), 4, seed=0).batch(0)
    assert (images.shape, images.dtype) == ((4, 8, 8, 3), np.float32)
    assert (labels.shape, labels.dtype) == ((4,), np.int64)
    assert Batches(dataset(), 4, seed=0, dtype=np.float64).batch(0)[0].dtype == np.float64


def test_a_batch_depends_on_its_step_alone() -> None:
    data = dataset()
    forward, backward = Batches(data, 4, seed=3), Batches(data, 4, seed=3)
    steps = [0, 1, 6, 7, 8, 30, 100]
    ahead = {step: forward.batch(step) for step in steps}
    for step in reversed(steps):
        assert same(backward.batch(step), ahead[step])
        assert same(backward.batch(step), ahead[step])


def test_seeds_and_steps_differ() -> None:
    data = dataset()
    first = Batches(data, 4, seed=0).batch(0)
    assert not same(first, Batches(data, 4, seed=1).batch(0))
    assert not same(first, Batches(data, 4, seed=0).batch(1))


def test_the_seed_decides_the_order_and_the_crops_each_by_itself() -> None:
    first, second = (Batches(dataset(), 30, seed=seed) for seed in (0, 1))
    assert not np.array_equal(first.batch(0)[1], second.batch(0)[1])
    assert not np.array_equal(first.crops(0)[0], second.crops(0)[0])


@pytest.mark.parametrize("batch_size", [1, 4, 30])
def test_an_epoch_shows_every_image_at_most_once(batch_size: int) -> None:
    batches = Batches(dataset(), batch_size, seed=0)
    assert len(batches) == 30 // batch_size
    for epoch in (0, 1):
        steps = range(epoch * len(batches), (epoch + 1) * len(batches))
        seen = np.concatenate([batches.batch(step)[1] for step in steps])
        assert len(np.unique(seen)) == len(seen) == len(batches) * batch_size


def test_every_epoch_has_its_own_order() -> None:
    batches = Batches(dataset(), 30, seed=0)
    assert not np.array_equal(batches.batch(0)[1], batches.batch(1)[1])


def test_without_augmentation_a_batch_is_the_normalised_images() -> None:
    data = dataset()
    images, labels = Batches(data, 4, seed=0, augment=False, dtype=np.float64).batch(2)
    expected = (data.train_images[labels] - data.pixel_mean) * data.channel_scale
    np.testing.assert_allclose(images, expected, rtol=1e-12)


def test_crops_and_flips_against_a_slow_reference() -> None:
    """Every image of a batch is one of the 81 crops x 2 of its own normalised, zero-padded self."""
    data = dataset()
    batch, labels = Batches(data, 16, seed=0, dtype=np.float64).batch(0)
    normalised = (data.train_images - data.pixel_mean) * data.channel_scale
    padded = np.pad(normalised, ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0)))
    found = []
    for image, label in zip(batch, labels, strict=True):
        for top in range(2 * PADDING + 1):
            for left in range(2 * PADDING + 1):
                cut = padded[label, top : top + 8, left : left + 8]
                found += [(top, left, False)] * np.allclose(image, cut)
                found += [(top, left, True)] * np.allclose(image, cut[:, ::-1])
    assert len(found) == 16  # each found, and only once
    assert len(set(found)) > 8  # and they are not all the same


def test_crops_and_flips_are_uniform() -> None:
    crops = [Batches(dataset(), 30, seed=0).crops(step) for step in range(300)]
    offsets = np.concatenate([offsets for offsets, _ in crops])
    counts = [np.bincount(column, minlength=9) for column in offsets.T]
    assert np.shape(counts) == (2, 9)
    assert np.all(np.abs(np.array(counts) / 9000 - 1 / 9) < 0.02)
    flips = np.array([flips for _, flips in crops])
    assert abs(flips.mean() - 0.5) < 0.02
    assert flips.mean(1).std() < 0.15  # each image for itself, not a batch as a whole


def test_normalised_training_images_have_no_mean_and_unit_variance() -> None:
    batches = list(evaluation_batches(dataset(), "train", 30, dtype=np.float64))
    images = batches[0][0]
    np.testing.assert_allclose(images.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(images.reshape(-1, 3).std(0), 1, rtol=1e-12)


@pytest.mark.parametrize(("batch_size", "lengths"), [(3, [3, 3, 1]), (7, [7]), (100, [7])])
def test_evaluation_keeps_the_order_and_the_last_short_batch(
    batch_size: int, lengths: list[int]
) -> None:
    data = dataset()
    batches = list(evaluation_batches(data, "test", batch_size, dtype=np.float64))
    assert [len(labels) for _, labels in batches] == lengths
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), np.arange(7))
    expected = (data.test_images - data.pixel_mean) * data.channel_scale
    np.testing.assert_allclose(np.concatenate([images for images, _ in batches]), expected)


def test_evaluation_may_be_limited_to_the_first_images() -> None:
    labels = [labels for _, labels in evaluation_batches(dataset(), "test", 3, limit=5)]
    np.testing.assert_array_equal(np.concatenate(labels), np.arange(5))


def test_wrong_requests_get_a_sentence() -> None:
    data = dataset()
    with pytest.raises(ValueError, match="batch_size 31 is more than the 30 training images"):
        Batches(data, 31, seed=0)
    with pytest.raises(ValueError, match="batch_size must be 1 or more, but is 0"):
        Batches(data, 0, seed=0)
    with pytest.raises(ValueError, match="seed must be 0 or more, but is -1"):
        Batches(data, 4, seed=-1)
    with pytest.raises(ValueError, match="step must be 0 or more, but is -1"):
        Batches(data, 4, seed=0).batch(-1)
    with pytest.raises(ValueError, match="batch_size must be 1 or more, but is -2"):
        evaluation_batches(data, "test", -2)
    with pytest.raises(ValueError, match="limit must be 1 or more, but is 0"):
        evaluation_batches(data, "test", 2, limit=0)
    with pytest.raises(ValueError, match="'train' or 'test'"):
        evaluation_batches(data, "tset", 2)
