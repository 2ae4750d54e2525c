"""Why is it fast? Climb from the definition of a kernel to a fast one, one idea at a time.

    python examples/ladder.py conv           a convolution, in six rungs
    python examples/ladder.py batch_norm     batch norm with ReLU, in three
    python examples/ladder.py cuda           a convolution on a GPU; its bytes need none
    python examples/ladder.py all

Each rung, a file of `kernels/ladder/`, is checked against the reference and timed, then shown
beside what this machine can do at most, in a table and in a picture. The last point is the kernel
that training uses. `--size 32x32x32x16` takes other images: their number, height, width, channels.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from minires.kernels import devices, reference
from minires.kernels.ladder import BATCH_NORMS, CONVOLUTIONS, Rung
from minires.kernels.ladder.cuda import CUDA, CudaRung
from rich.console import Console
from rich.table import Table

from minires import kernels
from minires.analysis.roofline import Ceilings, Point, draw_roofline, draw_traffic
from minires.common.json_files import write_json
from minires.common.output import errors_as_sentences
from minires.common.pictures import save
from minires.environment import available_cores, processor

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]  # which measure ceilings and count bytes

UNIT = 2.0**-24  # rounding of float32
EPS = 1e-3
REPEATS, SECONDS = 15, 20.0
PER_NUMBER = (
    8  # operations of batch norm with ReLU: 1 for the mean, 3 the variance, 3 y, 1 the ReLU
)
SECTOR, PASS = (
    32,
    128,
)  # bytes of a sector of global memory, of a pass over the banks of shared memory
SIZES = {"conv": (32, 32, 32, 64), "batch_norm": (128, 32, 32, 64), "cuda": (32, 32, 32, 64)}
COUNTED = (1, 8, 8, 32)  # size of what the emulator runs: bytes for each multiply-add hardly change
ENGINE = "the engine's own"
SOURCES = {
    "conv": "Goto & van de Geijn 2008; Lavin & Gray 2015; Williams et al. 2009 (the roofline)",
    "batch_norm": "Chan, Golub & LeVeque 1983; Williams et al. 2009 (the roofline)",
    "cuda": "Volkov & Demmel 2008, for registers in the place of shared memory",
}
HEADINGS = "ms", "times as fast", "GFLOP/s", "of peak", "MB", "GB/s", "of copy", "of roof"
CAPTION = (
    "peak: {0.gflops:.0f} GFLOP/s, a large matrix product; copy: {0.gbs:.1f} GB/s, a large array.\n"
    "Operations are the definition's: Winograd does with fewer, and may come above the roof."
)
Name = Enum("Name", {name: name for name in (*SIZES, "all")}, type=str)
console = Console(width=None if sys.stdout.isatty() else 120)


@dataclass(frozen=True)
class Climb:
    """What was measured: rows for the table, sentences, and a picture."""

    title: str
    table: Table
    found: list[str]
    figure: Any


def main(
    name: Annotated[Name, typer.Argument(help="of the ladder")] = Name["conv"],
    size: Annotated[str, typer.Option(help="of x, such as 32x32x32x64 (N x H x W x C)")] = "",
    filters: Annotated[int, typer.Option(min=0, help="of a convolution; as many as C")] = 0,
    out: Annotated[Path, typer.Option(help="folder of the pictures")] = Path("runs/ladder"),
) -> None:
    """Check, time and draw every rung of a ladder."""
    wanted = parse(size) if size else None
    for chosen in SIZES if name.value == "all" else [name.value]:
        climb(chosen, wanted or SIZES[chosen], filters, out)


def parse(size: str) -> tuple[int, ...]:
    """The four sizes of images."""
    parts = size.split("x")
    if len(parts) != 4 or not all(part.isdigit() and int(part) for part in parts):
        raise ValueError(
            f"--size is N x H x W x C, four numbers such as 32x32x32x64, but is {size!r}"
        )
    return tuple(map(int, parts))


def climb(name: str, shape: tuple[int, ...], filters: int, out: Path) -> Path:
    """Measure one ladder, print it, and write its picture and its sentences."""
    started = time.perf_counter()
    with console.status("measuring"):
        result = {"conv": convolutions, "batch_norm": batch_norms, "cuda": on_gpu}[name](
            shape, filters or shape[3]
        )
    picture = save(result.figure, picture_of(name, out))
    words = {"title": result.title, "source": SOURCES[name], "found": result.found}
    write_json(picture.with_suffix(".json"), words)
    console.print(result.table)
    for sentence in result.found:
        say(f"- {sentence}")
    say(f"\nSource: {SOURCES[name]}")
    say(f"Picture: {picture} ({time.perf_counter() - started:.0f} s)\n")
    return picture


def picture_of(name: str, folder: Path) -> Path:
    """Where a ladder's picture lies."""
    return folder / f"ladder-{name.replace('_', '-')}.png"


def say(text: str) -> None:
    """Text as it is: brackets are no markup, numbers are not coloured."""
    console.print(text, markup=False, highlight=False)


# ------------------------------------------------------------------------ on the processor


