"""What comes into detection from a program: labels, thresholds, images, classes that fit."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from minires.detection import (
    AnnotatedImage,
    Annotations,
    Detections,
    DetectorTrainer,
    Settings,
    detect,
    evaluate_coco,
    evaluate_voc,
    load_detector,
    save_detector,
    scenes,
)
from minires.detection.annotations import Object
from minires.detection.detections import Detection
from minires.detection.sets import DetectionData, DetectionSet
from minires.detection.small import SETTINGS, small_resnet
from minires.detection.training import mean_precisions, toy

BOX = (1.0, 1.0, 9.0, 9.0)
VIEW = dataclasses.replace(SETTINGS, shorter=32, longer=32, sizes=((8, 16),), after_nms=(8, 4))


def annotated(*labels, classes=("dog", "cat")):
    rows = [Object(0, label, BOX, 64.0, 64.0) for label in labels]
    return Annotations.of("a", classes, [AnnotatedImage(1, "1.png")], rows)


def found(image=0, label=1):
    return Detections.of([Detection(image, label, BOX, 64.0, 0.5)])


@pytest.fixture(scope="module")
def drawn():
    return scenes(train=2, test=1, size=32)


@pytest.fixture(scope="module")
def model(drawn):
    return small_resnet(drawn.classes, settings=VIEW)


@pytest.mark.parametrize("evaluate", [evaluate_coco, evaluate_voc])
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (found(label=3), r"labels must lie in 1 \.\. 2, but reach from 3 to 3"),
        (found(label=0), r"labels must lie in 1 \.\. 2, but reach from 0 to 0"),
        (found(image=1), r"images must lie in 0 \.\. 0, but reach from 1 to 1"),
    ],
)
def test_detections_of_others_are_not_evaluated(evaluate, given, sentence):
    """A label too large would count as one of the next image."""
    with pytest.raises(ValueError, match=sentence):
        evaluate(annotated(1), given)


def test_objects_of_others_are_not_annotated():
    with pytest.raises(ValueError, match=r"a: labels must lie in 1 \.\. 2, but reach from 0 to 2"):
        annotated(0, 2)
    with pytest.raises(ValueError, match="the class 'dog' is named twice"):
        annotated(1, classes=("dog", "dog"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"iou": 0.52}, r"iou must be \.5, \.55, \.\.\. or \.95, but is 0\.52"),
        ({"iou": 0.3}, r"but is 0\.3"),
        ({"label": 0}, r"label must lie in 1 \.\. 2, but is 0"),
        ({"label": 3}, r"but is 3"),
        ({"area": "tiny"}, "area must be one of all, small, medium, large, but is 'tiny'"),
    ],
)
def test_numbers_are_of_what_was_asked_for(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        evaluate_coco(annotated(1), found()).average_precision(**options)


def test_limits_of_detections_rise_and_thresholds_are_shares():
    with pytest.raises(ValueError, match="max_detections must rise"):
        evaluate_coco(annotated(1), found(), (100, 10, 1))
    for threshold in (0, 50, float("nan")):
        with pytest.raises(ValueError, match="threshold must be more than 0, at most 1"):
            evaluate_voc(annotated(1), found(), threshold)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"nms": 30.0}, r"nms must lie in 0 \.\. 1, not 30"),
        ({"least_score": -0.1}, "least_score must lie in"),
        ({"sizes": ((0,),)}, "sizes and ratios must be more than 0"),
        ({"shorter": 0}, "Settings: shorter must be at least 1"),
        ({"before_nms": (1, 2, 3)}, "before_nms must hold 2, but holds 3"),
    ],
)
def test_settings_that_find_nothing_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        Settings(**options)


def test_an_image_is_rgb_whatever_its_file_was(model):
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30), np.uint8))
    for one, other in zip(detect(model, grey), detect(model, grey.convert("RGB")), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "pixels", [np.zeros((9, 9), "u1"), np.zeros((9, 9, 4), "u1"), np.zeros((9, 9, 3)), np.zeros(3)]
)
def test_other_pixels_get_a_sentence(pixels, model):
    """Numbers from 0 to 1 would be seen as black."""
    with pytest.raises(ValueError, match=r"an array of bytes \(uint8\), height x width x 3"):
        detect(model, pixels)


def test_labels_mean_the_same_to_a_detector_and_a_set(drawn, tmp_path):
    other = small_resnet(drawn.classes[::-1], settings=VIEW)
    with pytest.raises(ValueError, match="both need the same, in the same order"):
        DetectorTrainer(other, drawn, toy(1), folder=tmp_path, seed=0, name="d")
    with pytest.raises(ValueError, match="both need the same, in the same order"):
        mean_precisions(other, drawn.test)


def test_both_sets_have_the_same_classes():
    one, other = (DetectionSet(annotated(1, classes=c)) for c in (("a", "b"), ("b", "a")))
    with pytest.raises(ValueError, match=r"a has the classes a, b, but a b, a: read both with"):
        DetectionData("x", one, other)


def test_the_labels_of_a_detector_are_called_as_asked_for(model, tmp_path):
    path, names = save_detector(model, tmp_path / "d.safetensors"), list("ABCDEFGHIJKLMNOPQRST")
    names = names[: len(model.classes)]
    assert load_detector(path).classes == model.classes
    assert load_detector(path, classes=names).classes == tuple(names)
    with pytest.raises(ValueError, match="classes beside the background, but 1 are named"):
        load_detector(path, classes=["one"])
    with pytest.raises(ValueError, match="knows its own eps"):
        load_detector(path, eps=0.0)


@pytest.mark.parametrize(
    "pixels", [np.zeros((1, 9, 9, 3)), np.zeros((2, 9, 9, 3), "u1"), np.zeros((1, 9, 9), "u1")]
)
def test_a_set_has_bytes_for_each_of_its_images(pixels):
    with pytest.raises(ValueError, match=r"must be bytes, uint8 \(1, H, W, 3\), but are "):
        DetectionSet(annotated(1), pixels)
