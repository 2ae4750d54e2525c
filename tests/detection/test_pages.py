"""What a page shows of a detector: what it missed, and what it took for an object."""

import json

import numpy as np
import pytest

from minires.detection import pages
from minires.detection.annotations import AnnotatedImage, Annotations, Object
from minires.detection.detections import Detection, Detections
from minires.detection.sets import DetectionSet
from minires.detection.small import SETTINGS, small_resnet
from minires.detection.voc_metric import evaluate_voc

CLASSES = ("cat", "dog")


def box_of(x1, y1, side):
    return (float(x1), float(y1), float(x1 + side), float(y1 + side))


def annotated(image, label, box, difficult=False):
    area = (box[2] - box[0]) * (box[3] - box[1])
    return Object(image, label, box, area, area, difficult)


def found(image, label, box, score):
    return Detection(image, label, box, (box[2] - box[0]) * (box[3] - box[1]), score)


@pytest.fixture
def data():
    images = [AnnotatedImage(n, f"{n}", None, (64, 64)) for n in range(2)]
    objects = [
        annotated(0, 1, box_of(0, 0, 20)),  # found, twice
        annotated(0, 2, box_of(30, 30, 10)),  # taken for the other class
        annotated(1, 2, box_of(0, 0, 40)),  # not found
        annotated(1, 1, box_of(44, 44, 20), difficult=True),  # not found, and needn't be
    ]
    pixels = np.zeros((2, 64, 64, 3), np.uint8)
    return DetectionSet(Annotations.of("a", CLASSES, images, objects), pixels)


LIKELY = Detections.of(
    [
        found(0, 1, box_of(0, 0, 20), 0.9),
        found(0, 1, box_of(1, 1, 20), 0.6),
        found(0, 1, box_of(30, 30, 10), 0.8),
    ]
)


def test_the_largest_objects_that_no_box_of_their_class_finds_come_first(data):
    lost = pages.missed(data, LIKELY)
    assert [(one.image, one.text) for one in lost] == [(1, "dog: not found"), (0, "dog: not found")]
    assert lost[0].box.tolist() == [0, 0, 40, 40]


def test_the_surest_boxes_that_are_wrong_come_first(data):
    false = pages.false_alarms(data, LIKELY)
    assert [one.text for one in false] == ["cat: 80%", "cat: 60%"]


def test_no_two_of_the_named_curves_look_alike():
    classes, labels = [f"class {n}" for n in range(pages.NAMED)], range(1, pages.NAMED + 1)
    objects = [annotated(0, label, box_of(0, 0, 20)) for label in labels]
    images = [AnnotatedImage(0, "0", None, (64, 64))]
    annotations = Annotations.of("a", classes, images, objects)
    some = Detections.of([found(0, label, box_of(0, 0, 20), 0.9) for label in labels])
    lines = pages.draw_curves(evaluate_voc(annotations, some)).axes[0].lines
    looks = {(line.get_color(), line.get_linestyle()) for line in lines}
    assert len(looks) == len(lines) == pages.NAMED


@pytest.mark.parametrize("least", [0.0, 2.0])
def test_pictures_are_kept_where_reports_look(least, data, tmp_path, monkeypatch):
    """Also of a detector that finds nothing."""
    monkeypatch.setattr(pages, "detect_all", lambda *_: LIKELY.where(LIKELY.score > least))
    pages.keep_pages(small_resnet(CLASSES, settings=SETTINGS), data, tmp_path)
    names = {path.name for path in (tmp_path / "probes").iterdir()}
    shown = ("boxes", "precision-recall", "misses")
    assert names == {f"{name}.{kind}" for name in shown for kind in ("png", "json")}
    about = json.loads((tmp_path / "probes" / "boxes.json").read_text())
    missed, false = ("2", "2 of 3") if least < 1 else ("3", "0 of 0")
    text = f"Of 3 objects {missed} are missed at this score, and {false} boxes are false alarms."
    assert about["found"] == [text]
