"""The main job, run as a user runs it, at toy size."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minires.training.going_on import command_for
from minires.training.main_job import Options

ROOT = Path(__file__).parents[1]
SCRIPT = "examples/cifar_plain_vs_resnet.py"
TOY = ("--preset", "toy", "--data", "builtin", "--depths", "8,14")


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, SCRIPT, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1"},
    )


def finish(process):
    text, _ = process.communicate(timeout=300)
    return process.returncode, text


def run(*arguments):
    return finish(start(*arguments))


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "results"
    code, text = run(*TOY, "--precision", "tf32", "--out", folder)
    assert code == 0, text
    return folder, text


@pytest.mark.slow
class TestMainJob:
    def test_shows_a_table_a_verdict_and_pictures(self, toy):
        folder, text = toy
        assert "Data: built-in" in text
        assert "Precision: on the CPU, tf32 is float32." in text
        for name in ("plain-8", "plain-14", "ResNet-8", "ResNet-14"):
            assert name in text
        assert "preset toy, one seed" in text
        assert "one draw" in text or "Nothing has been learned" in text
        assert (folder / "error.png").exists()
        assert (folder / "gradients.png").exists()
        assert f"Report, to open in a browser: {folder / 'report.html'}" in text
        assert "--preset toy --data builtin --depths 8,14" in (folder / "report.html").read_text()

    def test_bfloat16_trains_on_the_cpu(self, tmp_path):
        folder = tmp_path / "run"
        code, text = run(*TOY, "--precision", "bfloat16", "--device", "cpu", "--out", folder)
        assert code == 0, text
        for path in folder.glob("*/config.json"):
            assert json.loads(path.read_text())["precision"] == "bfloat16"

    def test_the_configuration_tells_the_precision(self, toy):
        for path in toy[0].glob("*/config.json"):
            assert json.loads(path.read_text())["precision"] == "tf32"

    def test_leaves_a_folder_for_each_network(self, toy):
        folder, _ = toy
        config = json.loads((folder / "ResNet-14-seed0" / "config.json").read_text())
        assert config["network"] == "ResNet-14"
        assert config["data"].startswith("built-in")
        assert config["made with"]["numpy"]

    def test_never_writes_over_earlier_results(self, toy):
        code, text = run(*TOY, "--out", toy[0])
        assert code == 1
        assert "already holds something" in text

    def test_resuming_what_is_finished_shows_it_again(self, toy):
        code, text = run("--resume", toy[0])
        assert code == 0, text
        assert "ResNet-14" in text

    def test_resuming_keeps_the_options(self, toy):
        code, text = run("--resume", toy[0], "--preset", "paper", "--depths", "8,20")
        assert code == 1
        assert "was begun with other options (preset, depths)" in " ".join(text.split())

    def test_ctrl_c_saves_and_says_how_to_go_on(self, toy, tmp_path):
        folder = tmp_path / "stopped"
        process = start(*TOY, "--precision", "tf32", "--device", "cpu", "--out", folder)
        checkpoint = folder / "plain-14-seed0" / "checkpoint.safetensors"
        while not checkpoint.exists():
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        code, text = finish(process)
        assert code == 130, text
        command = f"python {SCRIPT} --resume {folder} --device cpu --precision tf32"
        assert f"To go on: {command}" in " ".join(text.split())
        assert command_for(folder / "plain-14-seed0") == command
        assert run("--resume", folder)[0] == 0
        whole = toy[0] / "ResNet-14-seed0" / "checkpoint.safetensors"
        resumed = folder / "ResNet-14-seed0" / "checkpoint.safetensors"
        assert arrays(whole) == arrays(resumed)


STOPPED_AT_ONCE = """
import runpy, sys
import minires.data

def load(*a, load=minires.data.load, **k):
    minires.data.load = load
    raise KeyboardInterrupt

minires.data.load = load
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_ctrl_c_while_the_data_is_loaded_leaves_a_command_that_works(tmp_path):
    folder = tmp_path / "stopped"
    done = subprocess.run(
        [sys.executable, "-c", STOPPED_AT_ONCE, SCRIPT, *TOY, "--out", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 130, done.stdout + done.stderr
    assert f"To go on: python {SCRIPT} --resume {folder}" in done.stdout
    assert command_for(folder) == f"python {SCRIPT} --resume {folder}"
    assert Options.load(folder).depths == [8, 14]


def arrays(path):
    from safetensors.numpy import load_file

    return {name: array.tobytes() for name, array in load_file(path).items()}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--depths", "21"), "depth must be 6n + 2"),
        (("--depths", "20;56"), "takes whole numbers separated by commas"),
        (("--preset", "fast"), "is not one of"),
        (("--device", "tpu"), "is not one of"),
        (("--data", "imagenet"), "is not one of"),
        (("--seeds", "0"), "greater than or equal to 1"),
        (("--seed", "-1"), "greater than or equal to 0"),
        (("--resume", "nowhere"), "--resume takes the folder of earlier results"),
        (("--data", "builtin", "--depths", ""), "takes whole numbers"),
        (("--data-dir", "nowhere"), "not there"),
        (("--resume", "run[b]s"), "there is no run[b]s/options.json"),
    ],
)
def test_a_wrong_option_gets_a_sentence(arguments, sentence, tmp_path):
    code, text = run("--data", "builtin", "--out", tmp_path / "out", *arguments)
    assert code != 0
    assert sentence in " ".join(text.replace("│", " ").split())
    assert "Traceback" not in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("{", "not valid JSON"), ("[]", "not hold the options"), ("{}", "not hold the options")],
)
def test_damaged_options_get_a_sentence(text, sentence, tmp_path):
    (tmp_path / "options.json").write_text(text)
    code, told = run("--resume", tmp_path)
    assert code == 1
    assert sentence in " ".join(told.split())
    assert "Traceback" not in told


LITTLE = """
import dataclasses, runpy, sys
from contextlib import nullcontext
from minires.training import PRESETS
from tests.device import quick_gpu

toy = PRESETS["toy"]
little = {"iterations": 4, "batch_size": 2, "evaluate_every": 4, "test_images": 2}
PRESETS["toy"] = lambda *a: dataclasses.replace(toy(*a), **little)
device, folder = sys.argv[1:]
sys.argv = ["script", "--preset", "toy", "--data", "builtin", "--depths", "8"]
sys.argv += ["--device", device, "--out", folder]
with quick_gpu() if device == "cuda" else nullcontext():
    runpy.run_path("examples/cifar_plain_vs_resnet.py", run_name="__main__")
"""


@pytest.mark.cuda
def test_the_gpu_gives_the_losses_of_the_cpu(tmp_path):
    """The script as it is, on the stand-in or a GPU, for four iterations of two images."""
    losses = {}
    for device in ("cpu", "cuda"):
        folder = tmp_path / device
        done = subprocess.run(
            [sys.executable, "-c", LITTLE, device, str(folder)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("Device: cuda" in done.stdout) == (device == "cuda")
        lines = [
            json.loads(line)
            for path in sorted(folder.glob("*/records.jsonl"))
            for line in path.read_text().splitlines()
        ]
        losses[device] = [line["loss"] for line in lines if "loss" in line]
    assert len(losses["cpu"]) == 6
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-5)
