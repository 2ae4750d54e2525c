"""`minires evaluate-detector` and `detect` with weights: the improvements, as a user calls them."""

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from minires.cli import app
from minires.detection import read_voc, scenes
from minires.detection.detections import Detections
from minires.detection.improving import Improvements
from minires.detection.looking import found_in_set, with_labels_of
from minires.detection.regions import Found
from minires.detection.saved import save_detector
from minires.detection.small import SETTINGS, small_resnet
from minires.detection.training import found_by, precisions
from tests.detection.sets import voc_folder, write, xml

NAMES = ("dog", "cat", "cow")
VIEW = replace(SETTINGS, shorter=32, longer=48, sizes=((12,),), after_nms=(20, 6))


def run(*arguments):
    made = CliRunner().invoke(app, [str(part) for part in arguments])
    return made.exit_code, " ".join(made.output.split()), str(made.exception)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A set of two images, their files, and two detectors that know its classes."""
    place = tmp_path_factory.mktemp("detectors")
    files = {
        "a": xml(("dog", 11, 6, 30, 25), ("cat", 1, 1, 20, 40)),
        "b": xml(("cat", 5, 5, 25, 30)),
    }
    voc_folder(place / "VOC2007", files)
    for seed in range(2):
        model = small_resnet(NAMES, settings=VIEW, context=bool(seed), seed=seed)
        save_detector(model, place / f"{seed}.safetensors")
    return place


def test_an_ensemble_with_refinement_and_scales_is_evaluated(folder):
    data, *weights = folder / "VOC2007", folder / "0.safetensors", folder / "1.safetensors"
    code, text, error = run("evaluate-detector", data, *weights, "--refine", "--scales", "24,32")
    assert code == 0, error
    assert "VOC2007: 2 images, 3 objects of 2 classes" in text
    assert "of classes without annotations were left out" in text  # there are no cows


def test_the_options_reach_the_detector(folder):
    from rich.console import Console

    annotations, weights = read_voc(folder / "VOC2007"), [folder / "0.safetensors"]
    found = [
        found_in_set(Console(quiet=True), weights, annotations, options)
        for options in (Improvements(), Improvements(refine=True), Improvements(scales=(24, 32)))
    ]
    assert all(len(one) for one in found)
    assert found[0].box.tolist() != found[1].box.tolist()
    assert found[0].score.tolist() != found[2].score.tolist()


def test_objects_are_found_with_improvements(folder):
    image = folder / "VOC2007" / "JPEGImages" / "a.jpg"
    weights = ("--weights", folder / "0.safetensors", "--weights", folder / "1.safetensors")
    code, text, error = run("detect", image, *weights, "--refine", "--threshold", 0)
    assert code == 0, error
    assert "objects" in text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--scales", "32"), "scales must be two or more rising sides"),
        (
            ("--scales", "32,x"),
            "scales '32,x': expected whole pixels, 1 and more, such as 400,600,800",
        ),
    ],
)
def test_scales_that_are_none(options, sentence, folder):
    code, _, error = run(
        "evaluate-detector", folder / "VOC2007", folder / "0.safetensors", *options
    )
    assert code == 1
    assert sentence in error


def test_files_of_detections_can_not_be_refined(folder):
    found = write(folder / "found.json", [])
    code, _, error = run("evaluate-detector", folder / "VOC2007", found, "--refine")
    assert code == 1
    assert "expected weights of detectors" in error


def test_classes_are_matched_by_name(folder):
    """The annotations' are cat 1 and dog 2; a detector has them in another order, and a cow."""
    annotations, box = read_voc(folder / "VOC2007"), np.zeros((3, 4))
    count = np.arange(3)
    found = Detections(0 * count, 1 + count, box, 0.0 * count, 0.1 + count)
    matched = with_labels_of(annotations, NAMES, found)
    assert matched.label.tolist() == [2, 1]
    assert matched.score.tolist() == [0.1, 1.1]
    assert matched.left_out == 1
    with pytest.raises(ValueError, match="the detector knows none of the classes"):
        with_labels_of(annotations, ("cow", "emu"), found)


def test_somebody_who_knows_finds_everything():
    data = scenes(train=1, test=3, size=48).test
    parts = iter([data.objects(place) for place in range(3)])

    def know(pixels):
        boxes, labels = next(parts)
        return Found(boxes, labels, np.linspace(1, 0.5, len(labels)))

    all_right = {"mAP50": 1.0, "mAP": 1.0, "mAP small": 1.0}  # there are no larger ones
    assert precisions(data, found_by(know, data)) == all_right
