"""How long a training step should take on an H100: a prediction, to be written down beforehand.

    python benchmarks/gpu_model.py [--networks ResNet-20,ResNet-56] [--batch 128] [--efficiency 0.5]

A step runs on the stand-in for CuPy without computing anything, so neither a GPU nor a compiler is
needed: what counts is which kernels it launches, on which arrays. Each takes

    launch + the larger of  bytes / bandwidth  and  operations / (efficiency * peak)

where launch is what a node of a CUDA graph costs, bytes are those of its arrays, each once, and
peaks are an H100's (SXM, dense), in round numbers. The efficiency, the share of the peak that a
product reaches, is assumed and not derived. That a kernel finds in the L2 cache what the one before
left there is not counted, nor what keeps a small kernel from filling the machine. CuPy's own
kernels (copies, fills, sums) count as launches alone. Maps in bfloat16 have half the bytes, and
other kernels: hence a table of their own.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from gpu_launches import Launch, watched
from gpu_steps import Network, network, our_step
from rich.table import Table
from tables import console, new_table

sys.path.insert(0, str(Path(__file__).parents[1]))

PEAKS = {
    "float32": 60.0,
    "tf32": 400.0,
    "bfloat16": 800.0,
}  # TFLOP/s, the latter two by tensor cores
TABLES = ("float32", "tf32"), ("bfloat16",)  # precisions whose steps launch the same


class Machine(NamedTuple):
    """What is assumed."""

    launch: float  # microseconds
    bandwidth: float  # GB/s
    efficiency: float


class Line(NamedTuple):
    """Kernels alike in name and shape."""

    kernel: str
    shape: tuple[int, ...]
    launches: int
    us: dict[str, float]  # each, by precision
    limit: dict[str, str]


def launches_of(network: Network, precision: str) -> tuple[list[Launch], int]:
    """What a step launches, and how many kernels of CuPy's."""
    from tests.cuda import fake_cupy

    with fake_cupy.installed(), watched(dry=True) as seen:
        step = our_step(precision, network)
        step()  # the first leaves what the second finds
        seen.clear()
        fake_cupy.machine.counts = fake_cupy.Counts()
        step()
        return list(seen), fake_cupy.machine.counts.library_launches.total()


def predict(launch: Launch, machine: Machine, precision: str) -> tuple[float, str]:
    """Microseconds, and what they go to for the most part."""
    parts = {
        "launch": machine.launch,
        "memory": launch.bytes / machine.bandwidth / 1e3,
        "arithmetic": launch.operations / (machine.efficiency * PEAKS[precision]) / 1e6,
    }
    total = parts["launch"] + max(parts["memory"], parts["arithmetic"])
    return total, max(parts, key=lambda name: parts[name])


def lines_of(seen: list[Launch], machine: Machine, precisions: Sequence[str]) -> list[Line]:
    """Launches alike together, those that take longest in the first precision first."""
    groups: dict[Any, list[Launch]] = defaultdict(list)
    for launch in seen:
        groups[launch.kernel, launch.shape, launch.bytes, launch.operations].append(launch)
    lines = []
    for (kernel, shape, *_), same in groups.items():
        found = {precision: predict(same[0], machine, precision) for precision in precisions}
        us, limit = ({p: pair[i] for p, pair in found.items()} for i in (0, 1))
        lines.append(Line(kernel, shape, len(same), us, limit))
    return sorted(lines, key=lambda line: -line.launches * line.us[precisions[0]])


def show(network: Network, precisions: Sequence[str], machine: Machine) -> Table:
    """The table; shapes are those of a kernel's largest array."""
    seen, others = launches_of(network, precisions[0])
    lines = lines_of(seen, machine, precisions)
    title = (
        f"{network.name}, batch {network.batch}, predicted: {machine.launch:g} us a launch, "
        f"{machine.bandwidth:,.0f} GB/s, {machine.efficiency:.0%} of "
        + ", ".join(
            f"{peak:.0f} TFLOP/s ({name})" for name, peak in PEAKS.items() if name in precisions
        )
    )
    heads = [f"{precision}, {what}" for precision in precisions for what in ("us", "mostly")]
    table = new_table(title, ["kernel", "on"], ["launches", *heads])
    for line in lines:
        cells = [cell for p in precisions for cell in (f"{line.us[p]:.1f}", line.limit[p])]
        size = " x ".join(map(str, line.shape))
        table.add_row(line.kernel.split("<")[0], size, str(line.launches), *cells)
    table.add_row(
        "of CuPy", "", str(others), *[f"{machine.launch:.1f}", "launch"] * len(precisions)
    )
    table.add_section()
    count = others + sum(line.launches for line in lines)
    times = [total(lines, others, machine, p) for p in precisions]
    totals = [cell for ms in times for cell in (f"{ms:.2f} ms", "")]
    table.add_row("together", "", str(count), *totals)
    return table


def total(lines: list[Line], others: int, machine: Machine, precision: str) -> float:
    """Milliseconds a step."""
    us = sum(line.launches * line.us[precision] for line in lines)
    return (us + others * machine.launch) / 1e3


def main(
    networks: Annotated[str, typer.Option(help="separated by commas")] = "ResNet-20,ResNet-56",
    batch: Annotated[int, typer.Option(min=2, help="images")] = 128,
    launch: Annotated[float, typer.Option(min=0, help="us of a node of a graph")] = 2.0,
    bandwidth: Annotated[float, typer.Option(min=1, help="GB/s")] = 3000.0,
    efficiency: Annotated[float, typer.Option(min=0.01, max=1, help="of products")] = 0.5,
) -> None:
    """Predict every kernel's time in a training step."""
    machine = Machine(launch, bandwidth, efficiency)
    for name in networks.split(","):
        try:
            this = network(name.strip(), batch, batch)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        for precisions in TABLES:
            console.print(show(this, precisions, machine))


if __name__ == "__main__":
    typer.run(main)
