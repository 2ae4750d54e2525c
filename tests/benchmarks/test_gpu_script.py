"""The benchmark of a GPU: that it runs, on the stand-in, whose times mean nothing; its tables."""

import json
import os
import subprocess
import sys

import gpu as script
import gpu_clock
import gpu_launches
import gpu_page
import gpu_profile
import gpu_steps
import numpy as np
import pytest
from gpu_steps import Network, Way

from minires.nn import summary
from tests.benchmarks import BENCHMARKS
from tests.device import gpu, is_real

LITTLE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import gpu as script, gpu_clock, gpu_steps
from tests.device import gpu as stand_in

gpu_clock.CALLS, gpu_clock.COPIED_MIB, gpu_clock.PRODUCT_SIDE, gpu_steps.WARM_UP = (1, 1), 1, 64, 1
network = script.network
script.network = lambda *arguments: network(*arguments)._replace(side=8)
with stand_in():
    script.typer.run(script.main)
"""
SCRIPT = BENCHMARKS / "gpu.py"
TINY = Network("ResNet-8", 2, 8, 10)


def run(*arguments):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "150"},
        check=False,
    )


@pytest.mark.cuda
def test_it_times_steps_and_counts_launches(tmp_path):
    file = tmp_path / "record.json"
    options = ("--networks", "ResNet-8", "--batch", "2", "--rounds", "3", "--json", file)
    done = run("-c", LITTLE, BENCHMARKS, *options)
    assert done.returncode == 0, done.stderr
    assert "| ResNet-8, batch 2 | float32 |" in done.stdout
    record = json.loads(file.read_text())
    eager = next(row for row in record["steps"] if row["engine"] == "minires")
    assert 0 < eager["whole_ms_quartiles"][0] <= eager["whole_ms"]
    assert eager["step_ms"] > 0
    profile = record["profiles"][0]
    assert profile["launches"] > 40
    assert record["ceilings"]["copy"] > 0
    assert record["facts"]["card"]


@pytest.mark.cuda
def test_kernels_alone(tmp_path):
    file = tmp_path / "record.json"
    options = ("--networks", "ResNet-8", "--batch", "2", "--only", "kernels", "--json", file)
    done = run("-c", LITTLE, BENCHMARKS, *options)
    assert done.returncode == 0, done.stderr
    record = json.loads(file.read_text())
    assert record["profiles"]
    assert not record["steps"]
    assert "Milliseconds a training step" not in done.stdout


@pytest.mark.cuda
def test_without_time_everything_is_left_out_and_named(tmp_path):
    options = ("--networks", "ResNet-8,ResNet-50", "--seconds", "0", "--json", tmp_path / "none")
    done = run("-c", LITTLE, BENCHMARKS, *options)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "none").read_text())
    assert record["steps"] == record["profiles"] == []
    late = record["missing"][-1]
    assert late.startswith("left out, as the time was up: ResNet-8 in float32; ")
    assert "kernels of ResNet-50, minires, eager, float32" in late


@pytest.mark.slow
@pytest.mark.cuda
@pytest.mark.skipif(is_real(), reason="there is a GPU")
def test_beside_pytorch_each_part_fails_alone(monkeypatch, tmp_path):
    """On its CPU build, where only eager steps can be had."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    monkeypatch.setattr(gpu_steps, "DEVICE", "cpu")
    monkeypatch.setattr(gpu_steps, "WARM_UP", 1)
    monkeypatch.setattr(gpu_clock, "CALLS", (1, 1))
    monkeypatch.setattr(gpu_clock, "PRODUCT_SIDE", 64)
    file = tmp_path / "record.json"
    with gpu():
        measurement = script.Measurement([TINY], rounds=3, seconds=100, file=file)
        measurement.run(script.PARTS, "")
    record = json.loads(file.read_text())
    eager = {(r["engine"], r["precision"]) for r in record["steps"] if r["mode"] == "eager"}
    assert eager >= {("minires", "float32"), *(("PyTorch", p) for p in gpu_steps.PRECISIONS)}
    assert any("PyTorch, graph, float32: " in sentence for sentence in record["missing"])
    assert set(record["ceilings"]) == {"copy", *gpu_steps.PRECISIONS}
    assert "| ResNet-8, batch 2 | bfloat16 |" in gpu_page.page(record)


