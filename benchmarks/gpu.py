"""minires beside PyTorch on an NVIDIA GPU: training steps, launches, and every kernel.

    python benchmarks/gpu.py [--networks ResNet-20,ResNet-50] [--only steps|kernels] [--seconds 180]
                             [--compile default] [--json FILE] [--write docs/cuda.md]
    python benchmarks/gpu.py --from FILE --write docs/cuda.md

Each network in each precision: minires eager and replayed as a CUDA graph (`minires.graph`), and
PyTorch the same two ways, take turns in one process (gpu_steps.py, gpu_clock.py). PyTorch has
channels last, and cuDNN chooses its fastest algorithm. Then the kernels of a step are timed one by
one, beside what the machine can do (gpu_profile.py); last, if asked for, comes torch.compile.

What would begin after `--seconds` is left out. What fails or is left out is named, and stops
nothing else. `--json` keeps everything; `--from` makes the tables of it, on any machine.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
import re
import subprocess
import sys
import time
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import gpu_page
import typer
from gpu_clock import attempt, ceilings, take_turns
from gpu_profile import profile
from gpu_steps import (
    OUR_PRECISIONS,
    OURS,
    PRECISIONS,
    THEIRS,
    Network,
    Step,
    Way,
    each,
    forget_caches,
    network,
    prepare,
    why_no_torch,
)
from minires.kernels import devices

Record = dict[str, Any]
NETWORKS = "ResNet-20,ResNet-50,ResNet-56,ResNet-18,ResNet-110"  # those of the profiles first
PROFILED = ("ResNet-20", "ResNet-50")  # whose kernels are timed where time is short
PARTS = ("steps", "kernels")
Part = Enum("Part", {name: name for name in PARTS}, type=str)
FOR_PROFILES = 0.25  # of the time is kept for what comes after the turns
PACKAGES = {  # names of distributions
    "minires": ("minires-dl",),
    "NumPy": ("numpy",),
    "CuPy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
    "PyTorch": ("torch",),
    "torchvision": ("torchvision",),
}


class Measurement:
    """Collects what was measured, and sentences about what was not."""

    def __init__(
        self, networks: list[Network], rounds: int, seconds: float, file: Path | None
    ) -> None:
        self.networks, self.rounds, self.seconds, self.file = networks, rounds, seconds, file
        self.started, self.facts = time.perf_counter(), facts()
        self.with_torch = not why_no_torch()
        self.steps: list[Record] = []
        self.profiles: list[Record] = []
        self.ceilings: dict[str, float] = {}
        self.missing: list[str] = []
        self.late: list[str] = []

    def say(self, sentence: str) -> None:
        """Note what could not be measured."""
        self.missing.append(sentence)
        self.tell(sentence)

    def tell(self, text: str) -> None:
        """Where the work is, on standard error."""
        print(f"{time.perf_counter() - self.started:6.1f} s  {text}", file=sys.stderr, flush=True)

    def is_time_for(self, what: str, share: float = 1.0) -> bool:
        """Whether a share of the time has not yet gone; notes what is left out."""
        if time.perf_counter() - self.started < share * self.seconds:
            self.tell(what)
            return True
        self.late.append(what)
        return False

    def run(self, parts: tuple[str, ...], compile_mode: str) -> None:
        """Some parts or all, in the order in which they matter."""
        if reason := why_no_torch():
            self.say(f"{reason}; kernels' times come through it too, so own launches are counted")
        missing = [p for p in PRECISIONS if p not in OUR_PRECISIONS]
        if missing:
            have = " and ".join(OUR_PRECISIONS)
            self.say(f"minires in {' and '.join(missing)}: it has {have} alone")
        self.ceilings = ceilings(self.say)
        if "steps" in parts:
            self.take_turns(1 - FOR_PROFILES if "kernels" in parts else 1)
        if "kernels" in parts:
            for this in sorted(self.networks, key=lambda n: n.name not in PROFILED):
                self.profile(this)
        if compile_mode and self.with_torch:
            self.compile(compile_mode)
        if self.late:
            self.say(f"left out, as the time was up: {'; '.join(self.late)}")
        self.keep()

    def take_turns(self, share: float) -> None:
        """All networks in all precisions, as long as a share of the time lasts."""
        for this, group in each(self.networks, self.with_torch):
            what = f"{this.name} in {group[0].precision}"
            if self.is_time_for(what, share):
                self.time(what, this, group)

    def time(self, what: str, this: Network, group: list[Way], compile_mode: str = "") -> None:
        """A network's ways of one precision, taking turns."""
        steps: dict[Way, Step] = {}

        def add(way: Way) -> None:
            steps[way] = prepare(way, this, compile_mode)

        for way in group:
            attempt(f"{this.name}, {way}", self.say, add, way)
        rows = take_turns(steps, self.rounds, lambda text: self.say(f"{this.name}, {text}"))

        for way, row in rows.items():
            row |= {"network": this.name, "batch": this.batch, "classes": this.classes}
            row |= way._asdict()
        self.steps += rows.values()
        steps.clear()
        attempt(what, self.say, forget_caches)
        self.keep()

    def profile(self, this: Network) -> None:
        """Kernels of eager steps: a graph replays the same ones."""

        def add(way: Way) -> None:
            self.profiles.append(profile(way, this))

        ours = [Way(OURS, "eager", p) for p in OUR_PRECISIONS]
        theirs = [Way(THEIRS, "eager", p) for p in PRECISIONS] if self.with_torch else []
        for way in ours + theirs:
            what = f"kernels of {this.name}, {way}"
            if self.is_time_for(what):
                attempt(what, self.say, add, way)
                attempt(what, self.say, forget_caches)
                self.keep()

    def compile(self, mode: str) -> None:
        """torch.compile takes a minute for some networks before the first step."""
        for this in self.networks:
            for precision in PRECISIONS:
                what = f"{this.name} in {precision}, torch.compile"
                if self.is_time_for(what):
                    self.time(what, this, [Way(THEIRS, "compile", precision)], mode)

    def record(self) -> Record:
        parts = ("facts", "steps", "profiles", "ceilings", "missing")
        return {name: getattr(self, name) for name in parts}

    def keep(self) -> None:
        """Write what there is: a driver that breaks down later takes nothing of it away."""
        if self.file:
            self.file.write_text(json.dumps(self.record(), indent=1) + "\n", encoding="utf-8")


