"""examples/probes.py as a user runs it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*arguments):
    done = subprocess.run(
        [sys.executable, "examples/probes.py", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1"},
        timeout=600,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_without_a_name_it_lists_them():
    code, text = run()
    assert code == 0, text
    for name in ("vanishing", "shattering", "lesions", "landscape"):
        assert name in text


def test_several_processes_get_a_sentence(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setenv("PMI_RANK", "0")
    code, text = run("lesions")
    assert code == 1
    assert "examples/probes.py runs in one process, but a launcher has started 2" in text


def test_an_unknown_probe_gets_a_sentence():
    code, text = run("lesion")
    assert code == 1
    assert "there is no probe 'lesion': choose from" in text
    assert "Traceback" not in text


@pytest.mark.slow
def test_a_probe_prints_what_it_found_and_where_the_picture_is(tmp_path):
    code, text = run("responses", "--preset", "toy", "--out", tmp_path)
    assert code == 0, text
    assert re.search(r"plain-56: \d", text)
    for name in ("plain-20", "plain-56", "ResNet-20", "ResNet-56"):  # as the output is a pipe
        assert re.search(rf"^{name}-seed0: iteration 16 of 16, loss ", text, re.MULTILINE)
    assert "Source: He et al. 2015" in text
    found = json.loads((tmp_path / "probes" / "responses.json").read_text())["found"]
    assert len(found) == 4
    assert (tmp_path / "ResNet-56-seed0" / "checkpoint.safetensors").exists()
