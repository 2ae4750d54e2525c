"""The table of what every kernel needs on every architecture.

    python -m tests.cuda resources            compiles everything and writes docs/cuda-resources.md

Occupancy is the part of a multiprocessor's warps that can be resident at once: registers, shared
memory or the number of blocks is the limit (CUDA C++ Programming Guide, "Compute capabilities").
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from minires.kernels.cuda import launch, source

from . import nvrtc
from .nvrtc import ARCHITECTURES, Resources

PLACE = Path(__file__).parents[2] / "docs" / "cuda-resources.md"
REGISTERS, WARP = 65536, 32  # of a multiprocessor; threads
HEAD = """# What the CUDA kernels need

Compiled by NVRTC {version} with CuPy's options. A cell holds the registers of a thread and the
occupancy of a multiprocessor with the kernel's blocks. No kernel spills registers or uses local
memory. What is behind a plus is dynamic shared memory. `python -m tests.cuda resources` writes this
page, and the tests compare it.

| kernel | threads | shared, bytes | {heads} |
|---|---|---|{rule}|
"""


@dataclass(frozen=True)
class Multiprocessor:
    """The limits of one."""

    threads: int
    blocks: int
    shared: int  # bytes
    reserved: int  # bytes of shared memory that a block costs besides its own


MULTIPROCESSORS = {
    75: Multiprocessor(1024, 16, 64 << 10, 0),
    80: Multiprocessor(2048, 32, 164 << 10, 1024),
    86: Multiprocessor(1536, 16, 100 << 10, 1024),
    89: Multiprocessor(1536, 24, 100 << 10, 1024),
    90: Multiprocessor(2048, 32, 228 << 10, 1024),
    100: Multiprocessor(2048, 32, 228 << 10, 1024),
    120: Multiprocessor(1536, 24, 100 << 10, 1024),
}


def occupancy(architecture: int, needs: Resources, dynamic: int = 0) -> float:
    """Resident warps of the most that a multiprocessor can hold; `dynamic`: shared bytes."""
    limits = MULTIPROCESSORS[architecture]
    warps = -(-threads_of(needs) // WARP)
    registers_of_warp = -(-needs.registers * WARP // 256) * 256
    by_registers = REGISTERS // registers_of_warp // 4 * 4 // warps  # 4 schedulers share them
    shared = needs.shared + dynamic
    by_shared = limits.shared // max(-(-shared // 128) * 128 + limits.reserved, 1)
    by_threads = limits.threads // (warps * WARP)
    blocks = min(by_registers, by_shared, by_threads, limits.blocks)
    return blocks * warps / (limits.threads // WARP)


def threads_of(needs: Resources) -> int:
    """Threads of a block: the launch bound, else what launches use."""
    return needs.threads or launch.THREADS


Table = dict[str, dict[int, Resources]]


def measure() -> Table:
    """Compile every module for every architecture, two at a time."""
    jobs = [(module, a) for module in source.FILES for a in ARCHITECTURES]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda job: compile_one(*job), jobs))
    table: Table = {}
    for (_, architecture), found in zip(jobs, results, strict=True):
        for kernel, needs in found.items():
            table.setdefault(kernel, {})[architecture] = needs
    return table


def compile_one(module: str, architecture: int) -> dict[str, Resources]:
    """What the kernels of one module need."""
    table = {}
    for variant in source.variants(module):
        names = source.kernels_of(module, variant)
        table |= nvrtc.compile_module(source.text(module), names, architecture)
    return table


def page(table: Table) -> str:
    """The table as Markdown."""
    heads = " | ".join(f"sm_{a}" for a in ARCHITECTURES)
    head = HEAD.format(version=nvrtc.version(), heads=heads, rule="---|" * len(ARCHITECTURES))
    return head.replace("||\n", "|\n") + "".join(rows(table))


def rows(table: Table) -> Iterator[str]:
    """The lines of the table."""
    for kernel in sorted(table):
        needs = table[kernel]
        first = needs[ARCHITECTURES[0]]
        tiles = source.dynamic_memory(kernel)
        shares = {a: occupancy(a, needs[a], tiles) for a in ARCHITECTURES}
        cells = [f"{needs[a].registers}, {shares[a]:.0%}" for a in ARCHITECTURES]
        shared = f"{first.shared} + {tiles}" if tiles else str(first.shared)
        yield f"| `{kernel}` | {threads_of(first)} | {shared} | {' | '.join(cells)} |\n"


def parse(text: str) -> dict[str, str]:
    """Rows of a page by kernel."""
    lines = [line for line in text.splitlines(keepends=True) if line.startswith("| `")]
    return {line.split("`")[1]: line for line in lines}


def registers_in(row: str) -> list[int]:
    """Registers by architecture, from a row."""
    return [int(cell.split(",")[0]) for cell in row.strip(" |\n").split("|")[3:]]


def worse(before: str, now: str) -> list[str]:
    """Kernels that need more registers than a page of before says, in words."""
    old, new = parse(before), parse(now)
    found = []
    for kernel in old.keys() & new.keys():
        pairs = zip(
            ARCHITECTURES, registers_in(old[kernel]), registers_in(new[kernel]), strict=True
        )
        found += [f"{kernel} on sm_{a}: {n} registers, was {o}" for a, o, n in pairs if n > o]
    return sorted(found)
