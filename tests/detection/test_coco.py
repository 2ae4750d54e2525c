"""COCO's annotations as people have them, and hostile ones."""

import numpy as np
import pytest
from PIL import Image

from minires.detection import coco as reader
from minires.detection import read_annotations, read_coco
from minires.detection.check import check
from tests.detection.sets import coco, write

BOX = [10, 5, 20, 20]


def read(root, content, **options):
    return read_coco(write(root / "a.json", content), **options)


class TestContent:
    def test_width_and_height_become_corners(self, tmp_path):
        made = read(tmp_path, coco(annotations=[(1, 1, BOX, {"area": 250.5})]))
        np.testing.assert_array_equal(made.box, [[10, 5, 30, 25]])
        assert made.area == 250.5
        assert made.box_area == 400
        assert made.images[0].size == (40, 60)

    def test_area_and_iscrowd_may_be_missing(self, tmp_path):
        made = read(tmp_path, coco(annotations=[(1, 1, BOX), (1, 1, BOX, {"iscrowd": 1})]))
        assert made.area.tolist() == [400, 400]
        assert made.crowd.tolist() == [False, True]

    def test_images_and_classes_come_in_the_order_of_their_ids(self, tmp_path):
        content = coco([9, 2], [(7, "dog"), (0, "cat")], [(9, 7, BOX), (2, 0, BOX), (2, 7, BOX)])
        made = read(tmp_path, content)
        assert [image.key for image in made.images] == [2, 9]
        assert (made.classes, made.categories) == (("cat", "dog"), (0, 7))
        assert made.image.tolist() == [0, 0, 1]
        assert made.label.tolist() == [1, 2, 2]  # category 0 is no background

    def test_classes_may_be_given(self, tmp_path):
        content = coco(categories=[(1, "dog"), (2, "cat")], annotations=[(1, 1, BOX), (1, 2, BOX)])
        made = read(tmp_path, content, classes=["horse", "cat"])
        assert made.label.tolist() == [2]
        assert [fault.kind for fault in made.faults] == [reader.UNKNOWN]

    @pytest.mark.parametrize("place", ["val2017", "images/val2017", "annotations", "images", ""])
    def test_images_are_found_where_people_have_them(self, place, tmp_path):
        (tmp_path / "annotations").mkdir()
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40)).save(tmp_path / place / "1.png")
        write(tmp_path / "annotations" / "instances_val2017.json", coco())
        [image] = read_annotations(tmp_path).images
        assert image.path == (tmp_path / place / "1.png").resolve()

    def test_a_name_counts_with_its_folder(self, tmp_path):
        """Images of one name in several folders are several, and never the same file."""
        content = coco([1, 2])
        for entry, name in zip(content["images"], ("a/0.png", "b/0.png"), strict=True):
            entry["file_name"] = name
        for folder in ("images", "a"):
            (tmp_path / folder).mkdir()
            Image.new("RGB", (60, 40)).save(tmp_path / folder / "0.png")
        made = read(tmp_path, content)
        places = [image.path.relative_to(tmp_path.resolve()) for image in made.images]
        assert [str(place) for place in places] == ["a/0.png", "images/0.png"]
        assert not made.faults
        (tmp_path / "a" / "0.png").unlink()
        [fault] = read(tmp_path, content).faults
        assert fault.kind == reader.SHARED
        assert fault.text.startswith("a/0.png, b/0.png: ")

    def test_a_class_that_is_named_twice_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="a: the class 'dog' is named twice"):
            read(tmp_path, coco(), classes=["dog", "cat", "dog"])

    def test_several_files_in_a_folder_get_a_sentence(self, tmp_path):
        for name in ("a.json", "b.json"):
            write(tmp_path / name, coco())
        with pytest.raises(ValueError, match=r"several, name one: a\.json, b\.json"):
            read_annotations(tmp_path)
        with pytest.raises(ValueError, match="splits are VOC's"):
            read_annotations(tmp_path / "a.json", split="train")


def with_entry(table, **fields):
    content = coco(annotations=[(1, 1, BOX)])
    content[table].append(content[table][0] | fields)
    return content