@pytest.mark.skipif(is_real(), reason="there is a GPU")
def test_without_a_gpu_it_says_so():
    done = run(SCRIPT)
    assert done.returncode == 2
    assert "can't be used" in " ".join(done.stderr.split())


@pytest.mark.cuda
def test_a_way_that_fails_is_told_and_stops_no_other():
    said, steps = [], {}
    fails, works = Way("minires", "graph", "float32"), Way("minires", "eager", "float32")
    steps[fails], steps[works] = (lambda: 1 / 0), (lambda: None)
    with gpu():
        rows = gpu_clock.take_turns(steps, 3, said.append)
    assert list(rows) == list(steps) == [works]
    assert said == ["minires, graph, float32: ZeroDivisionError: division by zero"]


@pytest.mark.parametrize("precision", gpu_steps.PRECISIONS)
def test_pytorch_trains_the_same_network(precision, monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    monkeypatch.setattr(gpu_steps, "DEVICE", "cpu")
    step = gpu_steps.prepare(Way("PyTorch", "eager", precision), TINY)
    step()
    ours = sum(p.data.size for p in TINY.ours().parameters())
    assert ours == sum(p.numel() for p in TINY.theirs().parameters())
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("name", ["ResNet-21", "resnet20", "ResNet-", "VGG-16"])
def test_a_network_that_is_none_gets_a_sentence(name):
    with pytest.raises(ValueError, match=r"a network is ResNet-D, where D is 6n \+ 2"):
        gpu_steps.network(name, 2, 2)


# ------------------------------------------------------------------- launches and kernels


@pytest.mark.cuda
def test_the_operations_of_all_launches_are_those_of_the_network():
    """Forward, and a gradient of the weight and of the input: the latter not for the images."""
    with gpu():
        step = gpu_steps.our_step("float32", TINY)
        with gpu_launches.watched(dry=True) as seen:
            step()
    network = summary(TINY.ours(), (8, 8, 3))
    stem = 8 * 8 * 9 * 3 * 16
    products = [launch for launch in seen if launch.operations]
    assert sum(launch.operations for launch in products) == 2 * TINY.batch * (
        3 * network.multiply_adds - stem
    )
    assert all(launch.bytes > 0 for launch in seen)


def test_a_kernel_that_is_not_known_has_no_operations():
    array = np.zeros(3, np.float32)
    launch = gpu_launches.describe("conv2d<half>", [array, np.float32(1)])
    assert launch == gpu_launches.Launch("conv2d<half>", (3,), 0, 12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("void conv2d<float, 128, 16>(float const*, long)", "conv2d<float, 128, 16>"),
        ("void gemm<float, 64l, false>(float*)", "gemm<float, 64, false>"),
        ("void f<TensorCores<64, 3>, 4, float>(float*)", "f<TensorCores<64, 3>, 4>"),
        ("void g<MultiplyAdds<double, 8>, 1, double>()", "g<MultiplyAdds<double, 8>, 1>"),
        ("void at::(anonymous namespace)::add<float>(float*)", "at::add<float>"),
        ("Memcpy DtoD (Device -> Device)", "Memcpy DtoD (Device -> Device)"),
        ("sgemm_32x32", "sgemm_32x32"),
    ],
)
def test_a_kernel_is_named_as_it_was_launched(name, expected):
    assert gpu_profile.plain(name) == expected


