"""`minires runs`: what is there, how far it is, and how to go on."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from minires.cli import app
from minires.report.listing import list_runs
from minires.training import claim
from minires.training.claim import claimed, is_claimed
from minires.training.going_on import command_for, command_to_resume, keep_command

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
    assert remarks["job/half"] == f"To go on: python train.py --resume {folder / 'job'}"
    assert remarks["job/images/begun"] == remarks["job/half"]
    assert remarks["job/whole"] == ""
    assert remarks["wild"] == "wild diverged: the loss is nan"


def test_without_a_job_the_trainer_goes_on(tmp_path):
    make(tmp_path / "half", HALF)
    assert list_runs(tmp_path)[0][0].remark == "To go on: call run() of the same Trainer"
    (tmp_path / "half" / "checkpoint.safetensors").touch()
    assert "call resume() and run() of" in list_runs(tmp_path)[0][0].remark


def test_a_moved_job_goes_on_where_it_is(folder):
    (folder / "job").rename(folder / "a job")
    assert command_for(folder / "a job" / "half") == f"python train.py --resume '{folder}/a job'"


def test_other_commands_are_repeated_as_they_are(folder):
    keep_command(folder / "job", "python  experiments.py all")
    assert command_for(folder / "job" / "half") == "python  experiments.py all"


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_command_that_nobody_can_read_counts_as_none(folder, is_folder):
    path = folder / "job" / "command.txt"
    path.unlink()
    path.mkdir() if is_folder else path.write_bytes(b"python \xff")
    assert {run.name: run.remark for run in list_runs(folder)[0]}["job/half"].endswith("Trainer")


RECIPE = {"name": "short", "iterations": 100, "batch_size": 4}
DEEP = "[" * 100_000


def config(recipe=RECIPE, **others):
    return json.dumps({"network": "net", "seed": 0, "data": "noise", "recipe": recipe} | others)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("records.jsonl", json.dumps(interval(50) | {"seconds": None})),
        ("records.jsonl", json.dumps(interval(50) | {"seconds": "long"})),
        ("records.jsonl", json.dumps(interval(50) | {"seconds": 10**400})),
        ("records.jsonl", json.dumps({"kind": "diverged", "step": 30})),
        ("records.jsonl", DEEP),
        ("config.json", config(RECIPE | {"iterations": None})),
        ("config.json", config(RECIPE | {"iterations": 10**400})),
        ("config.json", config({"name": "short", "batch_size": 4}, iterations=100)),
        ("config.json", config(network=["net"])),
        ("config.json", DEEP),
    ],
)
def test_an_odd_run_is_named_and_the_others_are_listed(folder, name, text):
    odd = make(folder / "odd", HALF)
    (odd / name).write_text(text + "\n")
    found, notes = list_runs(folder)
    assert len(found) == 4
    assert len(notes) == 1
    assert notes[0].startswith(f"{odd} is left out: ")
    assert name in notes[0]


def test_names_with_brackets_are_shown_as_they_are(tmp_path):
    names = ["x[", "[bold]mine"]
    for name in names:
        make(tmp_path / name / "foo]", HALF)
    result = CliRunner().invoke(app, ["runs", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert all(f"{name}/foo]" in result.output for name in names)


def test_the_command_says_each_thing_once(folder):
    (folder / "torn").mkdir()
    (folder / "torn" / "config.json").write_text("{")
    result = CliRunner().invoke(app, ["runs", str(folder)])
    assert result.exit_code == 0, result.output
    text = result.output
    assert text.count(f"To go on: python train.py --resume {folder / 'job'}") == 1
    assert "job/half" in text
    assert "config.json is not valid JSON" in text


def test_old_records_without_times_are_listed(tmp_path):
    make(tmp_path / "half", [{"kind": "interval", "step": 50}])
    assert states(tmp_path)["half"] == ("interrupted", "50 of 100", "not recorded")


def test_where_there_are_none_a_sentence_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="there are no runs below"):
        list_runs(tmp_path)


def test_what_cannot_be_printed_is_escaped(tmp_path):
    make(tmp_path / "uni\xe9", HALF)
    for arguments in (["runs", str(tmp_path)], ["runs", str(tmp_path / "uni\xe9" / "none")]):
        done = subprocess.run(
            [sys.executable, "-m", "minires.cli", *arguments],
            cwd=ROOT,
            capture_output=True,
            check=False,
            env=os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "200"},
        )
        assert b"Traceback" not in done.stderr
        assert b"uni\\xe9" in done.stdout + done.stderr


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
    def test_a_file_open_for_reading_takes_no_exclusive_lock_on_nfs(self, tmp_path, monkeypatch):
        import fcntl

        def of_nfs(file, kind, flock=fcntl.flock):
            if kind & fcntl.LOCK_EX and not file.writable():
                raise OSError(errno.EBADF, "open for reading")
            flock(file, kind)

        monkeypatch.setattr(fcntl, "flock", of_nfs)
        with claimed(tmp_path):
            assert is_claimed(tmp_path)

    @pytest.mark.skipif(os.name != "posix", reason="Windows can't tell")
    def test_a_file_that_its_holder_has_removed_is_no_claim(self, tmp_path, monkeypatch):
        """The other process ends between our opening of the file and our lock."""

        def late(file, *, shared=False, lock=claim.lock):
            monkeypatch.setattr(claim, "lock", lock)
            (tmp_path / "running").unlink()
            return lock(file, shared=shared)

        monkeypatch.setattr(claim, "lock", late)
        with claimed(tmp_path):
            assert is_claimed(tmp_path)

    @pytest.mark.skipif(os.name != "posix", reason="Windows can't tell")
    def test_the_file_is_removed_before_others_can_lock_it(self, tmp_path, monkeypatch):
        seen, unlink = [], Path.unlink

        def watched(path, **options):
            seen.append(is_claimed(tmp_path))
            unlink(path, **options)

        monkeypatch.setattr(Path, "unlink", watched)
        with claimed(tmp_path):
            pass
        assert seen == [True]

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
