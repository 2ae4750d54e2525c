"""Files of detections as people have them, and wrong ones."""

import numpy as np
import pytest

from minires.detection import read_coco, read_detections, read_voc
from tests.detection.sets import coco, result, voc_folder, write, xml

BOX = [10, 5, 20, 20]
DOG = ("dog", 11, 6, 30, 25)


@pytest.fixture
def annotations(tmp_path):
    content = coco([3, 5], [(0, "cat"), (18, "dog")], [(3, 18, BOX)])
    return read_coco(write(tmp_path / "annotations.json", content))


@pytest.fixture
def folder(tmp_path):
    files = {name: xml(DOG, ("traffic_light", 1, 1, 2, 2)) for name in ("a b", "000012")}
    return read_voc(voc_folder(tmp_path / "voc", files, pictures=False))


def named(*names, objects=()):
    """COCO's content with images of these names, whose ids are 1 .. N."""
    content = coco(range(1, len(names) + 1), annotations=objects)
    for entry, name in zip(content["images"], names, strict=True):
        entry["file_name"] = name
    return content


@pytest.fixture
def alike(tmp_path):
    """Images of one name in two folders."""
    return read_coco(write(tmp_path / "alike.json", named("train/a.jpg", "val/a.jpg", "val/b.jpg")))


def read(tmp_path, content, annotations):
    return read_detections(write(tmp_path / "found.json", content), annotations)


