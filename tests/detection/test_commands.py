"""`minires check-boxes` and `minires evaluate-detector`, as a user calls them."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from minires.cli import app
from minires.common.pictures import COLOURS
from minires.detection import read_voc
from minires.detection.draw import draw_annotations, draw_boxes
from tests.detection.sets import coco, result, voc_folder, write, xml

DOG, CAT = ("dog", 11, 6, 30, 25), ("cat", 1, 1, 20, 40)


def run(*arguments):
    made = CliRunner().invoke(app, [str(part) for part in arguments])
    return made.exit_code, " ".join(made.output.split()), made.exception


@pytest.fixture
def folder(tmp_path):
    files = {"a": xml(DOG, CAT), "b": xml(DOG), "c": xml()}
    return voc_folder(tmp_path / "VOC2007", files)


class TestCheckBoxes:
    def test_a_good_set(self, folder):
        code, text, error = run("check-boxes", folder)
        assert code == 0, error
        assert "VOC2007: 3 images, 3 objects of 2 classes (0 difficult, 0 crowds)" in text
        assert "1 images without objects c.jpg" in text
        assert "dog 2 2 0 300 100%" in text
        assert text.endswith("nothing is wrong")

    @pytest.mark.parametrize("name", ["cell[/x]", "[red]dog", ":dog:"])
    def test_classes_are_called_as_they_are(self, name, tmp_path):
        Image.new("RGB", (60, 40)).save(tmp_path / "1.png")
        content = coco(categories=[(1, name)], annotations=[(1, 1, [0, 0, 30, 30])])
        path = write(tmp_path / "set.json", content)
        code, text, error = run("check-boxes", path)
        assert code == 0, error
        assert f"{name} 1 1 0" in text
        found = write(tmp_path / "found.json", [result(1, 1, [0, 0, 30, 30], 0.5)])
        code, text, error = run("evaluate-detector", path, found)
        assert code == 0, error
        assert f"{name} 1 100.0" in text

    def test_a_set_of_nothing_is_wrong(self, tmp_path):
        code, text, _ = run("check-boxes", write(tmp_path / "set.json", coco([])))
        assert code == 1
        assert text.endswith("2 faults")

    def test_a_bad_set_is_told_by_the_exit_code_too(self, folder):
        write(folder / "Annotations" / "b.xml", xml(*[("dog", 5, 5, 4, 9)] * 7))
        code, text, _ = run("check-boxes", folder)
        assert code == 1
        assert "7 boxes without area b.jpg, object 1 (dog): x 4 to 4, y 4 to 9 of 60 x 40" in text
        assert "and 2 more" in text
        assert text.endswith("7 faults")

    def test_pictures(self, folder, tmp_path):
        out = tmp_path / "out"
        code, text, error = run("check-boxes", folder, "--pictures", out, "--count", 5)
        assert code == 0, error
        assert {path.name for path in out.iterdir()} == {"a.png", "b.png"}
        assert "2 pictures in" in text
        run("check-boxes", folder, "--pictures", tmp_path / "one", "--count", 1)
        assert len(list((tmp_path / "one").iterdir())) == 1

    @pytest.mark.parametrize("taken", ["a.png", "b.png"])
    def test_pictures_never_overwrite_images_of_the_set(self, taken, tmp_path):
        """b.png is not chosen, but the picture of b.jpg would be called so."""
        names = ["a.png", "c.jpg"] if taken == "a.png" else ["b.jpg", "b.png"]
        content = coco([1, 2], annotations=[(1, 1, [0, 0, 9, 9])])
        for entry, name in zip(content["images"], names, strict=True):
            entry["file_name"] = name
            Image.new("RGB", (60, 40)).save(tmp_path / name)
        before = (tmp_path / taken).read_bytes()
        (tmp_path / "link").symlink_to(tmp_path)
        path = write(tmp_path / "set.json", content)
        code, _, error = run("check-boxes", path, "--pictures", tmp_path / "link")
        assert (code, type(error)) == (1, ValueError)
        assert f"{taken} would overwrite an image of the input: name another folder" in str(error)
        assert (tmp_path / taken).read_bytes() == before

    def test_a_picture_that_cannot_be_drawn_is_named(self, folder, tmp_path):
        (folder / "JPEGImages" / "b.jpg").write_bytes(b"")
        code, text, _ = run("check-boxes", folder, "--pictures", tmp_path / "out")
        assert code == 1
        assert text.count("b.jpg: not an image") == 2

    def test_options(self, folder, tmp_path):
        names = write(tmp_path / "classes.txt", "dog\nhorse\n")
        options = ("--classes", names, "--sizes", "16,32", "--shorter", 80, "--stride", 8)
        code, text, _ = run("check-boxes", folder, *options)
        assert code == 1
        assert "1 objects of unknown classes a.xml, object 2 (cat)" in text
        assert "of 16,32 pixels x 3 ratios every 8" in text

    @pytest.mark.parametrize("sizes", ["", "a", "16,", "-5", "nan", "1e9"])
    def test_sizes_that_are_none(self, sizes, folder):
        code, _, error = run("check-boxes", folder, "--sizes", sizes)
        assert code == 1
        assert "expected pixels such as 32,64,128" in str(error)


class TestEvaluateDetector:
    def test_coco(self, tmp_path):
        content = coco(
            annotations=[(1, 1, [0, 0, 50, 50]), (1, 2, [0, 0, 5, 5])],
            categories=[(1, "dog"), (2, "cat"), (3, "cow")],
        )
        found = [result(1, 1, [0, 0, 50, 50], 0.9), result(1, 7, [0, 0, 5, 5], 0.9)]
        out = tmp_path / "new" / "out.json"
        paths = write(tmp_path / "a.json", content), write(tmp_path / "d.json", found)
        code, text, error = run("evaluate-detector", *paths, "--out", out)
        assert code == 0, error
        assert "1 detections 1 of classes without annotations were left out" in text
        assert "dog 1 100.0 100.0 100.0 - 100.0 - 100.0 100.0 100.0" in text
        assert "cat 1 0.0 0.0 0.0 0.0 - - 0.0 0.0 0.0" in text
        assert "cow 0 - - - - - - - - -" in text
        assert "all 2 50.0 50.0 50.0 0.0 100.0 - 50.0 50.0 50.0" in text
        assert "AR 100 50.0" in text
        figures = json.loads(out.read_text())
        assert figures["COCO"]["AP"] == pytest.approx(0.5)
        assert figures["classes"]["cow"] == {"objects": 0} | dict.fromkeys(
            [*figures["classes"]["dog"]][1:]
        )

    def test_voc(self, folder, tmp_path):
        found = tmp_path / "results"
        found.mkdir()
        write(found / "comp4_det_test_dog.txt", "a 0.9 11 6 30 25\nb 0.8 11 6 30 25\n")
        code, text, error = run("evaluate-detector", folder, found)
        assert code == 0, error
        assert "cat 1 0.0" in text
        assert "all 3 50.0" in text

    def test_more_than_a_hundred_detections(self, tmp_path):
        boxes = [[20 * i, 0, 10, 10] for i in range(120)]
        annotations = write(tmp_path / "a.json", coco(annotations=[(1, 1, box) for box in boxes]))
        found = write(tmp_path / "d.json", [result(1, 1, box, 0.5) for box in boxes])
        assert "AR 100 83.3" in run("evaluate-detector", annotations, found)[1]
        text = run("evaluate-detector", annotations, found, "--max-detections", 300)[1]
        assert "AR 300 100.0" in text

    def test_annotations_with_faults_are_refused(self, folder, tmp_path):
        write(folder / "Annotations" / "a.xml", "<annotation>")
        code, _, error = run("evaluate-detector", folder, write(tmp_path / "d.json", []))
        assert code == 1
        assert "`minires check-boxes` names all of them" in str(error)


class TestDrawing:
    def test_the_line_runs_along_the_first_and_last_pixels_inside(self, tmp_path):
        root = voc_folder(tmp_path, {"a": xml(("dog", 11, 6, 55, 35))})
        path = draw_annotations(read_voc(root), 0, tmp_path / "a.png")
        with Image.open(path) as file:
            pixels = np.asarray(file.convert("RGB"))
        colour = [int(COLOURS[0][i : i + 2], 16) for i in (1, 3, 5)]
        rows, columns = np.nonzero((pixels == colour).all(axis=2))
        assert (columns.min(), rows.min(), columns.max(), rows.max()) == (10, 5, 54, 34)

    @pytest.mark.parametrize(
        "box", [(5, 5, 1, 1), (-900, -900, 900, 900), (70, 5, 90, 9), (3, 3, 3, 3)]
    )
    def test_any_box_can_be_drawn(self, box):
        made = draw_boxes(Image.new("RGB", (60, 40)), np.array([box], float), ["犬 пёс"])
        assert made.size == (60, 40)
