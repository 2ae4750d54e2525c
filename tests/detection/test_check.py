"""Annotations are looked through before training: each kind of fault is named."""

import numpy as np
import pytest
from PIL import Image

from minires.detection import read_coco, read_voc
from minires.detection.anchors import grid, shapes
from minires.detection.boxes import iou
from minires.detection.check import Viewing, check
from minires.detection.tables import anchor_lines
from tests.detection.sets import coco, voc_folder, write, xml

DOG = ("dog", 11, 6, 30, 25)


def checked(root, *objects, size=(60, 40), **options):
    """A folder of one image of 60 x 40 pixels."""
    return check(read_voc(voc_folder(root, {"a": xml(*objects, size=size)})), **options)


def faults(found):
    return [(fault.kind, fault.text) for fault in found]


def kinds(found):
    return [fault.kind for fault in found]


def test_nothing_is_wrong(tmp_path):
    made = checked(tmp_path, DOG, ("dog", 1, 1, 60, 40))
    assert made.wrong == made.strange == ()


class TestBoxes:
    @pytest.mark.parametrize(
        ("box", "kind"),
        [
            ((11, 6, 10, 25), "boxes without area"),
            ((11, 6, 5, 25), "boxes without area"),
            ((11, 6, 11, 25), "boxes no more than 1 pixel wide or high"),
            ((11, 25, 30, 25), "boxes no more than 1 pixel wide or high"),
            ((61, 6, 70, 25), "boxes outside their image"),
            ((11, -30, 30, 0), "boxes outside their image"),
        ],
    )
    def test_wrong(self, box, kind, tmp_path):
        made = checked(tmp_path, DOG, ("dog", *box))
        assert kinds(made.wrong) == [kind]
        assert made.wrong[0].text.startswith("a.jpg, object 2 (dog): x ")
        assert made.wrong[0].text.endswith("of 60 x 40")
        assert not made.strange

    @pytest.mark.parametrize(
        ("box", "kind"),
        [
            ((0, 6, 30, 25), "boxes up to 1 pixel outside"),
            ((11, 6, 61, 25), "boxes up to 1 pixel outside"),
            ((11, -1, 30, 25), "boxes partly outside"),
            ((11, 6, 30, 60), "boxes partly outside"),
        ],
    )
    def test_across_the_edge(self, box, kind, tmp_path):
        made = checked(tmp_path, ("dog", *box))
        assert not made.wrong
        assert [k.startswith(kind) for k in kinds(made.strange)] == [True]

    def test_twice(self, tmp_path):
        made = checked(tmp_path, DOG, ("cat", *DOG[1:]), DOG)
        assert faults(made.strange)[0][0] == "objects annotated twice"
        assert "object 3 (dog)" in made.strange[0].text

    def test_what_could_not_be_read_is_wrong(self, tmp_path):
        assert len(checked(tmp_path, DOG, ("dog", "nan", 1, 2, 2)).wrong) == 1