def convolutions(shape: tuple[int, ...], filters: int) -> Climb:
    """3 x 3 at stride 1 with padding 1."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape, np.float32)
    weight = rng.standard_normal((3, 3, shape[3], filters), np.float32)
    wide = x[:2].astype(np.float64), weight.astype(np.float64)
    right = reference.conv2d(*wide, padding=1)
    bound = UNIT * (9 * shape[3] + 2) * reference.conv2d(*map(np.abs, wide), padding=1)

    works = [partial(rung.kernel(), x, weight) for rung in CONVOLUTIONS]
    for rung, work in zip(CONVOLUTIONS, works, strict=True):
        allowed = 12 * bound.max() if rung.name == "Winograd" else bound
        demand(np.abs(work()[:2] - right) <= allowed, rung)
    works.append(partial(kernels.conv2d, x, weight, padding=1))
    works[-1]()
    title = f"3 x 3 convolution of {words_of(shape)}, {filters} filters"
    moved = [rung.bytes(shape, filters) for rung in (*CONVOLUTIONS, CONVOLUTIONS[0])]
    return climbed(title, CONVOLUTIONS, works, 2 * 9 * x.size * filters, moved)


def batch_norms(shape: tuple[int, ...], _: int) -> Climb:
    """The training's forward pass."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape, np.float32)
    gamma, beta = rng.standard_normal((2, shape[3]), np.float32)
    wide = (array.astype(np.float64) for array in (x, gamma, beta))
    right = reference.batch_norm(*wide, eps=EPS, relu=True)[0]
    bound = UNIT * (x[..., 0].size + 12) * (np.abs(x).max() * np.abs(gamma) + np.abs(beta))
    works = [partial(rung.kernel(), x, gamma, beta, eps=EPS) for rung in BATCH_NORMS]
    for rung, work in zip(BATCH_NORMS, works, strict=True):
        demand(np.abs(work()[0] - right) <= bound, rung)
    works.append(partial(kernels.batch_norm, x, gamma, beta, eps=EPS, relu=True))
    works[-1]()
    moved = [rung.bytes(shape, 0) for rung in (*BATCH_NORMS, BATCH_NORMS[-1])]
    title = f"Batch norm with ReLU of {words_of(shape)}"
    return climbed(title, BATCH_NORMS, works, PER_NUMBER * x.size, moved)


def demand(good: np.ndarray, rung: Rung | CudaRung) -> None:
    """Stop where a rung is wrong."""
    if not good.all():
        raise ValueError(
            f"{rung.file} is wrong at {(~good).sum()} of {good.size} values: it differs from "
            "kernels/reference.py by more than rounding does"
        )


def medians(works: list[Callable[[], Any]]) -> list[float]:
    """Seconds of a call of each: they take turns, so that what slows one slows all.

    There are REPEATS turns, or as many as SECONDS allow, but at least three.
    """
    rounds: list[list[float]] = []
    while len(rounds) < REPEATS and (len(rounds) < 3 or np.sum(rounds) < SECONDS):
        rounds.append([seconds_of(work) for work in works])
    return np.median(rounds, axis=0).tolist()


def seconds_of(work: Callable[[], Any]) -> float:
    """Of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measured_ceilings() -> Ceilings:
    """A large matrix product and a large copy, as in benchmarks/roofline.py."""
    from roofline import ceilings

    found = ceilings(len(available_cores()), 3, 5.0)
    return Ceilings(found["sgemm_gflops"], found["copy_gbs"])


def climbed(
    title: str,
    rungs: tuple[Rung, ...],
    works: list[Callable[[], Any]],
    operations: int,
    moved: list[int],
) -> Climb:
    """Table, sentences and picture of rungs, and of the engine's own kernel behind them."""
    names = [*(rung.name for rung in rungs), ENGINE]
    points = [
        Point(name, operations, count, seconds)
        for name, count, seconds in zip(names, moved, medians(works), strict=True)
    ]
    ceilings = measured_ceilings()
    cores = f"{processor()}, {len(available_cores())} cores"
    found = [f"{title}, float32; {cores}.", *sentences(points, ceilings)]
    figure = draw_roofline(title, ceilings, points)
    return Climb(title, table(title, points, ceilings), found, figure)


def table(title: str, points: list[Point], ceilings: Ceilings) -> Table:
    """A line a rung, beside the ceilings."""
    made = Table(title=title, caption=CAPTION.format(ceilings))
    made.add_column("rung")
    for heading in HEADINGS:
        made.add_column(heading, justify="right")
    before = points[0]
    for number, point in enumerate(points, 1):
        made.add_row(
            ENGINE if point is points[-1] else f"{number} {point.name}",
            f"{1e3 * point.seconds:.3g}",
            "" if point is points[0] else f"{before.seconds / point.seconds:.2f}",
            f"{point.gflops:.3g}",
            f"{point.gflops / ceilings.gflops:.0%}",
            f"{point.bytes / 1e6:.1f}",
            f"{point.gbs:.2g}",
            f"{point.gbs / ceilings.gbs:.0%}",
            f"{point.gflops / ceilings.roof(point.intensity):.0%}",
        )
        before = point
    return made


