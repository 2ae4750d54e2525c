"""Several ranks, as mpiexec starts them: never pytest inside ranks, always with a time limit."""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minires.training import run_all
from tests.distributed import job
from tests.training.small import ROOT, files_arrays, records, same

MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        MPIEXEC is None or importlib.util.find_spec("mpi4py") is None,
        reason="several ranks need mpi4py and mpiexec: pip install mpi4py mpich",
    ),
]


@pytest.fixture(autouse=True)
def _no_orphans(tmp_path):
    """Whatever happens to ranks, none of them is left."""
    yield
    deadline = time.monotonic() + 5
    while left := [command for command in commands() if str(tmp_path) in command]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def commands():
    """The command lines of all processes, where the system tells them."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            yield path.read_bytes().decode(errors="replace").replace("\0", " ")


def start(ranks, *command, **settings):
    """Exit status and output of so many ranks of a Python program; 0: without a launcher."""
    settings = {"MPIEXEC_TIMEOUT": str(job.LIMIT), "OMPI_ALLOW_RUN_AS_ROOT": "1"} | settings
    settings |= {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "COLUMNS": "100", "NO_COLOR": "1"}
    settings |= {"PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}
    launcher = [MPIEXEC, "-n", str(ranks)] if ranks else []
    done = subprocess.run(
        [*launcher, sys.executable, *map(str, command)],
        cwd=ROOT,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def run(ranks, name, folder, **settings):
    return start(ranks, "-m", "tests.distributed.job", name, folder, **settings)


def drill(name, folder, **settings):
    """A run in which rank 1 does harm, without Numba: it starts sooner."""
    return run(2, name, folder, MINIRES_KERNELS="reference", **settings)


def test_a_world_of_four(tmp_path):
    code, text = run(4, "calls", tmp_path)
    assert code == 0, text
    assert text.count("is right") == 4


def test_shards_have_the_same_bits_on_1_2_and_4_ranks_stopped_and_resumed_between(tmp_path):
    job.whole(tmp_path / "whole")
    code, text = run(4, "stopped", tmp_path / "parts")
    assert code == 0, text
    for rank in range(4):  # lines of several ranks may be interleaved, but none is lost
        assert f"rank {rank} stopped after 3" in text
    code, text = run(2, "whole", tmp_path / "parts")
    assert code == 0, text
    same_runs(tmp_path / "whole", tmp_path / "parts")
    assert not (tmp_path / "parts" / "elsewhere").exists()


def same_runs(one, other):
    assert same(files_arrays(one), files_arrays(other))
    assert records(one) == records(other)


def test_ranks_that_are_asked_to_stop_at_any_moment_stop_after_the_same_step(tmp_path):
    job.sharded(tmp_path / "whole", **job.OFTEN).finish()
    code, text = run(2, "often", tmp_path / "parts")
    assert code == 0, text
    assert int(re.findall(r"rank 1 was stopped (\d+) times", text)[0]) > 1, text
    same_runs(tmp_path / "whole", tmp_path / "parts")


def test_a_damaged_checkpoint_ends_all_ranks_with_one_sentence(tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"damaged")
    code, text = run(2, "whole", tmp_path, MINIRES_KERNELS="reference")
    assert code not in (0, 255), text
    assert text.count("ValueError: ") == 1, text
    assert "is not a whole safetensors file" in text


def test_a_launcher_of_another_mpi_gets_a_sentence(tmp_path):
    """Such as srun, whose processes then are N times rank 0 of 1."""
    settings = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"}
    code, text = run(0, "whole", tmp_path, **settings)
    assert code == 1
    assert "the launcher says that there are 2 processes, but mpi4py's MPI (" in text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["dealt", "side_by_side"])
def test_dealt_runs_are_those_of_one_process(name, tmp_path):
    run_all(job.runs(tmp_path / "alone"))
    code, text = run(2, name, tmp_path / "ranks")
    compiling = [line for line in text.splitlines() if line.startswith("minires: compiling")]
    assert (code, text.splitlines()) == (0, compiling[:1])
    for seed in range(3):
        alone, dealt = (tmp_path / name / f"run{seed}" for name in ("alone", "ranks"))
        same_runs(alone, dealt)


def test_a_dealt_run_that_diverges_is_told_and_the_others_are_finished(tmp_path):
    code, text = run(2, "dealt", tmp_path / "diverging", MINIRES_KERNELS="reference")
    assert code == 1
    assert text.count("DivergedError: net-8: the loss is nan at iteration 0") == 1
    for seed in range(2):
        assert records(tmp_path / "diverging" / f"run{seed}")[-1]["step"] == 4


def test_dealt_runs_that_are_stopped_stop_all_of_a_rank(tmp_path):
    code, text = run(2, "stopped_dealt", tmp_path, MINIRES_KERNELS="reference")
    assert code == 0, text
    assert text.count("net-8: stopped after 1 of 4 iterations") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run0", "run1"]


@pytest.mark.parametrize(
    ("name", "sentence", "step"),
    [
        ("fail", "RuntimeError: planted\nminires: rank 1 of 2 has failed", 2),
        ("exit", "rank 1 has ended, but rank 0 waits for it in the sum of gradients", 2),
        ("killed", "", 2),
        ("drift", "rank 1 and rank 0 differ in the state of the network", 2),
        ("diverge", "DivergedError: net-8: the loss is nan at iteration 3", 2),
        ("shapes", "rank 1 and rank 0 differ in what is trained", 0),
    ],
)
def test_harm_done_to_one_rank_ends_all_and_the_checkpoint_goes_on(name, sentence, step, tmp_path):
    code, text = drill(name, tmp_path)
    ended = time.time()
    assert code not in (0, 255), text
    assert text.count(sentence) == 1 or not sentence, text
    assert text.count("Traceback") == (name not in ("exit", "killed"))
    if name != "shapes":  # which is found before the first step
        assert ended - (tmp_path / job.HARM_DONE).stat().st_mtime < 10
    saved = tmp_path / "checkpoint.safetensors"
    assert saved.exists() == bool(step)
    if step:
        resumed = job.trainer(tmp_path, **job.HARMED)
        resumed.resume()
        assert resumed.step == step
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_rank_that_hangs_is_named_and_all_are_ended(tmp_path):
    code, text = drill("hang", tmp_path, MINIRES_TIMEOUT="4")
    assert code not in (0, 255), text  # 255 is what mpiexec's own time limit leaves
    assert text.count("s in the sum of gradients: rank 1 is busy") == 1, text
    assert "minires: a call took more than 4 s (MINIRES_TIMEOUT)" in text


def files_in(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*"))


def test_the_main_job_prints_and_writes_once(tmp_path):
    script = "examples/cifar_plain_vs_resnet.py"
    options = ("--preset", "toy", "--data", "builtin", "--depths", "8", "--out", tmp_path / "out")
    code, text = start(2, script, *options, "--shards", 2)
    assert code == 0, text
    assert text.count("Data: built-in") == text.count("Report, to open") == 1
    assert "Ranks 0 to 1: plain-8-seed0, ResNet-8-seed0." in text
    config = json.loads((tmp_path / "out/plain-8-seed0/config.json").read_text())
    assert config["recipe"]["shards"] == 2
    assert config["made with"]["ranks"].startswith("2, ")
    code, text = start(0, script, *options[:-1], tmp_path / "alone", "--shards", 2)
    assert code == 0, text
    out, alone = tmp_path / "out", tmp_path / "alone"
    assert files_in(out) == files_in(alone)
    for name in ("plain-8-seed0", "ResNet-8-seed0"):
        same_runs(out / name, alone / name)
    code, text = start(2, script, *options)
    assert code == 1
    assert " ".join(text.split()).count("already holds something") == 1
    assert "Traceback" not in text


def test_an_experiment_trains_its_last_network_on_one_rank(tmp_path):
    code, text = run(2, "experiment", tmp_path)
    assert code == 0, text
    assert "rank 0 has 2 findings" in text
    assert "rank 1 has 1 findings" in text


@pytest.mark.parametrize(
    ("script", "options", "once"),
    [
        (
            "table6",
            ("--networks", "plain-8,ResNet-8", "--iterations", 2, "--data", "builtin"),
            ("Data: built-in", "| ResNet-8 |", "Report: "),
        ),
        ("detection_resnet_vs_vgg", ("--preset", "toy"), ("one seed says little", "Report: ")),
    ],
)
def test_scripts_deal_their_networks_and_print_once(script, options, once, tmp_path):
    code, text = start(2, f"examples/{script}.py", *options, "--out", tmp_path)
    assert code == 0, text
    for sentence in once:
        assert text.count(sentence) == 1, text
    assert len(list(tmp_path.glob("*/checkpoint.safetensors"))) == 2
