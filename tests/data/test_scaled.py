"""Parts of images at random scales: of the right size and place, the same for a seed and a step."""

import numpy as np
import pytest
from PIL import Image

from minires.data import Dataset, DatasetImages, Photographs, training_batches
from minires.data.augmentation import random_part
from minires.data.images import IMAGENET_MEAN, IMAGENET_STD

PLACE = {"dtype": np.float32, "device": "cpu"}


def ramp(height=24, width=40):
    """An image whose channels tell the row, the column and nothing."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([4 * rows, 4 * columns, np.full_like(rows, 50)], axis=-1).astype(np.uint8)


def dataset(count=48):
    images = np.stack([ramp() + number for number in range(count)])
    labels = np.arange(count) % 3
    return Dataset("ramps", images, labels, images[::-1], labels[::-1], ("a", "b", "c"))


def parts(sides, data=None):
    """The data set as networks see it: 16 x 16 of each image."""
    data = data or dataset()
    train, test = DatasetImages(data, "train"), DatasetImages(data)
    return Photographs("parts of ramps", train, test, size=16, sides=sides, workers=2)


@pytest.mark.parametrize("zoom", [2 / 3, 1, 2, 3.5])
def test_a_part_shows_the_image_at_the_drawn_scale(zoom):
    """Columns rise by 4 levels a pixel, or by 4 / zoom after scaling."""
    side = round(24 * zoom)
    tops, lefts, mirrored = set(), set(), set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        part = random_part(Image.fromarray(ramp()), 16, (side, side), rng).astype(int)
        assert part.shape == (16, 16, 3)
        steps = np.diff(part[..., 1], axis=1)[:, 4:-4]
        assert abs(abs(steps.mean()) - 4 / zoom) < 0.15
        assert abs(np.diff(part[4:-4, :, 0], axis=0).mean() - 4 / zoom) < 0.15
        assert (part[..., 2] == 50).all()
        tops.add(int(part[0, 0, 0]))
        lefts.add(int(part[..., 1].min()))
        mirrored.add(bool(steps.mean() < 0))
    assert mirrored == {False, True}
    assert len(lefts) > 5  # the image is wider than the part at any scale
    assert len(tops) == 1 if side == 16 else len(tops) > 5


def test_all_lengths_of_the_shorter_side_come_up():
    rng = np.random.default_rng(0)
    image = Image.fromarray(ramp())
    sides = set()
    for _ in range(200):
        part = random_part(image, 16, (16, 19), rng).astype(int)
        across = (part[:, -2, 1] - part[:, 1, 1]).mean() / 13
        sides.add(round(24 * 4 / abs(across)))
    assert sides == {16, 17, 18, 19}


def test_a_batch_is_a_function_of_seed_and_step():
    batches = [training_batches(parts((24, 60)), 4, seed, **PLACE) for seed in (7, 7, 8)]
    for step in (0, 2, 3, 1):
        batches[0].seek(step)
        images, labels = batches[0].next()
        np.testing.assert_array_equal(images, batches[1].batch(step)[0])
        np.testing.assert_array_equal(labels, batches[1].batch(step)[1])
        assert not np.array_equal(images, batches[2].batch(step)[0])


def test_training_sees_parts_of_the_training_images_with_a_generator_for_16():
    data = dataset()
    batches = training_batches(parts((24, 60)), 20, 7, **PLACE)
    for step in (0, 1):
        rngs = [np.random.default_rng([7, 1, step, part]) for part in (0, 1)]
        views = [
            random_part(Image.fromarray(data.train_images[n]), 16, (24, 60), rngs[place // 16])
            for place, n in enumerate(batches.chosen(step))
        ]
        expected = (np.stack(views) / 255 - IMAGENET_MEAN) / IMAGENET_STD
        np.testing.assert_allclose(batches.batch(step)[0], expected, atol=1e-4)


def test_each_image_of_a_batch_has_a_scale_of_its_own():
    same = np.stack([ramp()] * 12)
    data = Dataset("alike", same, np.zeros(12, int), same, np.zeros(12, int), ("a",))
    images, _ = training_batches(parts((24, 60), data), 8, 0, **PLACE).batch(0)
    assert len({image.tobytes() for image in images}) == 8


@pytest.mark.parametrize("sides", [(15, 40), (40, 30)])
def test_sides_that_do_not_fit_are_refused(sides):
    with pytest.raises(ValueError, match="rising order, from 16 on"):
        parts(sides)


def test_the_first_images_are_evenly_chosen():
    images = DatasetImages(dataset(12))
    some = images.first(4)
    assert some.labels == [images.labels[number] for number in (0, 3, 6, 9)]
    assert [np.asarray(some.open(2)).tolist()] == [np.asarray(images.open(6)).tolist()]
    assert images.first(100).labels == images.labels


def test_a_test_sees_the_middle_of_the_test_images():
    data = dataset(3)
    [(images, labels)] = parts((24, 60), data).evaluation_batches("test", 8, **PLACE)
    assert labels.tolist() == data.test_labels.tolist()
    assert images.shape == (3, 16, 16, 3)
    greys = (images * IMAGENET_STD + IMAGENET_MEAN)[..., 2].mean(axis=(1, 2)) * 255
    np.testing.assert_allclose(greys, [52, 51, 50], atol=1e-3)