class TestJson:
    def test_results_of_coco(self, tmp_path, annotations):
        made = read(tmp_path, [result(5, 18, BOX, 0.5), result(3, 0, [0, 0, 1, 1], 1)], annotations)
        assert made.image.tolist() == [1, 0]
        assert made.label.tolist() == [2, 1]
        np.testing.assert_array_equal(made.box, [[10, 5, 30, 25], [0, 0, 1, 1]])
        assert made.score.tolist() == [0.5, 1]
        assert made.box_area.tolist() == [400, 1]

    def test_ids_with_a_point_as_pandas_writes_them(self, tmp_path, annotations):
        assert read(tmp_path, [result(5.0, 18.0, BOX, 0.5)], annotations).label == 2

    def test_an_object_with_names_of_its_own(self, tmp_path, annotations):
        """Where the file numbers images and classes otherwise, its names count."""
        content = coco([0], [(0, "dog"), (1, "cat")]) | {"annotations": [result(0, 0, BOX, 0.5)]}
        content["images"][0]["file_name"] = "elsewhere/5.jpg"
        made = read(tmp_path, content, annotations)
        assert (made.image, made.label) == (1, 2)

    def test_images_of_one_name_in_several_folders(self, tmp_path, alike):
        found = named("val/a.jpg", "train/a.jpg", "b.png")
        found["annotations"] = [result(number, 1, BOX, 0.5) for number in (1, 2, 3)]
        assert read(tmp_path, found, alike).image.tolist() == [1, 0, 2]

    def test_a_name_that_several_images_have_is_refused(self, tmp_path, alike):
        found = named("a.jpg") | {"annotations": [result(1, 1, BOX, 0.5)]}
        with pytest.raises(ValueError, match=r"image a\.jpg may be train/a\.jpg or val/a\.jpg"):
            read(tmp_path, found, alike)

    def test_two_listed_images_are_never_the_same_annotated_one(self, tmp_path, alike):
        found = named("train/b.jpg", "val/b.jpg") | {"annotations": [result(1, 1, BOX, 0.5)]}
        with pytest.raises(ValueError, match=r"lists val/b\.jpg and train/b\.jpg, .* val/b\.jpg"):
            read(tmp_path, found, alike)

    @pytest.mark.parametrize("table", ["images", "categories"])
    @pytest.mark.parametrize("value", [5, {"id": 1}, "x"])
    def test_tables_that_are_no_lists(self, table, value, tmp_path, annotations):
        content = {table: value, "annotations": [result(3, 18, BOX, 0.5)]}
        with pytest.raises(ValueError, match=f"expected a list of {table}, but got "):
            read(tmp_path, content, annotations)

    def test_a_voc_folders_images_go_by_their_names_or_numbers(self, tmp_path, folder):
        made = read(tmp_path, [result(12, 1, BOX, 0.5), result("a b", 2, BOX, 0.5)], folder)
        assert [folder.images[place].key for place in made.image] == ["000012", "a b"]

    def test_a_number_that_two_names_have_is_no_images(self, tmp_path):
        files = {name: xml(DOG) for name in ("7", "007")}
        twins = read_voc(voc_folder(tmp_path / "twins", files, pictures=False))
        assert read(tmp_path, [result("007", 1, BOX, 0.5)], twins).image == 0
        with pytest.raises(ValueError, match="entry 1 is of image 7, which is not annotated"):
            read(tmp_path, [result(7, 1, BOX, 0.5)], twins)

    def test_listed_images_are_no_others(self, tmp_path, annotations):
        """Their ids are those of annotated images, their names are not."""
        found = coco([3], [(18, "dog")]) | {"annotations": [result(3, 18, BOX, 0.5)]}
        assert read(tmp_path, found, annotations).image == 0
        found["images"][0]["file_name"] = "z.jpg"
        with pytest.raises(ValueError, match="entry 1 is of image 3, which is not annotated"):
            read(tmp_path, found, annotations)
        del found["images"][0]["file_name"]
        assert read(tmp_path, found, annotations).image == 0

    def test_listed_classes_are_no_others(self, tmp_path, annotations):
        found = coco([3], [(18, "wolf")]) | {"annotations": [result(3, 18, BOX, 0.5)]}
        with pytest.raises(ValueError, match="lists the categories wolf, but annotated are cat, d"):
            read(tmp_path, found, annotations)

    def test_an_id_stands_for_one_name(self, tmp_path, annotations):
        found = coco([3], [(18, "dog"), (18, "cat")]) | {"annotations": []}
        with pytest.raises(ValueError, match="the id 18 of categories stands for dog and cat"):
            read(tmp_path, found, annotations)

    def test_unknown_classes_are_counted(self, tmp_path, annotations):
        found = [result(3, 18, BOX, 0.5), result(3, 12, BOX, 0.5), result(3, None, BOX, 0.5)]
        made = read(tmp_path, found, annotations)
        assert (len(made), made.left_out) == (1, 2)

    def test_none_of_the_classes_gets_a_sentence(self, tmp_path, annotations):
        with pytest.raises(
            ValueError, match=r"category_id is 1, say, but expected one of \[0, 18\]"
        ):
            read(tmp_path, [result(3, 1, BOX, 0.5)], annotations)

    @pytest.mark.parametrize("key", [4, "3", None])
    def test_other_images_get_a_sentence(self, key, tmp_path, annotations):
        with pytest.raises(ValueError, match=r"entry 2 is of image .* which is not annotated"):
            read(tmp_path, [result(3, 18, BOX, 0.5), result(key, 18, BOX, 0.5)], annotations)

    @pytest.mark.parametrize(
        "fields",
        [
            {"bbox": [1, 2, 3]},
            {"bbox": "1234"},
            {"bbox": [1, 2, 3, float("nan")]},
            {"bbox": None},
            {"score": float("nan")},
            {"score": None},
            {"score": "high"},
            {"bbox": [1, 2, 10**400, 4]},
            {"bbox": [1, 2, 10**10, 4]},
            {"category_id": [1]},
            {"bbox": ["1", 2, 3, 4]},
            {"bbox": ["1", "2", "3", "4"]},
            {"bbox": [True, 2, 3, 4]},
            {"score": "0.5"},
            {"score": True},
            {"image_id": True},
            {"category_id": False},
        ],
    )
    def test_entries_that_are_no_detections(self, fields, tmp_path, annotations):
        found = [result(3, 18, BOX, 0.5), result(3, 18, BOX, 0.5) | fields]
        with pytest.raises(ValueError, match="entry 2 is no detection: expected image_id"):
            read(tmp_path, found, annotations)

    @pytest.mark.parametrize("content", [{}, {"annotations": 1}, 7])
    def test_what_is_no_list(self, content, tmp_path, annotations):
        with pytest.raises(ValueError, match="expected a list of detections"):
            read(tmp_path, content, annotations)

    def test_none_at_all(self, tmp_path, annotations):
        assert len(read(tmp_path, [], annotations)) == 0