class TestImages:
    def test_missing_and_broken_files(self, tmp_path):
        root = voc_folder(tmp_path, {name: xml(DOG) for name in "abc"})
        (root / "JPEGImages" / "a.jpg").unlink()
        (root / "JPEGImages" / "b.jpg").write_text("no image")
        made = check(read_voc(root))
        assert kinds(made.wrong) == ["images whose files are missing", "images that can't be read"]
        assert "b.jpg: not an image of any kind" in made.wrong[1].text

    @pytest.mark.parametrize(
        ("images", "kinds_expected"),
        [((), ["sets without images", "sets without objects"]), ((1,), ["sets without objects"])],
    )
    def test_sets_of_nothing(self, images, kinds_expected, tmp_path):
        Image.new("RGB", (60, 40)).save(tmp_path / "1.png")
        made = check(read_coco(write(tmp_path / "a.json", coco(images))))
        assert faults(made.wrong) == [(kind, "a") for kind in kinds_expected]

    def test_another_size_than_annotated(self, tmp_path):
        made = checked(tmp_path, DOG, size=(70, 40))
        kind, text = faults(made.wrong)[0]
        assert kind == "images of another size than annotated"
        assert text == "a.jpg: 60 x 40 pixels, annotated as 70 x 40"
        turned = checked(tmp_path / "b", DOG, size=(40, 60))
        assert turned.wrong[0].text.endswith("40 x 60 (is it turned by its EXIF tag?)")
        assert turned.image_sizes.tolist() == [[40, 60]]  # the file's own

    def test_without_objects_and_without_annotations(self, tmp_path):
        root = voc_folder(tmp_path, {"a": xml(DOG), "b": xml()})
        Image.new("RGB", (6, 4)).save(root / "JPEGImages" / "c.png")
        annotations = read_voc(root)
        expected = [
            ("images without objects", "b.jpg"),
            ("image files without annotations", "c.png"),
        ]
        assert faults(check(annotations).strange) == expected
        assert faults(check(annotations, whole=False).strange) == expected[:1]

    def test_listed_twice(self, tmp_path):
        Image.new("RGB", (60, 40)).save(tmp_path / "1.png")
        content = coco([1, 2], annotations=[(1, 1, [0, 0, 5, 5]), (2, 1, [0, 0, 5, 5])])
        content["images"][1]["file_name"] = "1.png"
        made = check(read_coco(write(tmp_path / "a.json", content)))
        assert faults(made.strange) == [("image files listed twice", "1.png")]

    def test_gigantic_images_are_only_numbers(self, tmp_path):
        content = coco(annotations=[(1, 1, [0, 0, 10**6, 5])], size=(10**6, 10))
        made = check(read_coco(write(tmp_path / "a.json", content)))
        assert made.overlap().shape == (1,)


class TestClasses:
    def test_spelled_in_several_ways(self, tmp_path):
        content = coco(categories=enumerate(["Traffic light", "dog", "traffic_light"]))
        made = check(read_coco(write(tmp_path / "a.json", content)))
        kind = "classes that differ in spelling alone"
        assert (kind, "'Traffic light', 'traffic_light'") in faults(made.strange)
        assert kinds(made.strange).count("classes without objects") == 3


class TestAnchors:
    def test_overlap_is_that_with_the_anchors_of_the_image_as_the_network_sees_it(self, tmp_path):
        """60 x 40 pixels become 90 x 60, on a map of 6 x 4."""
        view = Viewing((16, 32), shorter=60, longer=100, stride=16)
        made = checked(tmp_path, DOG, ("dog", 3, 3, 9, 50), viewing=view)
        seen = np.array([[15, 7.5, 45, 37.5], [3, 3, 13.5, 60]])  # the image ends there
        np.testing.assert_allclose(made.seen[0], seen)
        np.testing.assert_array_equal(made.seen[1], [[4, 6]] * 2)
        expected = iou(seen, grid(shapes((16, 32)), 4, 6)).max(axis=1)
        np.testing.assert_allclose(made.overlap(), expected)
        assert made.sides[0] == 30

    def test_anchors_across_the_edge_count_where_they_are_trained(self, tmp_path):
        """Of 800 pixels none lies inside an image of 900 x 600."""
        shares = []
        for border in (True, False):
            view = Viewing((800,), border=border)
            made = checked(tmp_path / str(border), ("dog", 1, 1, 60, 40), viewing=view)
            shares.append(made.overlap()[0])
            assert any("inside the image" in line for line in anchor_lines(made)) != border
        assert shares[0] > 0.5
        assert shares[1] == 0

    def test_crowds_and_boxes_without_area_are_left_out(self, tmp_path):
        crowd = (1, 1, [0, 0, 5, 5], {"iscrowd": 1})
        content = coco(annotations=[crowd, (1, 1, [0, 0, 0, 5]), (1, 1, [0, 0, 5, 5])])
        made = check(read_coco(write(tmp_path / "a.json", content)))
        assert made.usable.tolist() == [False, False, True]

    def test_better_anchors_are_named(self, tmp_path):
        small = [("dog", 10 * i, 1, 10 * i + 2, 3) for i in range(1, 5)]
        sizes, fitting = checked(tmp_path, *small).better_sizes()
        assert sizes == (32, 64, 128)  # 3 pixels become 45, of 600
        assert fitting == 1
        large = checked(tmp_path / "b", ("dog", 1, 1, 40, 40))
        assert large.better_sizes() is None

    def test_no_object_at_all(self, tmp_path):
        made = checked(tmp_path)
        assert made.better_sizes() is None
        assert len(made.sides) == 0
