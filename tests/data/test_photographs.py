"""Image files as a data set: views, batches, and a user's folders in all layouts."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from minires.data import BrokenImageError, Photographs, evaluation_batches, find_photographs
from minires.data.augmentation import middle_box, random_box, random_view
from minires.data.dataset import Dataset
from minires.data.images import IMAGENET_MEAN, IMAGENET_STD, KeptImages
from minires.data.own_folders import class_weights, refuse_broken
from tests.data.own import drawings, save
from tests.data.photographs import folder_by_class
from tests.data.photographs import photograph as noise

PLACE = {"dtype": np.float32, "device": "cpu"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return drawings(tmp_path_factory.mktemp("own") / "drawings", count=20, classes=3)


@pytest.fixture
def photographs(folder):
    return find_photographs(folder, size=24, workers=2)


class TestRandomViews:
    def test_boxes_have_the_areas_and_ratios_of_the_paper(self):
        rng = np.random.default_rng(0)
        boxes = np.array([random_box(900, 900, rng) for _ in range(20_000)])
        width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        area, ratio = width * height / 900**2, np.log(width / height)
        assert boxes.min() >= 0
        assert boxes[:, 2:].max() == 900
        assert 0.0795 < area.min() < 0.081
        assert area.max() > 0.99
        assert abs(ratio).max() < np.log(4 / 3) + 0.01
        assert abs(ratio.mean()) < 0.01
        small = area[area < 9 / 16]  # every such box fits, so that nothing is drawn again
        assert small.mean() == pytest.approx((0.08 + 9 / 16) / 2, abs=0.003)
        assert np.log(4 / 3) / np.sqrt(3) == pytest.approx(ratio[area < 9 / 16].std(), rel=0.02)

    def test_places_are_uniform(self):
        rng = np.random.default_rng(1)
        boxes = np.array([random_box(400, 300, rng) for _ in range(20_000)])
        for first, side in ((0, 400), (1, 300)):
            room = side - (boxes[:, first + 2] - boxes[:, first])
            place = boxes[room > 50, first] / room[room > 50]
            assert place.mean() == pytest.approx(0.5, abs=0.01)
            assert place.std() == pytest.approx(1 / np.sqrt(12), abs=0.01)

    @pytest.mark.parametrize(
        ("size", "box"),
        [
            ((1000, 10), (493, 0, 506, 10)),
            ((10, 1000), (0, 493, 10, 506)),
            ((100, 90), (0, 0, 100, 90)),
        ],
    )
    def test_where_nothing_fits_the_middle_is_taken(self, size, box):
        assert middle_box(*size) == box
        if min(size) == 10:
            assert random_box(*size, np.random.default_rng(0)) == box

    def test_views_are_scaled_and_mirrored(self):
        ramp = np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], 64, axis=0)
        image = Image.fromarray(np.repeat(ramp, 3, axis=2))
        views = [random_view(image, 16, np.random.default_rng(i)) for i in range(400)]
        rising = [bool(view[0, 0, 0] < view[0, -1, 0]) for view in views]
        assert {view.shape for view in views} == {(16, 16, 3)}
        assert 160 < sum(rising) < 240


class TestBatches:
    def test_a_sought_batch_is_the_pure_one(self, photographs):
        """In order, over the end of an epoch of six batches, and out of order."""
        batches = photographs.training_batches(8, seed=3, **PLACE)
        assert len(batches) == 6
        for step in (0, 1, 2, 5, 6, 7, 7, 3):
            batches.seek(step)
            for came, pure in zip(batches.next(), batches.batch(step), strict=True):
                np.testing.assert_array_equal(came, pure)

    def test_an_epoch_sees_every_image_once(self, photographs):
        batches = photographs.training_batches(8, seed=3, **PLACE)
        seen = np.concatenate([batches.chosen(step) for step in range(6)])
        assert sorted(seen) == list(range(48))
        assert list(batches.chosen(0)) != list(batches.chosen(6))

    def test_views_differ_between_steps_and_seeds(self, photographs):
        one, other = (photographs.training_batches(8, seed=s, **PLACE) for s in (3, 4))
        assert not np.array_equal(one.batch(0)[0], other.batch(0)[0])
        one.chosen = lambda step: other.chosen(0)
        for place in range(8):
            assert not np.array_equal(one.batch(0)[0][place], one.batch(1)[0][place])

    def test_all_views_of_a_batch_differ(self, photographs):
        batches = photographs.training_batches(40, seed=3, **PLACE)
        batches.chosen = lambda step: np.zeros(40, int)
        images, _ = batches.batch(0)
        assert images.shape == (40, 24, 24, 3)
        assert len({image.tobytes() for image in images}) == 40

    @pytest.mark.parametrize(("room", "workers"), [(0, 1), (20 * 3 * 32 * 32, 3), (1 << 30, 2)])
    def test_batches_are_the_same_whatever_is_kept(self, room, workers, photographs):
        opener = KeptImages(room).open
        files = replace(photographs.train, opener=opener)
        other = replace(photographs, train=files, workers=workers)
        expected, batches = (d.training_batches(20, seed=3, **PLACE) for d in (photographs, other))
        for step in range(5):
            for stream in (batches, expected):
                stream.seek(step)
            for came, pure in zip(batches.next(), expected.batch(step), strict=True):
                np.testing.assert_array_equal(came, pure)

    def test_after_the_check_no_file_is_read_again(self, folder, tmp_path):
        moved = shutil.copytree(folder, tmp_path / "own")
        data = find_photographs(moved, size=24)
        refuse_broken(data)
        shutil.rmtree(moved)
        data.training_batches(48, seed=3, **PLACE).seek(1)
        assert sum(len(labels) for _, labels in data.evaluation_batches("test", 5, **PLACE)) == 12

    def test_after_the_check_no_file_of_two_folders_is_read_again(self, tmp_path, rng):
        for part in ("train", "val"):
            folder_by_class(tmp_path / part, rng)
        data = find_photographs(tmp_path, size=24)
        refuse_broken(data)
        shutil.rmtree(tmp_path)
        for split in ("train", "test"):
            assert [len(y) for _, y in data.evaluation_batches(split, 6, **PLACE)] == [6]

    def test_labels_belong_to_their_images(self, tmp_path):
        """Every class has a grey level of its own."""
        for label in range(4):
            for number in range(5):
                grey = np.full((20, 20, 3), 60 * label, np.uint8)
                save(tmp_path / "abcd"[label] / f"{number}.png", grey)
        data = find_photographs(tmp_path, size=16)
        batches = data.training_batches(4, 0, **PLACE)
        batches.seek(0)
        parts = [batches.next(), *data.evaluation_batches("test", 3, **PLACE)]
        for images, labels in parts:
            levels = 255 * (images[:, 8, 8] * [0.229, 0.224, 0.225] + [0.485, 0.456, 0.406])
            np.testing.assert_allclose(levels, np.repeat(60.0 * labels[:, None], 3, 1), atol=1e-3)

    def test_tests_see_the_middle_as_the_protocol_does(self, photographs):
        from minires.evaluation import SingleCrop

        [(images, labels)] = photographs.evaluation_batches("test", 100, **PLACE)
        views = [
            SingleCrop().views(photographs.test.open(n), photographs.preprocessing)[0]
            for n in range(len(labels))
        ]
        np.testing.assert_allclose(images, views, atol=1e-5)
        np.testing.assert_array_equal(labels, photographs.test_labels)

    def test_tests_see_all_images_in_order(self, photographs):
        batches = list(photographs.evaluation_batches("train", 20, **PLACE))
        assert [len(labels) for _, labels in batches] == [20, 20, 8]
        middles = [photographs.middle(photographs.train, n) for n in range(48)]
        images, labels = map(np.concatenate, zip(*batches, strict=True))
        np.testing.assert_allclose(
            255 * (images * IMAGENET_STD + IMAGENET_MEAN), middles, atol=1e-3
        )
        assert labels.tolist() == photographs.train.labels

    def test_ranks_share_a_test(self, photographs):
        parts = [
            list(photographs.evaluation_batches("test", 5, first=f, every=2, **PLACE))
            for f in (0, 1)
        ]
        whole = list(photographs.evaluation_batches("test", 5, **PLACE))
        for i, (images, labels) in enumerate(whole):
            np.testing.assert_array_equal(images, parts[i % 2][i // 2][0])
            np.testing.assert_array_equal(labels, parts[i % 2][i // 2][1])

    def test_large_images_come_in_smaller_batches(self, folder):
        large = find_photographs(folder, size=320)
        sizes = [len(y) for _, y in large.evaluation_batches("train", 100, limit=40, **PLACE)]
        assert sizes == [15, 15, 10]

    @pytest.mark.parametrize("size", [0, 49])
    def test_a_batch_needs_images(self, size, photographs):
        with pytest.raises(ValueError, match="batch_size must be 1 to 48, the training images"):
            photographs.training_batches(size, 0, **PLACE)

    def test_a_broken_image_is_named_in_its_turn(self, folder):
        data = find_photographs(folder, size=24)
        batches = data.training_batches(8, 0, **PLACE)
        broken = batches.chosen(1)[3]
        data.train.paths[broken] = data.train.paths[broken].with_name("z.png")
        batches.seek(0)
        for _ in range(2):
            with pytest.raises(BrokenImageError, match=r"z\.png: No such file"):
                batches.seek(1)

    def test_other_streams_want_arrays(self, photographs):
        with pytest.raises(TypeError, match="Dataset"):
            evaluation_batches(photographs, "test", 5)
        assert isinstance(photographs, Photographs)
        assert not isinstance(photographs, Dataset)


class TestFolders:
    def test_a_split_takes_a_share_of_each_class(self, photographs):
        assert (len(photographs.train), len(photographs.test)) == (48, 12)
        assert [photographs.test.labels.count(label) for label in range(3)] == [4, 4, 4]
        assert not set(photographs.train.paths) & set(photographs.test.paths)

    def test_a_split_depends_on_the_seed_alone(self, folder):
        paths = [find_photographs(folder, seed=seed).test.paths for seed in (0, 0, 1)]
        assert paths[0] == paths[1] != paths[2]

    @pytest.mark.parametrize("name", ["val", "valid", "validation", "test"])
    def test_folders_of_both(self, name, tmp_path, rng):
        folder_by_class(tmp_path / "train", rng, each=3)
        folder_by_class(tmp_path / name, rng, each=1)
        data = find_photographs(tmp_path)
        assert data.name == tmp_path.name
        assert (len(data.train), len(data.test)) == (9, 3)
        assert {path.parts[-3] for path in data.test.paths} == {name}

    def test_training_images_alone_are_split(self, tmp_path, rng):
        data = find_photographs(folder_by_class(tmp_path / "train", rng, each=5).parent)
        assert (len(data.train), len(data.test)) == (12, 3)

    def test_numbered_folders_are_outputs(self, tmp_path, rng):
        classes = [str(number) for number in range(11)]
        folder_by_class(tmp_path / "train", rng, each=1, classes=classes)
        folder_by_class(tmp_path / "val", rng, each=1, classes=classes)
        data = find_photographs(tmp_path)
        for files in (data.train, data.test):
            assert [int(path.parent.name) for path in files.paths] == files.labels

    def test_photographs_are_turned_as_the_camera_noted(self, tmp_path, rng):
        exif = Image.Exif()
        exif[0x0112] = 6
        for name in "ab":
            for number in range(2):
                (tmp_path / name).mkdir(exist_ok=True)
                noise(rng, 40, 20).save(tmp_path / name / f"{number}.jpg", exif=exif)
        assert find_photographs(tmp_path).train.open(0).size == (20, 40)

    def test_a_missing_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            find_photographs(tmp_path / "none")

    def test_a_share_that_is_none(self, folder):
        with pytest.raises(ValueError, match=r"between 0 and 1, but is 1\.5"):
            find_photographs(folder, share=1.5)

    def test_one_class_only(self, tmp_path, rng):
        folder_by_class(tmp_path, rng, classes=("ant",))
        with pytest.raises(ValueError, match=r"of one class only \(ant\): expected a sub-folder"):
            find_photographs(tmp_path)

    def test_an_empty_class(self, tmp_path, rng):
        folder_by_class(tmp_path, rng)
        (tmp_path / "dog").mkdir()
        with pytest.raises(ValueError, match="the sub-folder dog holds no images"):
            find_photographs(tmp_path)

    def test_a_single_image(self, tmp_path, rng):
        folder_by_class(tmp_path, rng)
        (tmp_path / "cat" / "cat0.jpg").unlink()
        with pytest.raises(ValueError, match="the class cat has a single image"):
            find_photographs(tmp_path)

    @pytest.mark.parametrize(
        ("classes", "sentence"),
        [
            (("ant", "bee"), "val holds no image of cat: the classes of training and test must"),
            (("ant", "bee", "cat", "dog"), "class 'dog' is none of the 3 known ones"),
        ],
    )
    def test_classes_that_differ(self, classes, sentence, tmp_path, rng):
        folder_by_class(tmp_path / "train", rng)
        folder_by_class(tmp_path / "val", rng, classes=classes)
        with pytest.raises(ValueError, match=sentence):
            find_photographs(tmp_path)

    def test_broken_images_are_named_beforehand(self, tmp_path, rng):
        folder_by_class(tmp_path, rng, each=4)
        (tmp_path / "ant" / "ant1.jpg").write_bytes(b"no image")
        cut = tmp_path / "bee" / "bee0.jpg"
        cut.write_bytes(cut.read_bytes()[:-20])
        seen = []
        with pytest.raises(BrokenImageError) as caught:
            refuse_broken(find_photographs(tmp_path), seen.append)
        assert "2 of 12 images can't be read; remove or repair them" in str(caught.value)
        assert "ant1.jpg: not an image" in str(caught.value)
        assert "bee0.jpg: " in str(caught.value)
        assert seen == list(range(1, 13))

    def test_many_broken_images_are_counted(self, tmp_path, rng):
        folder_by_class(tmp_path, rng, each=9)
        for path in tmp_path.rglob("*.jpg"):
            path.write_bytes(b"")
        with pytest.raises(BrokenImageError, match="and 7 more"):
            refuse_broken(find_photographs(tmp_path))

    def test_class_weights_make_all_classes_count_alike(self, tmp_path, rng):
        folder_by_class(tmp_path / "train", rng, classes=("ant",), each=6)
        folder_by_class(tmp_path / "train", rng, classes=("bee",), each=2)
        folder_by_class(tmp_path / "val", rng, classes=("ant", "bee"), each=1)
        data = find_photographs(tmp_path)
        weights = class_weights(data.train)
        assert weights == pytest.approx([8 / 12, 8 / 4])
        assert sum(weights[label] for label in data.train.labels) == pytest.approx(8)
