"""The comparison of precisions: it trains on the stand-in, and its verdict follows the numbers."""

import json
from types import SimpleNamespace

import precisions as script
import pytest

from tests.benchmarks import BENCHMARKS
from tests.benchmarks.test_gpu_script import run

TRAIN = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from dataclasses import replace
import precisions
from minires.training import PRESETS
from tests.device import gpu

little = {"iterations": 1, "batch_size": 2, "test_images": 2}
PRESETS["little"] = lambda *of: replace(PRESETS["toy"](*of), **little)
networks = precisions.plain_and_residual
precisions.plain_and_residual = lambda depths, seeds: networks((8,), seeds)[:1]
with gpu():
    precisions.typer.run(precisions.main)
"""


def record(losses):
    """Runs of one network whose float32 losses are 1.0, 1.1 and 1.2."""
    facts = {"date": "2026-01-02", "card": "NVIDIA X"}
    of = {"float32": (1.0, 1.1, 1.2), "tf32": losses}
    rows = [
        {"precision": p, "network": "ResNet-20", "seed": seed, "training_loss": loss}
        | {"test_error": 50.0}
        for p, values in of.items()
        for seed, loss in enumerate(values)
    ]
    return {"facts": facts, "data": "drawings", "preset": "quick", "rows": rows}


def test_a_difference_within_the_spread_is_none():
    page = script.page(record((1.05, 1.15, 1.25)))
    assert "| ResNet-20 | TF32 | 1.150 ± 0.100 | 50.0 ± 0.0 | 0.050 ± 0.082 |" in page
    assert "None of 1 differences is larger" in page


@pytest.mark.parametrize("shift", [0.2, -0.2])
def test_a_difference_beyond_the_spread_is_named(shift):
    page = script.page(record((1.0 + shift, 1.1 + shift, 1.2 + shift)))
    assert "standard errors: ResNet-20 in TF32." in page


def test_errors_are_in_percent():
    results = {"training_loss": 1.5, "test_error": 0.25}
    row = script.figures("tf32", "ResNet-20", SimpleNamespace(config={"seed": 0}, results=results))
    assert (row["training_loss"], row["test_error"]) == (1.5, 25)


def test_one_seed_has_no_spread():
    kept = record((1.5, 0, 0))
    kept["rows"] = [row for row in kept["rows"] if row["seed"] == 0]
    assert "With one seed there is no spread" in script.page(kept)


def test_a_wrong_file_gets_a_sentence(tmp_path):
    (tmp_path / "empty.json").write_text("{}")
    done = run(BENCHMARKS / "precisions.py", "--from", tmp_path / "empty.json")
    assert done.returncode == 2
    assert "is no file of --json" in " ".join(done.stderr.split())


@pytest.mark.cuda
def test_it_trains_in_each_precision(tmp_path):
    file, page = tmp_path / "record.json", tmp_path / "page.md"
    page.write_text("\n".join(script.gpu_page.markers(script.MAKER)))
    options = ("--preset", "little", "--data", "builtin", "--seeds", "1", "--json", file)
    done = run("-c", TRAIN, BENCHMARKS, *options, "--write", page)
    assert done.returncode == 0, done.stderr
    rows = json.loads(file.read_text())["rows"]
    assert [row["precision"] for row in rows] == ["float32", "tf32"]
    assert rows[0]["training_loss"] != rows[1]["training_loss"]
    assert "Measured on" in page.read_text()
