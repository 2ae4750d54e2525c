"""The benchmark of a GPU: that it runs, on the stand-in, whose times mean nothing."""

import json
import os
import subprocess
import sys

import pytest

from tests.benchmarks import BENCHMARKS
from tests.device import is_real

LITTLE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import gpu as script
from tests.device import gpu as stand_in

script.STAGES = ((4, 4),)
script.WARM_UP = 1
step = script.our_step
script.our_step = lambda depth, images, labels: step(depth, images[:, :8, :8], labels)
with stand_in():
    script.typer.run(script.main)
"""


def run(*arguments):
    return subprocess.run(
        arguments, capture_output=True, text=True, env=os.environ | {"COLUMNS": "150"}, check=False
    )


@pytest.mark.cuda
def test_it_times_steps_and_kernels(tmp_path):
    file = tmp_path / "rows.json"
    options = ("--depths", "8", "--batch", "2", "--repeats", "3", "--json", file)
    done = run(sys.executable, "-c", LITTLE, BENCHMARKS, *map(str, options))
    assert done.returncode == 0, done.stderr
    assert "ResNet-8, batch 2" in done.stdout
    rows = json.loads(file.read_text())["rows"]
    assert len(rows) >= 6
    assert all(row["ms"] > 0 for row in rows if "kernel" in row)


@pytest.mark.skipif(is_real(), reason="there is a GPU")
def test_without_a_gpu_it_says_so():
    done = run(sys.executable, BENCHMARKS / "gpu.py")
    assert done.returncode == 2
    assert "can't be used" in " ".join(done.stderr.split())
