"""How long the main job takes, as a whole process: start, data, training, report and pictures.

python benchmarks/main_job.py [--preset quick] [--data auto] [--data-dir FOLDER] [--repeats 1]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from tables import ALL_CORES, machine

SCRIPT = Path(__file__).parents[1] / "examples" / "cifar_plain_vs_resnet.py"


def seconds(options: list[str]) -> float:
    """One run in a process of its own, into a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        command = [sys.executable, str(SCRIPT), *options, "--out", f"{folder}/run"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - begun


def main(
    preset: Annotated[str, typer.Option(help="of the main job")] = "quick",
    data: Annotated[str, typer.Option(help="auto, cifar10 or builtin")] = "auto",
    data_dir: Annotated[Path | None, typer.Option(help="folder that holds CIFAR-10")] = None,
    repeats: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Print the median of several runs."""
    folder = [] if data_dir is None else ["--data-dir", str(data_dir)]
    options = ["--preset", preset, "--data", data, *folder]
    times = [seconds(options) for _ in range(repeats)]
    print(f"{machine(ALL_CORES)}: {preset}, {data}: {statistics.median(times):.0f} s")


if __name__ == "__main__":
    typer.run(main)
