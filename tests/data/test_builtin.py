"""The built-in drawings: the same for the same seed, balanced, varied, and told apart by shape."""

import numpy as np
import pytest

from minires.data.builtin import CLASSES, NAME, generate
from minires.data.drawing import Canvas, box, disc, ellipse, polygon


def test_shapes_dtypes_and_balance() -> None:
    data = generate(train=1000, test=50)
    assert data.name == NAME
    assert (data.train_images.shape, data.train_images.dtype) == ((1000, 32, 32, 3), np.uint8)
    assert data.test_images.shape == (50, 32, 32, 3)
    assert data.train_images.flags.c_contiguous
    assert data.classes == CLASSES
    assert np.bincount(data.train_labels).tolist() == [100] * 10
    assert np.bincount(data.test_labels).tolist() == [5] * 10


def test_a_seed_names_a_data_set() -> None:
    first, again, other = (generate(train=50, test=20, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.train_images, again.train_images)
    np.testing.assert_array_equal(first.test_images, again.test_images)
    assert not np.array_equal(first.train_images, other.train_images)


def test_training_images_do_not_depend_on_the_test_images() -> None:
    one, other = generate(train=50, test=10), generate(train=50, test=20)
    np.testing.assert_array_equal(one.train_images, other.train_images)


@pytest.mark.parametrize("count", [3, 1000, 1003])
def test_any_number_of_images_can_be_drawn(count: int) -> None:
    data = generate(train=count, test=1)
    assert len(data.train_images) == count
    assert np.all(data.train_images.std(axis=(1, 2, 3)) > 0)  # none was left out


def test_no_image_comes_twice_and_test_is_not_train() -> None:
    data = generate(train=300, test=300)
    images = np.concatenate([data.train_images, data.test_images]).reshape(600, -1)
    assert len(np.unique(images, axis=0)) == 600


def test_images_use_the_range_of_light() -> None:
    images = generate(train=200, test=10).train_images
    assert 90 < images.mean() < 165
    assert images.std() > 40
    assert images.min() == 0
    assert images.max() == 255


def test_an_empty_split_gets_the_data_sets_sentence() -> None:
    with pytest.raises(ValueError, match="'built-in drawings': test_images are empty"):
        generate(train=10, test=0)


def test_parts_are_negative_inside_and_positive_outside() -> None:
    u = np.array([[0.0, 0.9]], np.float32)
    v = np.array([[0.0, 0.9]], np.float32)
    triangle = polygon(u, v, (0, -0.8), (0.8, 0.8), (-0.8, 0.8))
    square = box(u, v, left=-0.5, right=0.5, top=-0.5, bottom=0.5)
    for part in (disc(u, v, r=0.5), ellipse(u, v, r=(0.5, 0.3)), square, triangle):
        inside, outside = part[0]
        assert inside < 0 < outside
    np.testing.assert_allclose(disc(u, v, r=0.5)[0], [-0.5, 0.9 * np.sqrt(2) - 0.5], rtol=1e-6)


def test_paint_covers_a_part_and_smooths_its_edge() -> None:
    canvas = Canvas(1, np.random.default_rng(0))
    red = np.array([[1, 0, 0]], np.float32)
    canvas.paint(disc(canvas.u, canvas.v, r=0.5), red)
    plane = canvas.images[0, 0]
    assert plane[16, 16] == 1  # the middle
    assert plane[0, 0] == 0
    assert np.any((plane > 0) & (plane < 1))
    np.testing.assert_allclose(plane.sum(), np.pi * 8**2, rtol=0.02)  # the disc's area in pixels
    assert np.all(canvas.images[0, 1:] == 0)


def test_the_same_objects_can_be_drawn_larger() -> None:
    small, large = (Canvas(1, np.random.default_rng(0), size) for size in (32, 64))
    for canvas in (small, large):
        canvas.paint(disc(canvas.u, canvas.v, at=(0.2, 0), r=0.5), np.ones((1, 3), np.float32))
    halved = large.images.reshape(3, 32, 2, 32, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(halved, small.images[0], atol=0.1)  # both edges are a pixel wide

    data = generate(train=20, test=10, size=64)
    assert data.train_images.shape == (20, 64, 64, 3)
    assert data.name == f"{NAME}, 64 x 64"


def test_too_few_pixels_get_a_sentence() -> None:
    with pytest.raises(ValueError, match="size must be at least 16 pixels, but is 8"):
        generate(train=10, test=10, size=8)
