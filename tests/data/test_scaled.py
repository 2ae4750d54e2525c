"""Images at random scales: parts of the right size and place, the same for a seed and a step."""

import numpy as np
import pytest
from PIL import Image

from minires.data import Dataset, training_batches
from minires.data.augmentation import random_part
from minires.data.scaled import ScaledBatches
from tests.training.small import records, same, state, trainer

PLACE = {"dtype": np.float32, "device": "cpu"}


def ramp(height=24, width=40):
    """An image whose channels tell the row, the column and nothing."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([4 * rows, 4 * columns, np.full_like(rows, 50)], axis=-1).astype(np.uint8)


def dataset(count=12):
    images = np.stack([ramp() + number for number in range(count)])
    labels = np.arange(count) % 3
    return Dataset("ramps", images, labels, images[::-1], labels[::-1], ("a", "b", "c"))


@pytest.mark.parametrize("zoom", [1, 2, 3.5])
def test_a_part_shows_the_image_enlarged_by_the_drawn_scale(zoom):
    """Columns rise by 4 levels a pixel, or by 4 / zoom after scaling."""
    side = round(24 * zoom)
    tops, lefts, mirrored = set(), set(), set()
    for seed in range(20):
        part = random_part(
            Image.fromarray(ramp()), (side, side), np.random.default_rng(seed)
        ).astype(int)
        assert part.shape == (24, 40, 3)
        steps = np.diff(part[..., 1], axis=1)[:, 4:-4]
        assert abs(abs(steps.mean()) - 4 / zoom) < 0.1
        assert abs(np.diff(part[4:-4, :, 0], axis=0).mean() - 4 / zoom) < 0.1
        assert (part[..., 2] == 50).all()
        tops.add(int(part[0, 0, 0]))
        lefts.add(int(part[..., 1].min()))
        mirrored.add(bool(steps.mean() < 0))
    assert mirrored == {False, True}
    for places in (tops, lefts):
        assert len(places) == 1 if zoom == 1 else len(places) > 5


def test_all_lengths_of_the_shorter_side_come_up():
    rng = np.random.default_rng(0)
    image = Image.fromarray(ramp())
    sides = set()
    for _ in range(200):
        part = random_part(image, (24, 27), rng).astype(int)
        across = np.diff(part[:, 4:-4, 1], axis=1).mean()
        sides.add(round(24 * 4 / abs(across)))
    assert sides == {24, 25, 26, 27}


def test_a_batch_is_a_function_of_seed_and_step():
    batches = [ScaledBatches(dataset(), 4, seed, sides=(24, 60), **PLACE) for seed in (7, 7, 8)]
    for step in (0, 2, 3, 1):
        batches[0].seek(step)
        images, labels = batches[0].next()
        np.testing.assert_array_equal(images, batches[1].batch(step)[0])
        np.testing.assert_array_equal(labels, batches[1].batch(step)[1])
        assert not np.array_equal(images, batches[2].batch(step)[0])


def test_each_view_has_a_generator_of_its_own():
    data = dataset()
    batches = ScaledBatches(data, 4, 7, sides=(24, 60), **PLACE)
    for step in (0, 2):
        views = [
            random_part(
                Image.fromarray(data.train_images[number]),
                (24, 60),
                np.random.default_rng([7, 1, step, place]),
            )
            for place, number in enumerate(batches.chosen(step))
        ]
        expected = (np.stack(views) - data.pixel_mean) * data.channel_scale
        np.testing.assert_allclose(batches.batch(step)[0], expected, atol=1e-4)


def test_images_are_normalised_by_the_moments_of_the_data_set():
    """At scale 1 there is one part: the image itself."""
    data = dataset()
    batches = ScaledBatches(data, 4, 0, sides=(24, 24), **PLACE)
    images, _ = batches.batch(0)
    for image, number in zip(images, batches.chosen(0), strict=True):
        whole = (data.train_images[number] - data.pixel_mean) * data.channel_scale
        mirrored = (data.train_images[number][:, ::-1] - data.pixel_mean) * data.channel_scale
        assert min(abs(image - whole).max(), abs(image - mirrored).max()) < 1e-4


def test_each_image_of_a_batch_has_a_scale_of_its_own():
    same = np.stack([ramp()] * 12)
    data = Dataset("alike", same, np.zeros(12, int), same, np.zeros(12, int), ("a",))
    images, _ = ScaledBatches(data, 8, 0, sides=(24, 60), **PLACE).batch(0)
    assert len({image.tobytes() for image in images}) == 8


@pytest.mark.parametrize("sides", [(20, 40), (40, 30)])
def test_sides_that_do_not_fit_are_refused(sides):
    with pytest.raises(ValueError, match="rising order, from 24 on"):
        training_batches(dataset(), 4, 0, sides=sides, **PLACE)


def test_sides_need_images_in_memory():
    with pytest.raises(TypeError, match="must be a Dataset"):
        training_batches(None, 4, 0, sides=(24, 30), **PLACE)


def test_a_training_at_random_scales_resumes_bit_for_bit(tmp_path):
    whole = trainer(tmp_path / "whole", sides=(32, 60))
    whole.run()

    def stop(training):
        if training.step == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "parts", sides=(32, 60), watch=stop).run()
    parts = trainer(tmp_path / "parts", sides=(32, 60))
    parts.finish()
    assert same(state(whole), state(parts))
    assert records(tmp_path / "whole") == records(tmp_path / "parts")
    with pytest.raises(ValueError, match="sides"):
        trainer(tmp_path / "whole", sides=(32, 61)).resume()