# ------------------------------------------------------------------- what it was measured on


def facts() -> Record:
    """Card, driver, date, versions: what one must know to read the figures."""
    cuda = devices.cupy().cuda.runtime
    return {
        "card": cuda.getDeviceProperties(0)["name"].decode(),
        "driver": driver(),
        "cuda": readable(cuda.runtimeGetVersion()),
        "date": datetime.date.today().isoformat(),
        "versions": {"Python": platform.python_version()} | versions(),
        "commit": output("git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"),
    }


def driver() -> str:
    query = ("--query-gpu=driver_version", "--format=csv,noheader")
    return (output("nvidia-smi", *query).splitlines() or ["unknown"])[0]


def output(*command: str) -> str:
    """What a program prints; nothing where it is missing or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def readable(version: int) -> str:
    """13000 is 13.0."""
    return f"{version // 1000}.{version % 1000 // 10}"


def versions() -> dict[str, str]:
    """Of what takes part, as far as it is installed."""
    found = {}
    for name, distributions in PACKAGES.items():
        for distribution in distributions:
            try:
                found.setdefault(name, importlib.metadata.version(distribution))
            except importlib.metadata.PackageNotFoundError:
                continue
    return found


# ------------------------------------------------------------------- the script


def check(names: str, batch: int, large: int) -> list[Network]:
    """The networks that the options ask for; a wrong one gets a sentence, and so does no GPU."""
    try:
        devices.choose("cuda")
        return [network(name, batch, large) for name in re.split(r"[, ]+", names.strip())]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def read(path: Path) -> Record:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        gpu_page.page(record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"{path} is no file of --json: {type(error).__name__}: {error}"
        raise typer.BadParameter(problem) from None
    return record


def main(
    networks: Annotated[str, typer.Option(help="ResNet-D, separated by commas")] = NETWORKS,
    batch: Annotated[int, typer.Option(min=2, help="images of 32 x 32")] = 128,
    large_batch: Annotated[int, typer.Option(min=2, help="images of 224 x 224")] = 64,
    rounds: Annotated[int, typer.Option(min=3, help="turns of each way")] = 7,
    seconds: Annotated[float, typer.Option(min=0, help="after which nothing begins")] = 180,
    only: Annotated[Part | None, typer.Option(help="one part alone")] = None,
    compile_mode: Annotated[
        str, typer.Option("--compile", help="torch.compile as well: default, reduce-overhead, ...")
    ] = "",
    json_file: Annotated[Path | None, typer.Option("--json", help="keep everything here")] = None,
    page: Annotated[Path | None, typer.Option("--write", help="put the tables here")] = None,
    kept: Annotated[Path | None, typer.Option("--from", help="tables of this --json")] = None,
) -> None:
    """Time training steps beside PyTorch's, and every kernel."""
    if kept:
        record = read(kept)
    else:
        chosen = check(networks, batch, large_batch)
        measurement = Measurement(chosen, rounds, seconds, json_file)
        measurement.run((only.value,) if only else PARTS, compile_mode)
        record = measurement.record()
    print(gpu_page.page(record))
    if page:
        try:
            gpu_page.put(page, gpu_page.page(record))
        except (OSError, ValueError) as error:
            raise typer.BadParameter(str(error)) from None


if __name__ == "__main__":
    typer.run(main)
