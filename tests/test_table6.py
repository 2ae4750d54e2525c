"""The script of table 6, run as a user runs it, at toy size."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from minires.training.going_on import command_for

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "examples" / "table6.py"
TOY = ("--networks", "plain-8,ResNet-8,ResNet-14", "--iterations", "8", "--data", "builtin")


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, SCRIPT, *map(str, arguments), "--device", "cpu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1"},
    )


def run(*arguments):
    process = start(*arguments)
    text, _ = process.communicate(timeout=300)
    return process.returncode, text


@pytest.mark.slow
def test_page_and_picture_are_made_and_made_again_from_the_kept_runs(tmp_path):
    code, text = run(*TOY, "--seeds", "0,1", "--out", tmp_path / "runs")
    assert code == 0, text
    page = (tmp_path / "runs" / "table6.md").read_text()
    assert "8 iterations of 128 images, 0.000125 times as many as in the paper" in page
    for network in ("plain-8", "ResNet-8", "ResNet-14"):
        assert f"| {network} |" in page
    assert "6 trainings took" in page
    assert "trained on: cpu; precision: float32" in page
    assert (tmp_path / "runs" / "report.html").exists()
    code, text = run("--from", tmp_path / "runs" / "table6.json", "--out", tmp_path)
    assert code == 0, text
    assert (tmp_path / "table6.md").read_text() == page
    assert (tmp_path / "table6.png").exists()


@pytest.mark.slow
def test_after_a_stop_the_same_command_goes_on(tmp_path):
    options = (*TOY[:2], "--iterations", "30", *TOY[4:], "--out", tmp_path)
    process = start(*options)
    while not (tmp_path / "plain-8-seed0" / "records.jsonl").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 130, text
    assert "plain-8: stopped after" in text
    assert "The same command goes on." in text
    assert "--iterations 30" in command_for(tmp_path / "plain-8-seed0")
    code, text = run(*options)
    assert code == 0, text
    last = (tmp_path / "plain-8-seed0" / "records.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["step"] == 30


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--networks", "VGG-16"), "takes plain-N and ResNet-N, but got 'VGG-16'"),
        (("--networks", "ResNet-21"), "21"),
        (("--seeds", "a"), "takes whole numbers"),
        (("--from", "nowhere.json"), "nowhere.json"),
        (("--data", "imagenet"), "imagenet"),
    ],
)
def test_a_wrong_option_gets_a_sentence(arguments, sentence, tmp_path):
    code, text = run("--data", "builtin", "--out", tmp_path, *arguments)
    assert code != 0
    assert sentence in " ".join(text.replace("│", " ").split())
    assert "Traceback" not in text


def test_entries_are_the_papers_networks():
    script = runpy.run_path(str(SCRIPT))
    entries = [script["entry"](name, 3) for name in script["names"](script["NETWORKS"])]
    assert [(e.depth, e.shortcut) for e in entries[:3]] == [(20, None), (56, None), (20, "A")]
    assert [e.depth for e in entries[2:]] == [20, 32, 44, 56, 110]
    assert {e.seed for e in entries} == {3}
    with pytest.raises(typer.BadParameter):
        script["entry"]("ResNet-20-seed0", 0)