def sentences(points: list[Point], ceilings: Ceilings) -> Iterator[str]:
    """What each rung brought."""
    first = points[0]
    roof = f"the ceilings are {ceilings.gflops:.0f} GFLOP/s and {ceilings.gbs:.1f} GB/s"
    yield f"{first.name}: {1e3 * first.seconds:.3g} ms, {first.gflops:.3g} GFLOP/s; {roof}."
    for before, point in itertools.pairwise(points):
        ratio = before.seconds / point.seconds
        gain = f"{ratio:.1f} times as fast" if ratio >= 1.05 else f"does not pay here ({ratio:.2f})"
        moved = point.bytes / before.bytes
        less = "" if 0.9 < moved < 1.1 else f", {moved:.2g} times the bytes"
        rates = f"{point.gflops:.3g} GFLOP/s, {point.gbs:.2g} GB/s"
        yield f"{point.name}: {gain}{less}: {1e3 * point.seconds:.3g} ms, {rates}."


def words_of(shape: tuple[int, ...]) -> str:
    """A batch in words."""
    images, height, width, channels = shape
    return f"{images} images of {height} x {width}, {channels} channels"


# ------------------------------------------------------------------------ on a GPU


def on_gpu(shape: tuple[int, ...], filters: int) -> Climb:
    """Bytes as the emulator counts them, and times, where there is a GPU."""
    names, counts = [rung.name for rung in CUDA] + [ENGINE], list(counted())
    moved = {
        "global memory": [count[0] for count in counts],
        "shared memory": [count[1] for count in counts],
    }
    seconds = times_on_gpu(shape, filters) if not devices.why_no_cuda() else None
    title = "A convolution on a GPU: bytes for each multiply-add"
    made = Table(title=title)
    made.add_column("rung")
    for heading in (*moved, *(("ms", "GFLOP/s") if seconds else ())):
        made.add_column(heading, justify="right")
    operations = 2 * 9 * int(np.prod(shape)) * filters
    found = ["Counted by the emulator: sectors of global memory, passes over shared memory."]
    for i, name in enumerate(names):
        cells = [f"{values[i]:.3g}" for values in moved.values()]
        timed = (
            [f"{1e3 * seconds[i]:.3g}", f"{operations / seconds[i] / 1e9:.3g}"] if seconds else []
        )
        made.add_row(name, *cells, *timed)
        text = f"{name}: {cells[0]} bytes of global memory, {cells[1]} of shared memory"
        found.append(text + (f"; {timed[0]} ms, {timed[1]} GFLOP/s." if timed else "."))
    if not seconds:
        made.caption = f"no times: {devices.why_no_cuda()}"
    return Climb(title, made, found, draw_traffic(title, names, moved))


def counted() -> Iterator[tuple[float, float]]:
    """Bytes of global and shared memory for each multiply-add, of every rung and the engine."""
    from tests.cuda import fake_cupy
    from tests.cuda.traffic import by_kernel, recorded

    rng, filters = np.random.default_rng(0), 64
    x = rng.standard_normal(COUNTED, np.float32)
    weight = rng.standard_normal((3, 3, COUNTED[3], filters), np.float32)
    right = reference.conv2d(x, weight, padding=1)
    for rung in (*CUDA, None):
        with fake_cupy.installed("check") as cupy, recorded() as report:
            arrays = cupy.asarray(x), cupy.asarray(weight)
            y = rung.conv2d(cupy, *arrays) if rung else kernels.conv2d(*arrays, padding=1)
            if rung:
                demand(np.abs(y.get() - right) <= 1e-5 * np.abs(right).max(), rung)
        moved = {"read": 0, "write": 0, "shared": 0}
        for (_, kind), line in by_kernel(report).items():
            moved[kind] += line.parts
        products = 9 * x.size * filters
        yield (
            SECTOR * (moved["read"] + moved["write"]) / products,
            PASS * moved["shared"] / products,
        )


def times_on_gpu(shape: tuple[int, ...], filters: int) -> list[float]:
    """Seconds of every rung and of the engine's own kernel."""
    from gpu_clock import gpu_milliseconds

    cupy, rng = devices.cupy(), np.random.default_rng(0)
    x = cupy.asarray(rng.standard_normal(shape, np.float32))
    weight = cupy.asarray(rng.standard_normal((3, 3, shape[3], filters), np.float32))
    steps = [partial(rung.conv2d, cupy, x, weight) for rung in CUDA]
    steps.append(partial(kernels.conv2d, x, weight, padding=1))
    return [gpu_milliseconds(step) / 1e3 for step in steps]


def run() -> None:
    """Turn expected failures into one sentence each."""
    try:
        with errors_as_sentences(RuntimeError):
            typer.run(main)
    except KeyboardInterrupt:
        console.print("\nStopped.")
        raise SystemExit(130) from None


if __name__ == "__main__":
    sys.exit(run())
