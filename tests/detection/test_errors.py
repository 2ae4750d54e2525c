"""Kinds of errors: by hand, and against one detection after the other."""

from dataclasses import replace

import numpy as np
import pytest

from minires.detection import scenes
from minires.detection.boxes import area
from minires.detection.detections import Detections
from minires.detection.errors import error_kinds

from .slow import iou

TEST = scenes(train=1, test=12, size=48).test.annotations


def detections(rows):
    """Of (image, label, box, score)."""
    image, label, box, score = (np.array(column) for column in zip(*rows, strict=True))
    return Detections(image, label, box.astype(float), area(box.astype(float)), score)


def kinds_slowly(annotations, found):
    """One class, one detection at a time; boxes of whole pixels."""
    counts = dict.fromkeys(("right", "box", "class", "background"), 0)
    difficult = annotations.difficult
    for label in range(1, len(annotations.classes) + 1):
        objects = [i for i in range(len(annotations)) if annotations.label[i] == label]
        order = [d for d in np.argsort(-found.score, kind="stable") if found.label[d] == label]
        taken = set()
        for rank, d in enumerate(order):

            def overlap(i, d=d):
                same = annotations.image[i] == found.image[d]
                return iou(found.box[d], annotations.box[i]) if same else 0.0

            best = max(objects, key=overlap, default=None)
            own = overlap(best) if best is not None else 0.0
            others = max(overlap(i) for i in range(len(annotations)) if i not in objects)
            if own >= 0.5 and difficult[best]:
                continue
            hit = own >= 0.5 and best not in taken
            taken |= {best} if hit else set()
            kind = "right" if hit else "box" if own >= 0.1 else "class" if others >= 0.1 else ""
            if rank < sum(not difficult[i] for i in objects):
                counts[kind or "background"] += 1
    return {kind: count / sum(counts.values()) for kind, count in counts.items()}


def crowded():
    """Half of the objects lie near the one before; every fourth is difficult."""
    box, number = TEST.box.copy(), np.arange(len(TEST))
    box[1::2] = box[:-1:2] + 3
    return replace(TEST, box=box, box_area=area(box), difficult=number % 4 == 0)


def test_against_one_detection_after_the_other(rng):
    truth = crowded()
    places = rng.integers(0, len(truth), 80)
    boxes = truth.box[places] + rng.integers(-6, 7, (80, 4)) * (rng.random((80, 1)) < 0.7)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    wrong = rng.random(80) < 0.3
    labels = np.where(wrong, rng.integers(1, 11, 80), truth.label[places])
    images = np.where(rng.random(80) < 0.2, rng.integers(0, 12, 80), truth.image[places])
    found = detections(list(zip(images, labels, boxes, rng.permutation(80) / 80, strict=True)))
    shares = error_kinds(truth, found)
    assert shares == pytest.approx(kinds_slowly(truth, found))
    assert all(share > 0.03 for share in shares.values())


def test_right_boxes_are_right_and_nothing_is_nothing():
    rows = [(TEST.image[i], TEST.label[i], TEST.box[i], 0.5) for i in range(len(TEST))]
    assert error_kinds(TEST, detections(rows))["right"] == 1.0
    nobody = detections(rows).where(np.zeros(len(rows), bool))
    assert set(error_kinds(TEST, nobody).values()) == {0.0}