def test_what_a_kernel_reaches():
    events = [("conv2d<float>", 30.0), ("relu<float>", 2.0)] * 2 + [("Memset (Device)", 1.0)] * 2
    rows = gpu_profile.by_name(events, steps=2)
    seen = [
        gpu_launches.Launch("conv2d<float>", (2, 2), 600_000_000, 9_000_000),
        gpu_launches.Launch("relu<float>", (2, 2), 0, 4_000_000),
    ]
    gpu_profile.add_rates(rows, seen)
    product, relu, fill = rows
    assert (product["launches"], product["us"], product["ms"]) == (1, 30, 0.03)
    assert product["tflops"] == pytest.approx(20)
    assert relu["gbs"] == pytest.approx(2000)
    assert "gbs" not in fill


# ------------------------------------------------------------------- from JSON to a page


def row(engine, mode, ms):
    times = {"whole_ms": ms, "whole_ms_quartiles": [ms - 0.1, ms + 0.1]}
    times |= {"step_ms": 2 * ms, "step_ms_quartiles": [ms, 3 * ms]} if mode == "eager" else {}
    network = {"network": "ResNet-20", "batch": 128, "classes": 10, "precision": "float32"}
    return network | {"engine": engine, "mode": mode} | times


TIMES = (
    ("minires", "graph", 3.0),
    ("PyTorch", "graph", 4.5),
    ("minires", "eager", 10.0),
    ("PyTorch", "eager", 8.0),
)


def record():
    kernel = {"kernel": "conv2d<float>", "launches": 6, "us": 30.0, "ms": 0.18}
    kernel |= {"operations": 1, "bytes": 1, "tflops": 15.0, "gbs": 100.0}
    profile = {"network": "ResNet-20", "batch": 128, "engine": "minires", "mode": "eager"}
    profile |= {"precision": "float32", "kernels": [kernel], "launches": 297, "ms": 2.96}
    facts = {"card": "NVIDIA X", "driver": "580", "cuda": "13.0", "date": "2026-01-02"}
    return {
        "facts": facts | {"versions": {"CuPy": "14"}, "commit": "abc"},
        "steps": [row(*times) for times in TIMES],
        "profiles": [profile],
        "ceilings": {"copy": 2800.0, "float32": 50.0},
        "missing": ["ResNet-50 in tf32: left out, as the time was up"],
    }


def test_the_page_of_a_record():
    page = gpu_page.page(record())
    assert "Measured on 2026-01-02" in page
    assert "NVIDIA X, driver 580, CUDA 13.0; CuPy 14." in page
    assert "- ResNet-50 in tf32: left out" in page
    cells = "10.00 (9.90, 10.10) | 3.00 (2.90, 3.10) | 8.00 (7.90, 8.10) | 4.50 (4.40, 4.60)"
    assert f"| ResNet-20, batch 128 | float32 | {cells} | 0.80 | 1.50 |" in page
    assert "| 20.00 / 16.00 | 297 / – |" in page
    assert "| `conv2d<float>` | 6 | 30.0 | 0.180 | 15.0 TFLOP/s | 30% |" in page


def test_json_goes_between_the_markers_of_a_page(tmp_path):
    kept, page = tmp_path / "record.json", tmp_path / "page.md"
    kept.write_text(json.dumps(record()))
    begin, end = gpu_page.markers(gpu_page.MAKER)
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    for _ in range(2):  # a second time it replaces what it wrote
        done = run(SCRIPT, "--from", kept, "--write", page)
        assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert text.startswith(f"before\n{begin}\n\nMeasured on")
    assert text.endswith(f"\n{end}\nafter\n")
    assert "old" not in text
    assert text.count("ResNet-20, batch 128 | float32") == 2  # times, and launches


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--from", "no.json"), "is no file of --json"),
        (("--from", "empty.json"), "is no file of --json"),
        (("--from", "record.json", "--write", "page.md"), "must hold the line"),
    ],
)
def test_a_wrong_file_gets_a_sentence(options, sentence, tmp_path):
    (tmp_path / "empty.json").write_text("{}")
    (tmp_path / "record.json").write_text(json.dumps(record()))
    (tmp_path / "page.md").write_text("no markers")
    done = run(SCRIPT, *(tmp_path / o if "." in o else o for o in options))
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