class TestText:
    def test_a_file_a_class(self, tmp_path, folder):
        root = tmp_path / "results"
        root.mkdir()
        write(root / "comp4_det_test_dog.txt", "a b 0.9 11 6 30 25\n\n000012 0.1 1.0 1.0 2.0 2.0\n")
        write(root / "comp4_det_test_traffic_light.txt", "000012 0.5 1 1 2 2")
        write(root / "comp4_det_test_horse.txt", "000012 0.5 1 1 2 2")
        made = read_detections(root, folder)
        assert [folder.classes[label - 1] for label in made.label] == [
            "dog",
            "dog",
            "traffic_light",
        ]
        np.testing.assert_array_equal(made.box[0], [10, 5, 30, 25])
        assert made.box_area[0] == 400
        assert made.left_out == 1

    def test_files_of_two_detectors_are_no_one_result(self, tmp_path, folder):
        root = tmp_path / "results"
        root.mkdir()
        for name in ("comp3_det_test_dog.txt", "comp4_det_test_dog.txt"):
            write(root / name, "000012 0.5 1 1 2 2")
        with pytest.raises(ValueError, match=r"files of dog \(comp3_det_test_dog\.txt, comp4_det"):
            read_detections(root, folder)

    def test_of_two_classes_that_fit_the_longer_one(self, tmp_path):
        text = xml(("light", 1, 1, 9, 9), ("traffic_light", 1, 1, 9, 9))
        annotations = read_voc(voc_folder(tmp_path / "voc", {"a": text}, pictures=False))
        found = write(tmp_path / "comp4_det_test_traffic_light.txt", "a 0.5 1 1 2 2")
        assert read_detections(found, annotations).label == 2

    def test_images_of_coco_go_by_their_files_names(self, tmp_path, annotations):
        made = read_detections(write(tmp_path / "dog.txt", "5 0.5 1 1 2 2"), annotations)
        assert (made.image, made.label) == (1, 2)

    def test_images_of_one_name_in_several_folders(self, tmp_path, alike):
        text = "val/a.jpg 0.5 1 1 2 2\ntrain/a.jpg 0.5 1 1 2 2\nb 0.5 1 1 2 2\n"
        made = read_detections(write(tmp_path / "dog.txt", text), alike)
        assert made.image.tolist() == [1, 0, 2]
        with pytest.raises(ValueError, match=r"image a may be train/a\.jpg or val/a\.jpg"):
            read_detections(write(tmp_path / "dog.txt", "a 0.5 1 1 2 2"), alike)

    @pytest.mark.parametrize("line", ["000012 0.5 1 1 2", "000012 x 1 1 2 2", "000012 nan 1 1 2 2"])
    def test_lines_that_are_none(self, line, tmp_path, folder):
        path = write(tmp_path / "dog.txt", f"000012 0.5 1 1 2 2\n{line}")
        with pytest.raises(ValueError, match=r"expected `image score .*` in line 2, but got"):
            read_detections(path, folder)

    def test_other_images_and_other_files(self, tmp_path, folder):
        with pytest.raises(ValueError, match="entry 1 is of image z, which is not annotated"):
            read_detections(write(tmp_path / "dog.txt", "z 0.5 1 1 2 2"), folder)
        with pytest.raises(ValueError, match=r"such as comp4_det_test_dog\.txt"):
            read_detections(write(tmp_path / "cow.txt", ""), folder)
        with pytest.raises(FileNotFoundError, match="there is no file or folder"):
            read_detections(tmp_path / "none.txt", folder)
        with pytest.raises(FileNotFoundError, match="there is no file"):
            read_detections(tmp_path / "none.json", folder)
