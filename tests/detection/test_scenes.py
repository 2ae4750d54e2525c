"""The built-in scenes, and batches of annotated images."""

import numpy as np
import pytest

from minires.data.builtin import CLASSES
from minires.data.drawing import disc
from minires.detection import Settings, scenes
from minires.detection.annotations import AnnotatedImage, Annotations, Object
from minires.detection.detecting import normalised
from minires.detection.scenes import MaskedCanvas, Thing, annotated, crowds, extent
from minires.detection.sets import DetectionBatches, DetectionSet, first, mirror


@pytest.fixture(scope="module")
def data():
    return scenes(train=12, test=3, size=48)


def test_the_same_seed_gives_the_same_scenes(data):
    """Whatever the number of scenes; another seed gives others."""
    fewer, other = scenes(train=5, test=0, size=48), scenes(train=5, test=0, size=48, seed=1)
    np.testing.assert_array_equal(fewer.train.images, data.train.images[:5])
    count = len(fewer.train.annotations)
    np.testing.assert_array_equal(fewer.train.annotations.box, data.train.annotations.box[:count])
    assert not np.array_equal(other.train.images, fewer.train.images)
    assert not np.array_equal(data.test.images, data.train.images[:3])


def test_scenes_have_objects_inside_them(data):
    a = data.train.annotations
    assert data.classes == CLASSES
    assert len(data.train) == 12
    assert set(a.image.tolist()) == set(range(12))
    assert (a.box >= 0).all()
    assert (a.box <= 48).all()
    assert (a.area <= a.box_area).all()
    assert (a.area > 0).all()


def test_a_box_is_the_extent_of_what_was_painted():
    """A disc of radius 5 pixels around (20.5, 12.5)."""
    canvas = MaskedCanvas(1, np.random.default_rng(0), 40)
    canvas.begin()
    x, y = (canvas.x + 1) * 20, (canvas.y + 1) * 20
    canvas.scale[...] = 2 / 40
    canvas.paint(disc(x - 20.5, y - 12.5, r=5), np.ones((1, 3), np.float32))
    assert extent(canvas.covered[0] > 0.5) == (16, 8, 25, 17)
    assert (canvas.images[0, 0] > 0.5).sum() == (canvas.covered[0] > 0.5).sum()


def test_objects_behind_others_are_difficult():
    back, front = np.zeros((2, 10, 10), bool)
    back[2:8, 2:8], front[2:8, 4:10] = True, True
    things = [Thing(1, back, extent(back)), Thing(2, front, extent(front))]
    hidden, seen = annotated(things, 7)
    assert (hidden.difficult, seen.difficult) == (True, False)
    assert (hidden.image, hidden.label, hidden.box, hidden.area) == (7, 1, (2, 2, 8, 8), 36)


def test_objects_that_crowd_each_other_are_told():
    assert crowds((0, 0, 10, 10), (6, 0, 16, 10))
    assert not crowds((0, 0, 10, 10), (7, 0, 17, 10))
    assert crowds((0, 0, 100, 100), (50, 50, 54, 54))


def test_too_small_scenes_are_refused():
    with pytest.raises(ValueError, match="at least 32 pixels"):
        scenes(train=1, test=0, size=20)


def test_mirrored_images_and_boxes_agree_by_the_pixel(rng):
    image, boxes = np.zeros((6, 9, 3)), np.array([[0.0, 1, 3, 5]])
    image[1:5, 0:3] = 1
    flipped, (box,) = mirror(image, boxes)
    x1, y1, x2, y2 = box.astype(int)
    assert flipped[y1:y2, x1:x2].all()
    assert flipped.sum() == image.sum()
    assert (x1, x2) == (6, 9)
    again, back = mirror(flipped, box[None])
    np.testing.assert_array_equal(again, image)
    np.testing.assert_array_equal(back, boxes)


# ------------------------------------------------------------------------ batches

VIEW = Settings(shorter=48, longer=48, multiple=16)


