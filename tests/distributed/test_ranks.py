"""Several ranks, as mpiexec starts them: never pytest inside ranks, always with a time limit."""

import importlib.util
import json
import os
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


def start(ranks, *command, **settings):
    """Exit status and output of so many ranks of a Python program."""
    settings = {"MPIEXEC_TIMEOUT": str(job.LIMIT), "OMPI_ALLOW_RUN_AS_ROOT": "1"} | settings
    settings |= {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "COLUMNS": "100", "NO_COLOR": "1"}
    settings |= {"PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}
    done = subprocess.run(
        [MPIEXEC, "-n", str(ranks), sys.executable, *map(str, command)],
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
    assert same(files_arrays(tmp_path / "whole"), files_arrays(tmp_path / "parts"))
    assert records(tmp_path / "whole") == records(tmp_path / "parts")


@pytest.mark.parametrize("name", ["dealt", "side_by_side"])
def test_dealt_runs_are_those_of_one_process(name, tmp_path):
    run_all(job.runs(tmp_path / "alone"))
    code, text = run(2, name, tmp_path / "ranks")
    compiling = [line for line in text.splitlines() if line.startswith("minires: compiling")]
    assert (code, text.splitlines()) == (0, compiling[:1])
    for seed in range(3):
        alone, dealt = (tmp_path / name / f"run{seed}" for name in ("alone", "ranks"))
        assert same(files_arrays(alone), files_arrays(dealt))
        assert records(alone) == records(dealt)


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
    code, text = start(2, script, *options)
    assert code == 1
    assert " ".join(text.split()).count("already holds something") == 1
    assert "Traceback" not in text
