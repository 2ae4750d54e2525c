"""Commands on all kinds of terminals, with all kinds of names: text, or one sentence on stderr.

The sweep calls every command with every encoding and every name; none may end in a traceback.
"""

import errno
import io
import itertools
import json
import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from minires import cli
from minires.common import output
from minires.models import cifar_resnet
from minires.weights.torchvision import torch_state
from tests.data.photographs import folder_by_class
from tests.detection.sets import coco, result
from tests.report.made_up import write_run

SCRIPTS = Path(__file__).parents[1] / "examples"
ENCODINGS = ("utf-8", "cp1252", "latin-1", "ascii")
NAMES = ("plain", "[best]", "[/bird]", "[bold red]x", "ü ☃", "a\\[b", "x\nError: y")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of a small network that is recognised, with classes of its own."""
    state = torch_state(cifar_resnet(8, padding="both", classes=3))
    path = tmp_path_factory.mktemp("weights") / "[w].safetensors"
    state = {name.replace("fc.", "linear."): array for name, array in state.items()}
    save_file(state, path, metadata={"classes": '["[best]", "[/bird]", "☃"]'})
    return path


@pytest.fixture
def run(monkeypatch):
    """Call the command as from a shell; status, standard output and error output."""

    def call(*arguments, encoding="utf-8", stdout=None):
        monkeypatch.setattr("sys.argv", ["minires", *map(str, arguments)])
        streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", stdout or streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        for stream in streams:
            stream.flush()
        texts = [stream.buffer.getvalue().decode(encoding) for stream in streams]
        return ended.value.code or 0, *texts

    return call


def commands(folder, weights):
    """Every command on a folder of images, and whether it succeeds."""
    small = ("--resize", "32", "--crop", "32")
    image = next(folder.glob("*/*.jpg"))
    return {
        "info": (("info",), True),
        "summary": (("summary", "resnet8"), True),
        "draw": (("draw", "plain8", "--out", folder / "x.svg"), True),
        "classify": (("classify", image, "--weights", weights, *small), True),
        "picture": (
            ("classify", image, "--weights", weights, *small, "--picture", folder / "p.png"),
            True,
        ),
        "evaluate": (("evaluate", weights, "--data", folder, *small), False),
        "runs": (("runs", folder), False),
        "report": (("report", folder), False),
        "boxes": (("check-boxes", folder), False),
        "detector": (("evaluate-detector", folder, folder / "none.json"), False),
        "hint": (("exercises", "hint", "relu", "--folder", folder), True),
        "check": (("exercises", "check", "relu", "--folder", folder), False),
        "class": (("exercises", "class", folder), True),
        "list": (("exercises",), True),
        "missing": (("classify", folder / "none", "--weights", folder / "none.pth"), False),
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_command_in_every_encoding_prints_text_or_a_sentence(
    name, run, weights, tmp_path, rng
):
    """7 names x 4 encodings x 15 commands: 420 calls."""
    folder = folder_by_class(tmp_path / name.replace("/", "∕"), rng, classes=(name.strip("[/]"),))
    made = 0
    for encoding, (arguments, succeeds) in itertools.product(
        ENCODINGS, commands(folder, weights).values()
    ):
        code, out, error = run(*arguments, encoding=encoding)
        assert (code == 0) == succeeds, (arguments, out, error)
        assert "Traceback" not in out + error
        assert succeeds or error or "wrong" in out or arguments[0] == "check-boxes"
        made += 1
    assert made == 60


def writers(folder, weights, place):
    """Every command that writes, with a place for it; and those that make a folder."""
    small = ("--resize", "32", "--crop", "32")
    image = next(folder.glob("images/*/*.jpg"), folder)
    train = ("train", "--data", folder / "images", "--network", "resnet8", "--preset", "toy")
    found = ("evaluate-detector", folder / "coco.json", folder / "found.json")
    learn = ("train-detector", "--data", folder / "coco.json", "--preset", "toy")
    return {
        "draw": ("draw", "plain8", "--out", place / "x.svg"),
        "picture": ("classify", image, "--weights", weights, *small, "--picture", place / "p.png"),
        "evaluate": (
            *("evaluate", weights, "--data", folder / "images", *small),
            *("--out", place / "e.json"),
        ),
        "report": ("report", folder / "runs", "--out", place / "r.html"),
        "detector": (*found, "--out", place / "d.json"),
        "boxes": ("check-boxes", folder / "coco.json", "--pictures", place / "boxes"),
        "start": ("exercises", "start", "relu", "--folder", place / "exercises"),
        "train": (*train, "--epochs", "1", "--out", place / "run"),
        "train-detector": (*learn, "--iterations", "1", "--out", place / "detector"),
    }


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with brackets in its name, of all that commands read."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("inputs") / "[in]"
    folder_by_class(folder / "images", rng, classes=("0", "1", "2"), each=5)
    numbers = range(1, 11)
    boxes = coco(numbers, annotations=[(n, 1, [5, 5, 20, 20]) for n in numbers])
    (folder / "coco.json").write_text(json.dumps(boxes))
    (folder / "found.json").write_text(json.dumps([result(1, 1, [5, 5, 20, 20], 0.9)]))
    for number in numbers:
        Image.new("RGB", (60, 40)).save(folder / f"{number}.png")
    write_run(folder / "runs" / "net-8", "net-8", 1.0)
    return folder


def no_room(monkeypatch, tmp_path):
    def refuse(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    return tmp_path


def in_a_file(_, tmp_path):
    (tmp_path / "file").write_text("in the way")
    return tmp_path / "file"


PLACES = {
    "missing": lambda _, tmp_path: tmp_path / "a" / "[b]",
    "in a file": in_a_file,
    "read-only": lambda *_: Path("/sys"),
    "full": no_room,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", writers(Path(), Path(), Path()))
def test_a_place_that_takes_nothing_gets_a_sentence(
    name, place, run, weights, inputs, tmp_path, monkeypatch
):
    """9 commands x 4 places: what is missing is made, all others are told, with their names."""
    if place == "read-only" and not Path("/sys").is_dir():
        pytest.skip("no folder of this system is read-only for everyone")
    where = PLACES[place](monkeypatch, tmp_path)
    code, out, error = run(*writers(inputs, weights, where)[name])
    if place == "missing":
        assert code == 0, (out, error)
        return
    if place == "full" and name == "start":
        return  # it copies one small file
    assert code == 1, (out, error)
    assert error.startswith("Error: ")
    assert str(where) in error


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_names_are_no_markup(encoding, run, weights, tmp_path, rng):
    folder = folder_by_class(tmp_path / "[best]", rng, classes=("[bird]",), each=1)
    [image] = folder.glob("*/*.jpg")
    code, out, _ = run(
        "classify", image, "--weights", weights, "--resize", "32", "--crop", "32", encoding=encoding
    )
    assert code == 0
    assert all(text in out for text in ("[best]/[bird]/", "[best] ", "[/bird]"))
    code, _, error = run("classify", "[/bird].jpg", "--weights", "[/best].pth", encoding=encoding)
    assert code == 1
    assert error.startswith("Error: there is no file of weights [/best].pth")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", [("info",), ("summary", "resnet20"), ("exercises",)])
def test_a_full_disk_behind_the_output_gets_a_sentence(arguments, run):
    with open("/dev/full", "w") as full:
        code, _, error = run(*arguments, stdout=full)
        full.write("nothing is tried again")
        full.flush()  # it leads elsewhere now
    assert code == 1
    assert error.startswith("Error: the output can't be written: No space left on device")


@pytest.fixture
def run_script(monkeypatch, tmp_path):
    """Call a script of examples/, as `run` calls the command."""

    def call(name, *arguments, stdout):
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(SCRIPTS)
        monkeypatch.setattr("sys.argv", [name, *arguments])
        error = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(sys, "stderr", error)
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")
        error.flush()
        return ended.value.code, error.buffer.getvalue().decode()

    return call


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("name", ["probes", "cifar_plain_vs_resnet", "table6"])
def test_so_it_does_behind_that_of_a_script(name, run_script):
    with open("/dev/full", "w") as full:
        code, error = run_script(name, stdout=full)
    assert code == 1
    assert error.startswith("Error: the output can't be written: No space left on device")


@pytest.mark.parametrize("name", ["cifar_plain_vs_resnet", "table6"])
def test_a_scripts_errors_are_no_results(name, run_script, tmp_path):
    with io.TextIOWrapper(io.BytesIO(), encoding="ascii") as out:
        options = ("--data", "cifar10", "--data-dir", "[/none] ☃")
        code, error = run_script(name, *options, stdout=out)
        assert not out.buffer.getvalue()
    assert code == 1
    assert error.startswith("Error: data_dir ")
    assert "[/none] \\u2603" in error


def test_a_file_that_ends_too_early_is_no_wish_to_stop(run, monkeypatch):
    def fail():
        raise EOFError("Ran out of input")

    monkeypatch.setattr("minires.info", fail)
    code, _, error = run("info")
    assert (code, error) == (1, "Error: a file ends too early: Ran out of input\n")


def test_other_errors_stay_what_they_are():
    with pytest.raises(ZeroDivisionError), output.errors_as_sentences():
        1 / 0  # noqa: B018


def test_the_package_is_the_command(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["minires", "summary", "resnet8"])
    with pytest.raises(SystemExit):
        runpy.run_module("minires", run_name="__main__")
    assert "conv1" in capsys.readouterr().out
