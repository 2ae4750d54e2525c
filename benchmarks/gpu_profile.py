"""What a training step spends the GPU's time on: its kernels by name, and what they reach.

The times are CUPTI's, through torch.profiler. Work is known of minires' kernels, from the arrays
that they are given (gpu_launches.py). Without a PyTorch that sees the GPU launches are counted, of
minires' own kernels alone, but not timed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from gpu_clock import wait
from gpu_launches import Launch, watched
from gpu_steps import OURS, Network, Step, Way, prepare, why_no_torch

Rows = list[dict[str, Any]]
STEPS = 3  # that are profiled together
NOT_KERNELS = ("Memcpy", "Memset")


def profile(way: Way, network: Network) -> dict[str, Any]:
    """A step's launches by name, those that take longest first, and their sums."""
    step = prepare(way, network)
    with watched() as seen:  # in a step of its own, since watching takes time
        step()
    events = [(launch.kernel, None) for launch in seen] if why_no_torch() else timed(step)
    rows = by_name(events, 1 if why_no_torch() else STEPS)
    if way.engine == OURS:
        add_rates(rows, seen)
    return {"network": network.name, "batch": network.batch, **way._asdict(), "kernels": rows} | {
        "launches": sum(row["launches"] for row in rows),
        "ms": sum(row.get("ms", 0) for row in rows),
        "own": sum(row["launches"] for row in rows if "bytes" in row),
    }


def timed(step: Step) -> list[tuple[str, float]]:
    """Names and microseconds of all that the GPU did in some steps."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    wait()
    with profiler(activities=[ProfilerActivity.CUDA]) as trace:
        for _ in range(STEPS):
            step()
        wait()
    return [
        (plain(event.name), microseconds(event))
        for event in trace.events()
        if event.device_type.name == "CUDA" and not event.is_user_annotation
    ]


def microseconds(event: Any) -> float:
    """PyTorch has renamed it."""
    return event.device_time if hasattr(event, "device_time") else event.cuda_time


def plain(name: str) -> str:
    """A kernel's name expression: what C++ calls it, without the result and the parameters.

    Nor with the type of a product, which follows from its engine.
    """
    name = name.replace("(anonymous namespace)::", "").removeprefix("void ")
    if name.startswith(NOT_KERNELS):
        return name
    name = re.sub(r"(?<=\d)u?l*\b", "", name.split("(", 1)[0]).replace("> >", ">>")  # 4l is 4
    return re.sub(r"(<(?:MultiplyAdds|TensorCores)<.*), (?:float|double)>$", r"\1>", name)


def by_name(events: list[tuple[str, float | None]], steps: int) -> Rows:
    """Launches a step, microseconds each, milliseconds a step."""
    found: dict[str, list[float | None]] = defaultdict(list)
    for name, us in events:
        found[name].append(us)
    rows = []
    for name, times in found.items():
        row: dict[str, Any] = {"kernel": name, "launches": len(times) / steps}
        if times[0] is not None:
            total = sum(us or 0 for us in times)
            row |= {"us": total / len(times), "ms": total / steps / 1e3}
        rows.append(row)
    return sorted(rows, key=lambda row: (-row.get("ms", 0), -row["launches"], row["kernel"]))


def add_rates(rows: Rows, seen: list[Launch]) -> None:
    """TFLOP/s of products and GB/s of all others, where the launches were watched."""
    for row in rows:
        same = [launch for launch in seen if launch.kernel == row["kernel"]]
        if not same:
            continue
        row["operations"] = sum(launch.operations for launch in same)
        row["bytes"] = sum(launch.bytes for launch in same)
        if row.get("ms"):
            row["tflops"] = row["operations"] / row["ms"] / 1e9
            row["gbs"] = row["bytes"] / row["ms"] / 1e6
