"""Real annotated images, where `MINIRES_TEST_DETECTION` names a folder that holds them.

`bccd`: github.com/Shenggan/BCCD_Dataset. `voc100` and `metrics/tests`: the annotated images, their
detections and the tests of github.com/rafaelpadilla/review_object_detection_metrics.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from minires.detection import evaluate_coco, evaluate_voc, read_annotations, read_detections
from minires.detection.check import check
from tests.detection.sets import voc_folder, write, xml

FOLDER = Path(os.environ.get("MINIRES_TEST_DETECTION", "none"))
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="MINIRES_TEST_DETECTION names no folder of annotated images"
)


def test_a_hundred_images_of_voc():
    made = read_annotations(FOLDER / "voc100")
    assert (len(made.images), len(made), made.difficult.sum()) == (100, 273, 38)
    assert len(made.classes) == 20
    assert check(made).wrong == ()
    as_json = read_annotations(
        FOLDER / "voc100/coco/instances_default.json", images=FOLDER / "voc100/JPEGImages"
    )
    assert len(as_json) == 273
    assert all(image.path for image in as_json.images)


def test_the_degenerate_boxes_of_the_blood_cells_are_named():
    made = check(read_annotations(FOLDER / "bccd/BCCD"))
    assert len(made.annotations) == 4888
    assert [fault.text.split(":")[0] for fault in made.wrong] == [
        "BloodImage_00338.jpg, object 13 (RBC)",
        "BloodImage_00343.jpg, object 4 (RBC)",
    ]
    assert (made.overlap() >= 0.5).mean() == pytest.approx(0.92, abs=0.001)
    train = read_annotations(FOLDER / "bccd/BCCD", split="train")
    assert len(train.images) == 205


def test_a_hundred_images_of_coco():
    tests = FOLDER / "metrics/tests/test_coco_eval"
    truth = read_annotations(tests / "gts/sampled_gts_bbox_area.json")
    found = read_detections(tests / "dets/sampled_bbox_results.json", truth)
    expected = [0.503647, 0.696973, 0.571667, 0.593252, 0.557991, 0.489363]
    expected += [0.386813, 0.593680, 0.595353, 0.654764, 0.603130, 0.553744]
    made = list(evaluate_coco(truth, found).twelve.values())
    np.testing.assert_allclose(made, expected, rtol=0, atol=5e-7)


@pytest.mark.parametrize(
    ("threshold", "points", "area"),
    [
        # theirs is .333333: the recall 0.6000000000000001 of np.linspace is more than 9 of 15
        (0.1, 0.333333 + 9 / 23 / 11, 0.337198),
        (0.3, 0.268398, 0.245687),
        (0.5, 0.030303, 0.022222),
        (0.75, 0, 0),
    ],
)
def test_seven_images_of_one_class(threshold, points, area, tmp_path):
    """Their boxes are x, y, width, height and compared with "+ 1": so they are inclusive."""
    tests = FOLDER / "metrics/tests/test_case_1"
    truth = {path.stem: rows(path) for path in sorted((tests / "gts").glob("*.txt"))}
    files = {stem: xml(*(("object", *box) for *_, box in boxes)) for stem, boxes in truth.items()}
    lines = [
        f"{path.stem} {score} {' '.join(map(str, box))}"
        for path in sorted((tests / "dets").glob("*.txt"))
        for score, box in rows(path)
    ]
    annotations = read_annotations(voc_folder(tmp_path / "voc", files, pictures=False))
    found = read_detections(write(tmp_path / "object.txt", "\n".join(lines)), annotations)
    [curve] = evaluate_voc(annotations, found, threshold).curves.values()
    made = (curve.average_precision_11(), curve.average_precision())
    np.testing.assert_allclose(made, (points, area), rtol=0, atol=5e-7)


def rows(path):
    """(score, inclusive corners) of each line `object [score] x y width height`."""
    for line in path.read_text().splitlines():
        _, *score, x, y, width, height = line.split()
        x, y, width, height = map(int, (x, y, width, height))
        yield (*score, (x, y, x + width, y + height))
