"""How the scripts measure, what they print, what they answer to wrong options."""

import json
import os
import re
import subprocess
import sys

import peers
import pytest
import shapes
from roofline import layers
from turns import Worker, compare

from minires.models import cifar_resnet
from minires.nn import summary
from tests.benchmarks import BENCHMARKS
from tests.data.archives import batches, write_folder


def run(script, *arguments):
    return subprocess.run(
        [sys.executable, BENCHMARKS / script, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1"},
    )


def test_two_processes_take_turns():
    with Worker("numpy", 1) as one, Worker("numpy", 1) as other:
        one.prepare("sgemm", side=64)
        other.prepare("sgemm", side=512)
        row = compare([one, other], repeats=4, seconds=60)
        assert one.peak_memory() > 1
    assert row["turns"] == 4
    assert row["ours_ms"] < row["peer_ms"]
    assert row["ratio"] > 1
    assert 0 < row["peer_cores"] < 1.1


def test_there_are_three_turns_however_little_time():
    with Worker("numpy", 1) as worker:
        worker.prepare("sgemm", side=64)
        assert compare([worker, worker], repeats=9, seconds=0)["turns"] == 3


def test_an_engine_with_other_threads_is_refused():
    with Worker("numpy", 1) as worker:
        worker.threads = 2
        with pytest.raises(RuntimeError, match="numpy uses 1 threads, not 2"):
            worker.prepare("sgemm", side=8)


def test_a_process_that_dies_is_reported():
    with Worker("no_such_engine", 1) as worker, pytest.raises(RuntimeError, match="ended early"):
        worker.prepare("train", network="resnet8", batch=2)


def test_the_roofline_counts_every_convolution_of_the_network():
    """All multiplications of ResNet-20 but those of its classifier."""
    batch = 2
    forward = [layer for layer in layers(batch, 20) if layer.name.endswith("forward")]
    operations = sum(layer.operations * layer.times for layer in forward)
    network = summary(cifar_resnet(20), (32, 32, 3))
    assert operations / (2 * batch) + 64 * 10 == network.multiply_adds


def test_the_roofline_counts_every_batch_norm_of_the_network():
    names = [name for name, _ in cifar_resnet(20).named_modules() if "bn" in name]
    counted = [layer.times for layer in layers(2, 20) if layer.name.startswith("batch norm")]
    assert sum(counted) == 2 * len(names)  # forward and backward


@pytest.mark.parametrize(
    ("network", "layers"), [("cifar", 8), ("resnet18_34", 11), ("resnet50", 23), ("vgg16", 9)]
)
def test_distinct_convolutions(network, layers):
    """Counted by hand in the papers' tables."""
    assert len(shapes.distinct([network])) == layers


@pytest.mark.slow
def test_peers_prints_and_writes_and_compares(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    file = tmp_path / "rows.json"
    few = ("--only", "train", "--depths", "8", "--peers", "torch", "--repeats", "3")
    done = run("peers.py", *few, "--json", file)
    assert done.returncode == 0, done.stderr
    [row] = json.loads(file.read_text())["rows"]
    assert (row["work"], row["peer"]) == ("resnet8_train_b128", "torch")
    assert row["ratio_quartiles"][0] <= row["ratio"] <= row["ratio_quartiles"][1]
    assert "earlier" not in done.stdout
    assert "earlier" in run("peers.py", *few, "--compare", file).stdout


@pytest.mark.slow
def test_peers_times_bfloat16(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    file = tmp_path / "rows.json"
    few = ("--only", "train", "--depths", "8", "--repeats", "3", "--precision", "bfloat16")
    done = run("peers.py", *few, "--peers", "torch:bfloat16", "--json", file)
    assert done.returncode == 0, done.stderr
    [row] = json.loads(file.read_text())["rows"]
    assert (row["peer"], row["precision"]) == ("torch:bfloat16", "bfloat16")


def test_peers_names_the_fastest():
    rows = [
        {"work": "resnet8_train_b128", "peer": peer, "peer_ms": 1.0, "ratio": ratio}
        for peer, ratio in (("torch", 2.0), ("torch:compile", 1.5), ("jax", 3.0))
    ]
    alone = {"work": "resnet8_infer_b8", "peer": "torch", "peer_ms": 1.0, "ratio": 2.0}
    memory = {"work": "resnet8_memory", "peer": "torch", "ratio": 2.0}
    [line] = peers.fastest([*rows, alone, memory, memory])
    assert line == "resnet8_train_b128: the fastest is torch:compile, at 1.50 of our time"


def test_evaluations_of_detections_are_timed():
    done = run("detections.py", "--images", "3", "--repeats", "1")
    assert done.returncode == 0, done.stderr
    assert "3 images, 300 detections" in done.stdout


WITH_TORCH = pytest.param("minires,torch", marks=pytest.mark.slow)


@pytest.mark.parametrize("engines", ["minires", WITH_TORCH])
def test_reading_of_own_images_is_timed(engines, tmp_path):
    if "torch" in engines:
        pytest.importorskip("torch", reason="PyTorch is not installed")
    write_folder(tmp_path / "cifar-10-batches-bin", batches("binary", train=1, count=60))
    few = ("--batch-size", "8", "--steps", "2", "--repeats", "1", "--network", "resnet8")
    done = run("own_images.py", "--cifar", tmp_path, *few, "--engines", engines)
    assert done.returncode == 0, done.stderr
    assert "32 x 32 pixels, batches of 8" in " ".join(done.stdout.split())
    for engine in engines.split(","):
        assert re.search(rf"{engine} .* \d+ ms .* \d+ ms .* [+-][\d.]+%", done.stdout)


@pytest.mark.parametrize(
    ("script", "arguments", "sentence"),
    [
        ("peers.py", ("--peers", "caffe"), "knows torch"),
        ("peers.py", ("--peers", "torch:float8"), "torch has the modes bfloat16, compile"),
        ("peers.py", ("--depths", "21"), "takes 6n + 2"),
        ("convolutions.py", ("--networks", "alexnet"), "knows cifar"),
        ("own_images.py", ("--network", "resnet21"), "others of 6n + 2 layers, and resnet50"),
        ("roofline.py", ("--repeats", "1"), "greater than or equal to 3"),
    ],
)
def test_a_wrong_option_gets_a_sentence(script, arguments, sentence):
    done = run(script, *arguments)
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_main_job_is_timed():
    printed = run("main_job.py", "--preset", "toy", "--data", "builtin").stdout
    assert re.search(r"toy, builtin: \d+ s", printed)


def test_the_improvements_of_a_detector_are_measured_and_kept(tmp_path):
    """Two seeds at toy size; what is in the folder is not made anew."""
    figures = tmp_path / "figures.json"
    options = ("--seeds", "0,1", "--preset", "toy", "--test-images", 2, "--scales", "96,128")
    first = run("detection_improvements.py", tmp_path, *options, "--only", 1)
    assert first.returncode == 0, first.stderr
    kept = tmp_path / "resnet-improvements-seed1.json"
    kept.write_text(kept.read_text().replace(": 0.0", ": 0.25"))
    done = run("detection_improvements.py", tmp_path, *options, "--json", figures)
    assert done.returncode == 0, done.stderr
    assert "+ multi-scale testing" in done.stdout
    assert "12.5 ± 17.7" in done.stdout
    assert "+0.0 ± 0.0" in done.stdout  # what the second row adds to the first
    record = json.loads(figures.read_text())
    assert list(record["seeds"]) == ["0", "1"]
    assert record["ensemble"].keys() == {"mAP50", "mAP", "mAP small"}
    names = {path.name for path in tmp_path.glob("resnet-*seed1")}
    assert names == {"resnet-seed1", "resnet-context-seed1"}


def test_detectors_are_timed_with_or_without_torchvision(tmp_path):
    path = tmp_path / "rows.json"
    options = ("--small", "--rounds", "1", "--cases", "step,nms", "--json", str(path))
    text = run("detectors.py", *options).stdout
    rows = json.loads(path.read_text())["rows"]
    assert [row["case"] for row in rows] == ["step", "nms"]
    assert all(row["engines"]["minires"]["ms"] > 0 for row in rows)
    assert ("torchvision can't be used here" in text) == ("torchvision" not in rows[0]["engines"])