def test_a_batch_is_a_function_of_seed_and_step(data):
    batches = DetectionBatches(data.train, 4, 0, VIEW)
    batches.seek(2)
    again, here = DetectionBatches(data.train, 4, 0, VIEW).batch(2), batches.next()
    np.testing.assert_array_equal(here.images, again.images)
    assert here.images.shape == (4, 48, 48, 3)
    assert [b.tolist() for b in here.boxes] == [b.tolist() for b in again.boxes]
    assert not np.array_equal(here.images, batches.next().images)
    draws = [batches.generator(step).random() for step in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_about_half_of_the_images_are_mirrored(data):
    """And all are seen in an epoch."""
    plain = DetectionBatches(data.train, 12, 1, VIEW, flips=False).batch(0).images
    batch = DetectionBatches(data.train, 12, 1, VIEW).batch(0).images
    same = [np.array_equal(a, b) for a, b in zip(batch, plain, strict=True)]
    turned = [np.array_equal(a[:, ::-1], b) for a, b in zip(batch, plain, strict=True)]
    assert all(s != t for s, t in zip(same, turned, strict=True))
    assert 2 < sum(same) < 10
    assert len({image.tobytes() for image in plain}) == 12


def small_set():
    """Two images of different sizes, of which one object is a crowd and one has no area."""
    images = [AnnotatedImage(i, str(i), None, (20, 20)) for i in range(2)]
    box = (2.0, 4.0, 12.0, 10.0)
    objects = [
        Object(0, 1, box, 60, 60),
        Object(0, 1, box, 60, 60, crowd=True),
        Object(0, 1, (3.0, 3.0, 3.0, 9.0), 0, 0),
        Object(1, 1, box, 60, 60),
    ]
    return DetectionSet(
        Annotations.of("two", ["a"], images, objects), np.ones((2, 20, 20, 3), "u1")
    )


def test_crowds_and_boxes_without_area_are_not_trained():
    boxes, labels = small_set().objects(0)
    assert boxes.tolist() == [[2, 4, 12, 10]]
    assert labels.tolist() == [1]


def test_boxes_are_cut_to_their_image():
    """One reaches a billion pixels beyond it, one lies outside, one is half outside."""
    boxes = ((2.0, -4.0, 1e9, 10.0), (30.0, 4.0, 40.0, 9.0), (19.5, 4.0, 21.0, 9.0))
    objects = [Object(0, n, box, 60, 60) for n, box in enumerate(boxes, 1)]
    images = [AnnotatedImage(0, "0", None, (20, 20))]
    annotations = Annotations.of("one", ["a", "b", "c"], images, objects)
    wide = DetectionSet(annotations, np.ones((1, 20, 20, 3), "u1"))
    batch = DetectionBatches(wide, 1, 0, Settings(shorter=40), flips=False).batch(0)
    assert batch.boxes[0].tolist() == [[4, 0, 40, 20], [39, 8, 40, 18]]
    assert batch.labels[0].tolist() == [1, 3]


def test_boxes_are_scaled_with_their_image():
    view = Settings(shorter=40, longer=80, multiple=32)
    batch = DetectionBatches(small_set(), 2, 0, view, flips=False).batch(0)
    assert batch.sizes == [(40, 40), (40, 40)]
    assert batch.images.shape == (2, 64, 64, 3)
    assert batch.boxes[0].tolist() == [[4, 8, 24, 20]]
    assert (batch.images[:, 40:] == 0).all()
    np.testing.assert_allclose(
        batch.images[0, 0, 0], normalised(np.ones(3, "u1"), np.float32), rtol=1e-6
    )


def test_each_image_gets_a_scale_of_its_own_and_its_boxes_with_it():
    """Of 20 x 20 pixels become 40 or 60; the longer side has its limit."""
    view, options = Settings(shorter=40, longer=60), {"scales": (40, 60, 80), "flips": False}
    batches, seen = DetectionBatches(small_set(), 2, 0, view, **options), set()
    for step in range(12):
        batch = batches.batch(step)
        seen.add(tuple(size[0] for size in batch.sizes))
        side = max(size[0] for size in batch.sizes)
        assert batch.images.shape == (2, side, side, 3)
        for (height, width), boxes in zip(batch.sizes, batch.boxes, strict=True):
            assert height == width
            assert boxes.tolist() == [[height / 20 * x for x in (2, 4, 12, 10)]]
    assert seen == {(40, 40), (40, 60), (60, 40), (60, 60)}


def test_batches_larger_than_the_set_are_refused():
    with pytest.raises(ValueError, match="batch_size must be 1 to 2"):
        DetectionBatches(small_set(), 3, 0, VIEW)


def test_images_without_a_file_are_named():
    images = [AnnotatedImage("dog", "dog.jpg")]
    empty = DetectionSet(Annotations.of("one", ["a"], images, []))
    with pytest.raises(ValueError, match=r"the file of dog\.jpg is missing"):
        empty.pixels(0)


def test_the_first_images_have_their_objects():
    few = first(small_set(), 1)
    assert (len(few), len(few.annotations), len(few.images)) == (1, 3, 1)
    assert first(few, None) is few
