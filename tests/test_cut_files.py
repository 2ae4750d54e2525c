"""What commands read besides the texts of `tests/data/test_cut_files.py`, cut: read, or a sentence.

Small files are cut at every length, larger ones at every one of the first and last bytes.
"""

import contextlib
import io
import json

import numpy as np
import pytest
from PIL import Image

from minires.data import open_image
from minires.detection import read_annotations, read_detections
from minires.models import cifar_resnet
from minires.own_images.options import TrainingOptions
from minires.report import load_runs
from minires.report.listing import list_runs
from minires.training.checkpoints import load_checkpoint, save_checkpoint
from minires.training.main_job import Options
from minires.weights import load_torchvision, save_torchvision
from tests.detection.sets import coco, result, voc_folder, xml
from tests.report.made_up import write_run

ENDS = 60  # cut lengths at the beginning and the end of what is large


def picture(kind):
    def make(folder):
        path = folder / f"image.{kind}"
        pixels = np.random.default_rng(0).integers(0, 255, (9, 8, 3), np.uint8)
        Image.fromarray(pixels).save(path)
        return path, lambda: open_image(path)

    return make


def voc(folder):
    root = voc_folder(folder / "voc", {"one": xml(("dog", 1, 2, 30, 20))})
    return root / "Annotations" / "one.xml", lambda: read_annotations(root)


def coco_file(folder):
    path = folder / "coco.json"
    path.write_text(json.dumps(coco(annotations=[(1, 1, [5, 5, 20, 20])])))
    return path, lambda: read_annotations(path)


def found(folder):
    truth, _ = coco_file(folder)
    annotations, path = read_annotations(truth), folder / "found.json"
    path.write_text(json.dumps([result(1, 1, [5, 5, 20, 20], 0.9)]))
    return path, lambda: read_detections(path, annotations)


def options_of_training(folder):
    TrainingOptions(data="images").save(folder)
    return folder / "training.json", lambda: TrainingOptions.load(folder)


def options_of_the_main_job(folder):
    Options("toy", "builtin", None, [8], [0]).save(folder)
    return Options.path(folder), lambda: Options.load(folder)


def part_of_a_run(name):
    def make(folder):
        write_run(folder, "net-8", 1.0)

        def read():
            list_runs(folder)
            load_runs(folder)

        [path] = folder.rglob(name)
        return path, read

    return make


def checkpoint(folder):
    path = folder / "checkpoint.safetensors"
    save_checkpoint(path, {"x": np.ones(3, np.float32)}, {"step": 1})
    return path, lambda: load_checkpoint(path)


def network(suffix):
    def make(folder):
        path = folder / f"w{suffix}"
        save_torchvision(cifar_resnet(8), path)
        return path, lambda: load_torchvision(path, cifar_resnet(8, seed="zeros"))

    return make


FILES = {
    **{kind: picture(kind) for kind in ("png", "jpg", "gif", "bmp", "webp", "tiff")},
    "voc": voc,
    "coco": coco_file,
    "detections": found,
    "options of training": options_of_training,
    "options of the main job": options_of_the_main_job,
    "configuration": part_of_a_run("config.json"),
    "records": part_of_a_run("records.jsonl"),
    "checkpoint": checkpoint,
    "pth": network(".pth"),
    "safetensors": network(".safetensors"),
}


def lengths(size, most=2 * ENDS):
    return range(size) if size <= most else (*range(ENDS), *range(size - ENDS, size))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of TIFF files before it refuses
@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_or_refused(name, tmp_path):
    """16 formats, at 120 lengths each where the file is as long."""
    path, read = FILES[name](tmp_path)
    read()
    whole = path.read_bytes()
    for end in lengths(len(whole)):
        path.write_bytes(whole[:end])
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                read()
            except (ValueError, OSError) as error:
                assert str(error)  # noqa: PT017