class TestHostileFiles:
    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            ("[" * 100_000, "is not valid JSON"),
            ('{"images": [', "is not valid JSON"),
            ("[]", "expected an object with the lists images, annotations, categories"),
            ({"images": [], "categories": {}, "annotations": []}, "is no COCO file"),
            ("9" * 5000, "is not valid JSON"),
        ],
    )
    def test_what_is_no_such_file(self, content, sentence, tmp_path):
        with pytest.raises(ValueError, match=sentence):
            read(tmp_path, content)

    def test_a_file_of_gigabytes_is_not_read(self, tmp_path, monkeypatch):
        monkeypatch.setattr(reader, "LARGEST", 10)
        with pytest.raises(ValueError, match="bytes, more than 10: cut it into parts"):
            read(tmp_path, coco())

    @pytest.mark.parametrize(
        ("table", "fields", "kind"),
        [
            ("images", {}, reader.IMAGES),  # the same id twice
            ("images", {"id": [1]}, reader.IMAGES),
            ("images", {"id": 2, "width": -5}, reader.NO_SIZE),
            ("images", {"id": 2, "width": 10**12}, reader.NO_SIZE),
            ("images", {"id": 2, "height": "40"}, reader.NO_SIZE),
            ("categories", {}, reader.CATEGORIES),
            ("categories", {"id": 2}, reader.CATEGORIES),  # the same name twice
            ("categories", {"id": "2", "name": "cat"}, reader.CATEGORIES),
            ("annotations", {"image_id": 7}, reader.NO_IMAGE),
            ("annotations", {"image_id": [1]}, reader.NO_IMAGE),
            ("annotations", {"category_id": 7}, reader.UNKNOWN),
            ("annotations", {"category_id": {}}, reader.UNKNOWN),
            ("annotations", {"bbox": [1, 2, 3]}, reader.NO_BOX),
            ("annotations", {"bbox": None}, reader.NO_BOX),
            ("annotations", {"bbox": [1, 2, 3, "4"]}, reader.NO_BOX),
            ("annotations", {"bbox": [1, 2, 3, float("nan")]}, reader.NO_BOX),
            ("annotations", {"bbox": [1, 2, float("inf"), 4]}, reader.NO_BOX),
            ("annotations", {"bbox": [1, 2, 10**400, 4]}, reader.NO_BOX),
            ("annotations", {"area": float("nan")}, reader.NO_AREA),
            ("annotations", {"area": "400"}, reader.NO_AREA),
            ("annotations", {"iscrowd": "0"}, reader.NO_CROWD),
            ("annotations", {"iscrowd": 2}, reader.NO_CROWD),
        ],
    )
    def test_each_fault_is_named_and_the_rest_is_read(self, table, fields, kind, tmp_path):
        made = read(tmp_path, with_entry(table, **fields))
        assert [fault.kind for fault in made.faults] == [kind]
        assert len(made) == 1

    @pytest.mark.parametrize("table", ["images", "categories", "annotations"])
    def test_entries_that_are_no_objects(self, table, tmp_path):
        content = coco(annotations=[(1, 1, BOX)])
        content[table].append(["x" * 10_000])
        made = read(tmp_path, content)
        assert len(made.faults) == len(made) == 1
        assert len(made.faults[0].text) < 300

    def test_a_name_of_thousands_of_characters_is_one_fault(self, tmp_path):
        content = coco([1, 2], annotations=[(2, 1, BOX)])
        content["images"][0]["file_name"] = "x" * 5000
        Image.new("RGB", (60, 40)).save(tmp_path / "2.png")
        made = check(read(tmp_path, content))
        [fault] = made.wrong
        assert fault.kind == "images whose files are missing"
        assert len(fault.text) < 300

    @pytest.mark.parametrize("name", ["../1.png", "{}/1.png", "", None, 7])
    def test_names_that_lead_elsewhere_find_nothing(self, name, tmp_path):
        content, images = coco(), tmp_path / "images"
        content["images"][0]["file_name"] = name.format(tmp_path) if isinstance(name, str) else name
        images.mkdir()
        Image.new("RGB", (60, 40)).save(tmp_path / "1.png")
        assert read(tmp_path, content, images=images).images[0].path is None
