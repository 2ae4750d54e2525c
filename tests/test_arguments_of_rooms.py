"""Every argument of analysis, detection, evaluation, exercises and the report, of 14 wrong kinds.

`tests/arguments.py` says what a sentence is, `test_every_argument.py` does the same for the rest.
"""

import dataclasses
import json
from unittest.mock import patch

import numpy as np
import pytest

from minires import Tensor, analysis, detection, evaluation, exercises, report
from minires.analysis.shattering import KINDS
from minires.detection import small
from minires.detection.annotations import Object
from minires.detection.detections import Detection
from minires.detection.improving import Improvements, detect_improved
from minires.detection.training import toy
from minires.distributed import ALONE
from minires.evaluation import Guess

from .arguments import WRONG, what_breaks, whole, world_in
from .detection.sets import coco, result, voc_folder, xml
from .report.made_up import write_run

BOX = (1.0, 1.0, 9.0, 9.0)
VIEW = dataclasses.replace(
    small.SETTINGS, shorter=32, longer=32, sizes=((8, 16),), after_nms=(8, 4), anchor_sample=16
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    it = world_in(tmp_path_factory.mktemp("world"))
    folder = it["folder"]
    (folder / "coco.json").write_text(json.dumps(coco(annotations=[(1, 1, [5, 5, 20, 20])])))
    (folder / "found.json").write_text(json.dumps([result(1, 1, [5, 5, 20, 20], 0.9)]))
    files = {"one": xml(("dog", 1, 2, 30, 20))}
    lists = voc_folder(folder / "voc", files) / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("one")
    for name in ("plain-20", "ResNet-20"):
        write_run(folder / "runs", name, 1.0)
    runs = report.load_runs(folder / "runs")
    report.keep_runs(runs, folder / "kept.json")
    annotations = detection.read_coco(folder / "coco.json")
    drawn = detection.scenes(train=2, test=1, size=32)
    model = small.small_resnet(drawn.classes, settings=VIEW)
    detection.save_detector(model, folder / "d.safetensors")
    return it | {
        "x": np.ones((2, 32, 32, 3), np.float32),
        "labels": np.array([0, 1]),
        "plain": analysis.Lab(folder).fresh(8, None),
        "runs": runs,
        "groups": report.group_runs(runs),
        "annotations": annotations,
        "found": detection.read_detections(folder / "found.json", annotations),
        "scenes": drawn,
        "detector": model,
        "guesses": [Guess("a", 1.0)],
        "result": evaluation.evaluate({"m": it["two"]}, it["files"]),
    }


def trainer(it):
    options = {"folder": it["folder"] / "detector", "seed": 0, "name": "d", "overwrite": True}
    return detection.DetectorTrainer(it["detector"], it["scenes"], toy(1), **options)


def of_model(function, **arguments):
    """A call that looks into the network, with images."""
    return (
        function,
        lambda it: (
            {"model": it["network"], "images": it["x"]}
            | {
                name: it[value] if isinstance(value, str) else value
                for name, value in arguments.items()
            }
        ),
    )


ANALYSIS = {
    "Lab": (
        analysis.Lab,
        lambda it: {
            "folder": it["folder"],
            "data": "builtin",
            "data_dir": None,
            "preset": "toy",
            "seed": 0,
            "watch": None,
        },
    ),
    "dead_shares": of_model(analysis.dead_shares),
    "update_ratios": (
        analysis.update_ratios,
        lambda it: {"before": {"fc.weight": it["two"].fc.weight.data}, "model": it["two"]},
    ),
    "branch_to_skip": of_model(analysis.branch_to_skip),
    "embed": (
        analysis.embed,
        lambda it: {"small": it["plain"], "depth": 14, "images": it["x"]},
    ),
    "filter_normalised_direction": (
        analysis.filter_normalised_direction,
        lambda it: {"model": it["two"], "rng": it["rng"]},
    ),
    "loss_surface": (
        analysis.loss_surface,
        lambda it: {
            "model": it["network"],
            "batch": (it["x"], it["labels"]),
            "points": 1,
            "directions": 1,
            "size": 1,
            "plane_images": 1,
            "reach": 1.0,
            "seed": 0,
        },
    ),
    "lesion_errors": (
        analysis.lesion_errors,
        lambda it: {"model": it["network"], "dataset": it["data"], "images": 4},
    ),
    "measure_paths": of_model(analysis.measure_paths, labels="labels", samples=1, seed=0),
    "path_gradient": of_model(analysis.path_gradient, labels="labels", through={"layer1.0"}),
    "propagate": (
        analysis.propagate,
        lambda it: {
            "model": it["network"],
            "x": it["x"],
            "start_backward": lambda y: y.sum().backward(),
        },
    ),
    "response_stds": of_model(analysis.response_stds),
    "gradient_curve": (
        analysis.gradient_curve,
        whole(depth=2, kind=next(iter(KINDS.values())), seed=0, points=4),
    ),
    "autocorrelation": (analysis.autocorrelation, whole(curve=np.arange(9.0), lags=2)),
}

REPORT = {
    "Run": (report.Run, lambda it: {"config": {}, "records": [], "folder": it["folder"]}),
    "Group": (report.Group, lambda it: {"name": "plain-20", "runs": it["runs"]}),
    "load_runs": (report.load_runs, lambda it: {"folder": it["folder"] / "runs"}),
    "group_runs": (report.group_runs, lambda it: {"runs": it["runs"]}),
    "keep_runs": (report.keep_runs, lambda it: {"runs": it["runs"], "path": "kept.json"}),
    "kept_runs": (report.kept_runs, lambda it: {"path": it["folder"] / "kept.json"}),
    "results_table": (report.results_table, lambda it: {"groups": it["groups"]}),
    "verdict": (report.verdict, lambda it: {"groups": it["groups"]}),
    "draw_architectures": (
        report.draw_architectures,
        lambda it: {"models": [it["two"]], "path": "a.svg", "input_shape": (32, 32, 3)},
    ),
    "draw_error_curves": (
        report.draw_error_curves,
        lambda it: {"groups": it["groups"], "path": "e.png"},
    ),
    "draw_gradient_norms": (
        report.draw_gradient_norms,
        lambda it: {"groups": it["groups"], "path": "g.png"},
    ),
    "write_report": (
        report.write_report,
        lambda it: {"folders": [it["folder"] / "runs"], "path": "r.html"},
    ),
}

DETECTION = {
    "AnnotatedSet": (
        detection.Annotations.of,
        lambda it: {
            "name": "a",
            "classes": ["dog"],
            "images": [detection.AnnotatedImage(1, "1.png")],
            "objects": [Object(0, 1, BOX, 64.0, 64.0)],
            "categories": [1],
            "faults": [],
        },
    ),
    "Detections": (
        detection.Detections.of,
        whole(rows=[Detection(0, 1, BOX, 64.0, 0.5)], left_out=0),
    ),
    "Settings": (detection.Settings, whole(**dataclasses.asdict(VIEW))),
    "FasterRCNN": (
        lambda **given: detection.FasterRCNN(**given, rng=np.random.default_rng(0)),
        lambda it: {
            "name": "d",
            "trunk": it["detector"].trunk,
            "pool": it["detector"].pool,
            "head": it["detector"].head,
            "channels": 64,
            "width": 8,
            "features": 128,
            "classes": ["dog"],
            "settings": VIEW,
            "softmax": False,
            "context": False,
            "frozen": False,
            "fixed": [],
            "made_as": {},
        },
    ),
    "faster_rcnn": (
        lambda **given: detection.faster_rcnn(**given),
        whole(
            backbone="resnet18",
            classes=["dog"],
            network=None,
            settings=VIEW,
            pooling="max",
            softmax=True,
            context=False,
            frozen=False,
            version="v1",
            seed="zeros",
        ),
    ),
    "faster_rcnn_fpn": (
        detection.faster_rcnn_fpn,
        whole(classes=["dog"], settings=VIEW, eps=0.0, seed="zeros"),
    ),
    "detect": (
        detection.detect,
        lambda it: {"model": it["detector"], "image": it["picture"]},
    ),
    "Improvements": (Improvements, whole(refine=True, scales=(32, 48), least_vote=0.5)),
    "detect_improved": (
        detect_improved,
        lambda it: {
            "models": [it["detector"]],
            "image": it["picture"],
            "options": Improvements(refine=True),
        },
    ),
    "evaluate_coco": (
        detection.evaluate_coco,
        lambda it: {
            "annotations": it["annotations"],
            "detections": it["found"],
            "max_detections": (1, 10),
        },
    ),
    "evaluate_voc": (
        detection.evaluate_voc,
        lambda it: {
            "annotations": it["annotations"],
            "detections": it["found"],
            "threshold": 0.5,
        },
    ),
    "read_annotations": (
        detection.read_annotations,
        lambda it: {
            "path": it["folder"] / "voc",
            "split": "train",
            "images": it["images"],
            "classes": ["dog"],
        },
    ),
    "read_coco": (
        detection.read_coco,
        lambda it: {
            "path": it["folder"] / "coco.json",
            "images": it["images"],
            "classes": ["dog"],
        },
    ),
    "read_voc": (
        detection.read_voc,
        lambda it: {
            "folder": it["folder"] / "voc",
            "split": "train",
            "images": it["images"],
            "classes": ["dog"],
        },
    ),
    "read_detections": (
        detection.read_detections,
        lambda it: {"path": it["folder"] / "found.json", "annotations": it["annotations"]},
    ),
    "load_detector": (
        detection.load_detector,
        lambda it: {
            "path": it["folder"] / "d.safetensors",
            "classes": it["scenes"].classes,
            "eps": None,
        },
    ),
    "save_detector": (
        detection.save_detector,
        lambda it: {"model": it["detector"], "path": "d.safetensors"},
    ),
    "scenes": (detection.scenes, whole(train=1, test=1, seed=0, size=32)),
    "DetectorTrainer": (
        detection.DetectorTrainer,
        lambda it: {
            "model": it["detector"],
            "data": it["scenes"],
            "recipe": toy(1),
            "scales": [],
            "folder": "run",
            "seed": 0,
            "name": "d",
            "device": None,
            "watch": None,
            "overwrite": False,
        },
    ),
    "train_detector": (detection.train_detector, lambda it: {"trainer": trainer(it)}),
    "train_detectors": (detection.train_detectors, lambda it: {"trainers": [trainer(it)]}),
}

EVALUATION = {
    "classify": (
        evaluation.classify,
        lambda it: {
            "models": [it["two"]],
            "image": it["picture"],
            "classes": it["files"].classes,
            "top": 1,
            "protocol": evaluation.SingleCrop(),
            "preprocessing": it["photographs"].preprocessing,
        },
    ),
    "evaluate": (
        evaluation.evaluate,
        lambda it: {
            "models": {"m": it["two"]},
            "images": it["files"],
            "protocol": None,
            "preprocessing": it["photographs"].preprocessing,
            "batch_size": 4,
            "workers": 1,
            "broken": "skip",
            "world": ALONE,
        },
    ),
    "predict": (
        evaluation.predict,
        lambda it: {
            "model": it["network"],
            "views": [it["x"][0]],
            "fully_convolutional": False,
            "batch_pixels": 9999,
        },
    ),
    "score_map": (
        evaluation.score_map,
        lambda it: {"model": it["network"], "images": Tensor(it["x"])},
    ),
    "MultiScale": (evaluation.MultiScale, whole(scales=(32, 48))),
    "draw_guesses": (
        evaluation.draw_guesses,
        lambda it: {"image": it["picture"], "guesses": it["guesses"], "path": "g.png"},
    ),
    "bars": (evaluation.bars, lambda it: {"guesses": it["guesses"], "width": 9}),
    "evaluation_table": (evaluation.evaluation_table, lambda it: {"result": it["result"]}),
    "share_waited": (evaluation.share_waited, lambda it: {"result": it["result"]}),
}


def graded(**given):
    """Without the process in which the student's code runs."""
    with patch("minires.exercises.sandbox.run_worker", return_value=0):
        return exercises.grade_file(**given)


EXERCISES = {
    "example": (exercises.example, whole(function="relu", number=1, seed=0)),
    "find": (exercises.find, whole(text="relu")),
    "grade_file": (graded, whole(name="relu", path="relu.py", seconds=1.0)),
    "start": (
        lambda name, folder: exercises.start(name, folder),
        lambda it: {"name": "relu", "folder": f"{it['rng'].random()}"},
    ),
}

CALLS = ANALYSIS | REPORT | DETECTION | EVALUATION | EXERCISES


@pytest.mark.parametrize("name", CALLS)
def test_an_argument_of_another_kind_is_taken_or_refused(name, world, tmp_path, monkeypatch):
    """60 calls, 207 arguments, 14 kinds: 2,898 tries."""
    monkeypatch.chdir(tmp_path)
    call, arguments = CALLS[name]
    call(**arguments(world))
    assert not list(what_breaks(call, lambda: arguments(world)))


def test_the_sweep_is_as_large_as_it_says(world):
    arguments = [argument for _, of in CALLS.values() for argument in of(world)]
    assert (len(CALLS), len(arguments), len(WRONG)) == (60, 207, 14)


def test_it_knows_all_public_functions():
    """What is not called here is a record of results, or a table of such calls."""
    rooms = (analysis, report, detection, evaluation, exercises)
    functions = {n for room in rooms for n in room.__all__ if callable(getattr(room, n))}
    records = {"AnnotatedImage", "Annotations", "CocoEvaluation", "Evaluation", "Fault", "Found"}
    records |= {"Grade", "Guess", "Part", "Probe", "Propagation", "Score", "VocEvaluation"}
    assert functions - set(CALLS) == records | {"SingleCrop", "TenCrop"}
