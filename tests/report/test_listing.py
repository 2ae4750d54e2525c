"""`minires runs`: what is there, how far it is, and how to go on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from minires.cli import app
from minires.report.listing import BY_HAND, list_runs
from minires.training.claim import claimed, is_claimed
from minires.training.going_on import command_to_resume, keep_command

ROOT = Path(__file__).parents[2]


def interval(step):
    return {"kind": "interval", "step": step, "loss": 1, "training_error": 0.5, "seconds": 2 * step}


def evaluation(step):
    return {"kind": "evaluation", "step": step, "test_error": 0.5, "seconds": 2 * step}


DIVERGED = {"kind": "diverged", "step": 30, "reason": "the loss is nan", "seconds": 60}
HALF = [interval(50)]
WHOLE = [interval(100), evaluation(100)]


def make(folder, records):
    recipe = {"name": "short", "iterations": 100, "batch_size": 4}
    config = {"network": "net", "seed": 0, "data": "noise", "recipe": recipe}
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "records.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    return folder


@pytest.fixture
def folder(tmp_path):
    """One run of each kind, in folders of different depth."""
    make(tmp_path / "job" / "whole", WHOLE)
    make(tmp_path / "job" / "half", HALF)
    make(tmp_path / "wild", [interval(20), DIVERGED])
    make(tmp_path / "job" / "images" / "begun", [])
    keep_command(tmp_path / "job", "python train.py --resume job")
    return tmp_path


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_the_command_to_resume_repeats_what_is_not_the_default(device, precision):
    command = command_to_resume("job.py", Path("a b"), device, precision)
    assert command.startswith("python job.py --resume 'a b'")
    assert (f"--device {device}" in command) == (device != "auto")
    assert (f"--precision {precision}" in command) == (precision != "float32")


def states(folder):
    return {run.name: run[1:4] for run in list_runs(folder)[0]}


def test_every_run_has_a_state_and_says_how_far_it_is(folder):
    assert states(folder) == {
        "job/half": ("interrupted", "50 of 100", "100 s"),
        "job/images/begun": ("interrupted", "0 of 100", ""),
        "job/whole": ("finished", "100 of 100", ""),
        "wild": ("diverged", "30 of 100", ""),
    }


def test_a_run_that_is_being_trained_is_told_apart(folder):
    with claimed(folder / "job" / "half"):
        assert states(folder)["job/half"] == ("running", "50 of 100", "100 s")
    assert states(folder)["job/half"][0] == "interrupted"


def test_the_command_to_go_on_is_the_jobs(folder):
    remarks = {run.name: run.remark for run in list_runs(folder)[0]}
    assert remarks["job/half"] == "To go on: python train.py --resume job"
    assert remarks["job/images/begun"] == remarks["job/half"]
    assert remarks["job/whole"] == ""
    assert remarks["wild"] == "wild diverged: the loss is nan"


def test_without_a_job_the_trainer_goes_on(tmp_path):
    make(tmp_path / "half", HALF)
    assert list_runs(tmp_path)[0][0].remark == f"To go on: {BY_HAND}"


def test_the_command_says_each_thing_once(folder):
    (folder / "torn").mkdir()
    (folder / "torn" / "config.json").write_text("{")
    result = CliRunner().invoke(app, ["runs", str(folder)])
    assert result.exit_code == 0, result.output
    text = result.output
    assert text.count("To go on: python train.py --resume job") == 1
    assert "job/half" in text
    assert "config.json is not valid JSON" in text


def test_old_records_without_times_are_listed(tmp_path):
    make(tmp_path / "half", [{"kind": "interval", "step": 50}])
    assert states(tmp_path)["half"] == ("interrupted", "50 of 100", "not recorded")


def test_where_there_are_none_a_sentence_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="there are no runs below"):
        list_runs(tmp_path)


CLAIM = """
import sys, time
from pathlib import Path
from minires.training.claim import claimed
with claimed(Path(sys.argv[1])):
    print("here", flush=True)
    time.sleep(60)
"""


class TestClaim:
    def test_another_training_in_the_same_folder_is_refused(self, tmp_path):
        with claimed(tmp_path):
            with pytest.raises(ValueError, match="another process is training in"):
                claimed(tmp_path).__enter__()
            assert is_claimed(tmp_path)
        assert not list(tmp_path.iterdir())

    @pytest.mark.skipif(os.name != "posix", reason="Windows can't tell")
    def test_a_killed_process_claims_nothing(self, tmp_path):
        process = subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(tmp_path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "here\n"
        assert is_claimed(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert (tmp_path / "running").exists()
        assert not is_claimed(tmp_path)
