"""How near each layer of the CIFAR ResNets, by itself, comes to the ceilings of the machine.

    python benchmarks/roofline.py [--batch 128] [--depth 56] [--threads N] [--json FILE]

Two ceilings are measured first, on the same cores: arithmetic, of a large matrix product (NumPy's
or ours, whichever is faster: OpenBLAS does not use AVX-512 on AMD's processors), and the memory
traffic of copying an array far larger than the caches. A layer can't take less time than its
arithmetic under the one and its traffic under the other; "of roof" is that least time over the
measured one, whatever limits it. (Williams et al. 2009.)

Arithmetic is that of the direct convolution. Winograd's algorithm needs less, so such a layer may
exceed the ceiling. Traffic is each array once, which is what any program must move; batch norm
needs more wherever the caches don't hold its input until its statistics are known, and a layer
whose arrays stay in the caches from call to call needs less. Arithmetic of batch norm is not
counted.

Training runs the blocks of two convolutions fused, in less time than their parts: these are the
last lines. Traffic is 7 arrays forward and 13 backward (`kernels/cpu/fused.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.table import Table
from shapes import CIFAR_RESNET, Convolution
from tables import (
    ALL_CORES,
    JsonFile,
    Repeats,
    Rows,
    Seconds,
    Threads,
    console,
    machine,
    new_table,
    write,
)
from turns import Worker, take_turns

SGEMM_SIDE = 3072
COPIED_MIB = 512
STAGES = (32, 16), (16, 32), (8, 64)  # side and channels


class Layer(NamedTuple):
    """One pass through one layer, and how often a step of the network makes it."""

    name: str
    job: dict[str, Any]
    operations: int
    bytes: int
    times: int


def layers(batch: int, depth: int) -> Iterator[Layer]:
    """The parts of a training step, each for itself; training runs them fused, in less time."""
    n = (depth - 2) // 6
    for shape, times in zip(CIFAR_RESNET, (1, 2 * n, 1, 2 * n - 1, 1, 2 * n - 1), strict=True):
        for gradient in shape.gradients():
            job = {"kind": "convolution", "shape": shape, "batch": batch, "gradient": gradient}
            cost = shape.operations(batch), shape.bytes(batch)
            yield Layer(f"{shape.name}, {gradient}", job, *cost, times)
    for side, channels in STAGES:
        for shortcut in (False, True):
            times = n + (side == 32 and not shortcut)
            yield from batch_norms(side, channels, batch, shortcut, times)


def batch_norms(
    side: int, channels: int, batch: int, shortcut: bool, times: int
) -> Iterator[Layer]:
    """Forward: x (and the shortcut) to y. Backward: dy, x, y to dx (and the shortcut's)."""
    job = {"kind": "batch_norm", "side": side, "channels": channels, "batch": batch}
    array = 4 * batch * side**2 * channels
    name = f"batch norm{' + shortcut' * shortcut} + ReLU, {channels} at {side}"
    for backward, arrays in ((False, 2 + shortcut), (True, 4 + shortcut)):
        words = f"{name}, {'backward' if backward else 'forward'}"
        details = {"shortcut": shortcut, "backward": backward}
        yield Layer(words, job | details, 0, arrays * array, times)


def blocks(batch: int, depth: int) -> Iterator[Layer]:
    """Residual blocks of two convolutions, at stride 1, as training runs them."""
    for side, channels in STAGES:
        times = (depth - 2) // 6 - (side < 32)
        array = 4 * batch * side**2 * channels
        operations = 2 * Convolution(side, channels, channels, 3).operations(batch)
        for backward, arrays in ((False, 7), (True, 13)):
            job = {"kind": "block", "side": side, "channels": channels, "batch": batch}
            name = f"block, {channels} at {side}, {'backward' if backward else 'forward'}"
            job |= {"backward": backward}
            yield Layer(name, job, operations * (1 + backward), arrays * array, times)


def ceilings(threads: int, repeats: int, seconds: float) -> dict[str, float]:
    """GFLOP/s of sgemm and GB/s of a copy: reading counts, and so does writing."""
    with Worker("numpy", threads) as worker, Worker("minires", threads) as ours:
        for engine in (worker, ours):
            engine.prepare("sgemm", side=SGEMM_SIDE)
        sgemm = take_turns([worker, ours], repeats, seconds)[0].min()
        worker.prepare("copy", mebibytes=COPIED_MIB)
        copy = take_turns([worker], repeats, seconds)[0].min()
    return {
        "sgemm_gflops": 2 * SGEMM_SIDE**3 / sgemm / 1e6,
        "copy_gbs": 2 * COPIED_MIB * 2**20 / copy / 1e6,
    }


def measure(
    layer: Layer, worker: Worker, ceiling: dict[str, float], repeats: int, seconds: float
) -> dict[str, Any]:
    """A row: the layer's time, its rates, and its share of what the machine can do."""
    worker.prepare(**layer.job)
    times = take_turns([worker], repeats, seconds)[0]
    low, ms, high = np.percentile(times, (25, 50, 75)).tolist()
    gflops, gbs = layer.operations / ms / 1e6, layer.bytes / ms / 1e6
    shares = gflops / ceiling["sgemm_gflops"], gbs / ceiling["copy_gbs"]
    return {
        "work": layer.name,
        "ms": ms,
        "ms_quartiles": [low, high],
        "gflops": gflops,
        "of_sgemm": shares[0],
        "gbs": gbs,
        "of_copy": shares[1],
        "of_roof": max(shares),
        "ms_of_step": ms * layer.times,
    }


def show(rows: Rows, ceiling: dict[str, float], depth: int, title: str) -> Table:
    """The table, with each layer's time in a whole step; fused blocks have their own section."""
    title += f": sgemm {ceiling['sgemm_gflops']:.0f} GFLOP/s, copy {ceiling['copy_gbs']:.1f} GB/s"
    numbers = ["ms", "GFLOP/s", "of sgemm", "GB/s", "of copy", "of roof", f"ResNet-{depth}, ms"]
    table = new_table(title, ["layer"], numbers)
    fused = [row for row in rows if row["work"].startswith("block")]
    for section in ([row for row in rows if row not in fused], fused):
        for row in section:
            table.add_row(*cells(row))
        together = f"{sum(row['ms_of_step'] for row in section):.1f}"
        table.add_row("together", *[""] * 6, together, end_section=True)
    return table


def cells(row: dict[str, Any]) -> Iterator[str]:
    """A row as words; batch norm's arithmetic is not counted."""
    yield row["work"]
    yield f"{row['ms']:.2f}"
    yield from [f"{row['gflops']:.0f}", f"{row['of_sgemm']:.0%}"] if row["gflops"] else ["", ""]
    yield f"{row['gbs']:.1f}"
    yield f"{row['of_copy']:.0%}"
    yield f"{row['of_roof']:.0%}"
    yield f"{row['ms_of_step']:.1f}"


def main(
    batch: Annotated[int, typer.Option(min=2, help="images")] = 128,
    depth: Annotated[int, typer.Option(min=8, help="of the network in the last column")] = 56,
    repeats: Repeats = 9,
    seconds: Seconds = 20,
    threads: Threads = ALL_CORES,
    json_file: JsonFile = None,
) -> None:
    """Set every layer of the CIFAR ResNets beside what this machine can do."""
    ceiling = ceilings(threads, repeats, seconds)
    rows = []
    with Worker("minires", threads) as worker:
        for layer in [*layers(batch, depth), *blocks(batch, depth)]:
            with console.status(layer.name):
                rows.append(measure(layer, worker, ceiling, repeats, seconds))
    console.print(show(rows, ceiling, depth, machine(threads)))
    write(json_file, threads, rows, ceilings=ceiling, depth=depth, batch=batch)


if __name__ == "__main__":
    typer.run(main)
