"""What is in use on this machine: versions, processor, threads, kernels."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

from . import kernels
from .nn.fusing import is_on

PACKAGES = ("numpy", "numba", "safetensors")


def environment() -> dict[str, str]:
    """Facts to keep beside a result, by name."""
    return {
        "minires": version("minires-dl"),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()}",
        "threads": os.environ.get("NUMBA_NUM_THREADS", str(len(available_cores()))),
        "fusing": "on" if is_on() else "off: each layer runs for itself",
        **{f"kernels for {dtype}": text for dtype, text in kernels.report().items()},
    }


def info() -> str:
    """A text: what minires runs on, and why it does not use something else."""
    facts = environment()
    width = max(map(len, facts))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in facts.items())


def version(package: str) -> str:
    """Version of an installed package, or "not installed"."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """The processor's name, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def available_cores() -> set[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))
