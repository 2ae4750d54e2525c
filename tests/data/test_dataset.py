"""The data set's checks and moments."""

import numpy as np
import pytest

from minires import Tensor
from minires.data import Dataset, evaluation_batches


def dataset(**changes: object) -> Dataset:
    """Ten training and four test images of 4 x 5 pixels, three classes."""
    rng = np.random.default_rng(0)
    fields: dict = {
        "name": "tiny",
        "train_images": rng.integers(0, 256, (10, 4, 5, 3), np.uint8),
        "train_labels": np.arange(10) % 3,
        "test_images": rng.integers(0, 256, (4, 4, 5, 3), np.uint8),
        "test_labels": np.arange(4) % 3,
        "classes": ("a", "b", "c"),
    }
    return Dataset(**(fields | changes))


def test_moments_are_those_of_numpy() -> None:
    data = dataset()
    images = data.train_images.astype(np.float64)
    np.testing.assert_allclose(data.pixel_mean, images.mean(0), rtol=1e-14)
    std = (images - images.mean(0)).reshape(-1, 3).std(0)
    np.testing.assert_allclose(data.channel_scale, 1 / std, rtol=1e-12)


def test_a_channel_without_variance_is_left_alone() -> None:
    images = dataset().train_images
    images[..., 1] = 77
    scale = dataset(train_images=images).channel_scale
    assert scale[1] == 1
    assert np.all(np.isfinite(scale))


def test_split_gives_images_and_labels() -> None:
    data = dataset()
    assert data.split("train") == (data.train_images, data.train_labels)
    assert data.split("test") == (data.test_images, data.test_labels)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train_images": np.zeros((10, 4, 5, 3))}, "train_images must be uint8 .* are float64"),
        ({"test_images": np.zeros((4, 5, 3), np.uint8)}, r"test_images must be .*\(4, 5, 3\)"),
        ({"train_images": np.zeros((0, 4, 5, 3), np.uint8)}, "train_images are empty"),
        ({"test_images": np.zeros((0, 4, 5, 3), np.uint8)}, "test_images are empty"),
        ({"train_labels": np.arange(9)}, r"train_labels must be 10 whole numbers.*\(9,\)"),
        ({"train_labels": np.zeros(10)}, "train_labels must be 10 whole numbers.*float64"),
        ({"test_labels": np.arange(4)}, r"must lie in 0 \.\. 2 for 3 classes.* from 0 to 3"),
        ({"test_labels": np.arange(4) - 1}, "reach from -1 to 2"),
        ({"test_images": np.zeros((4, 8, 8, 3), np.uint8)}, "one network takes one size"),
    ],
)
def test_arrays_that_do_not_fit_get_a_sentence(changes: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        dataset(**changes)


def test_an_unknown_split_gets_a_sentence() -> None:
    with pytest.raises(ValueError, match="'train' or 'test', but is 'validation'"):
        dataset().split("validation")


@pytest.mark.parametrize(
    "view", [np.s_[..., ::-1], np.s_[:, ::-1], np.s_[:, :, 4:], np.s_[..., :1]]
)
def test_views_are_laid_out_anew_where_they_come_in(view, rng):
    images, labels = rng.integers(0, 256, (4, 9, 9, 3), np.uint8), np.zeros(4, np.uint8)
    data = Dataset("m", images[view], labels, images[view], labels, ("a",))
    for split in ("train", "test"):
        assert data.split(split)[0].flags.c_contiguous
        np.testing.assert_array_equal(data.split(split)[0], images[view])
    list(evaluation_batches(data, "test", 2))


@pytest.mark.parametrize("given", [[0, 0], None, "labels", Tensor(np.zeros(2))])
def test_what_is_no_array_gets_a_sentence(given):
    images, labels = np.zeros((2, 4, 4, 3), np.uint8), np.zeros(2, np.uint8)
    for arrays in ((given, labels, images, labels), (images, labels, images, given)):
        with pytest.raises(TypeError, match=r"data set 'm': .* must be a NumPy array, but are "):
            Dataset("m", *arrays, ("a",))
