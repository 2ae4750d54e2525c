"""The memory traffic of every kernel at shapes of ResNets, and what it may be.

    python -m tests.cuda traffic            measures and writes docs/cuda-traffic.md

The workload is that of workload.py, on tensor cores and on threads; addresses are those of the
stand-in, so the counts are the same every time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ..device import products_on
from . import fake_cupy
from .emulator.build import compiler_name
from .traffic import Line, Report, by_kernel, recorded
from .workload import Workload

PLACE = Path(__file__).parents[2] / "docs" / "cuda-traffic.md"
KINDS = ("read", "write", "shared")
LIMITS = {"read": 1.7, "write": 1.4, "shared": 1.5}  # times as much as needed, for every kernel
WORTH_A_LINE = 1.5

PAGE = """# Memory traffic of the CUDA kernels

Counted while the kernels of `tests/cuda/workload.py` run in the emulator ({compiler}), products of
float32 on tensor cores and on threads. A request of a warp to global memory moves sectors of 32
bytes; one to shared memory takes as many passes as different words are wanted of one bank. A cell
holds sectors or passes a request, and how many times that is of the fewest that would do. Caches
are not modelled: a sector that two requests want counts twice. `python -m tests.cuda traffic`
writes this page, and the tests compare it.

| kernel | reads | writes | shared memory |
|---|---|---|---|
{kernels}
Lines that move more than {limit} times what they need:

| kernel | line | access | bytes a thread | requests | times the fewest |
|---|---|---|---|---|---|
{lines}
More than the limits ({limits}) is allowed to:

| kernel | access | up to | because |
|---|---|---|---|
{allowed}"""


@dataclass(frozen=True)
class Allowance:
    """Kernels, by a pattern of their names, that may do worse than the limits, and why."""

    kernel: str
    kind: str
    limit: float
    reason: str

    def is_for(self, kernel: str, kind: str) -> bool:
        """Whether it speaks of this kernel."""
        return kind == self.kind and fnmatchcase(kernel, self.kernel)


SINGLY = "values are written one by one where 4 do not fit: 3 channels, in the first layer alone"
PAIRS = f"{SINGLY}; a thread of a tensor core has two of a line side by side"
ALLOWED = (
    Allowance("conv2d<MultiplyAdds<float,*, 1>", "write", 4.0, SINGLY),
    Allowance("conv2d<TensorCores*, 1>", "write", 2.0, PAIRS),
    Allowance("conv2d_input_grad<MultiplyAdds<float,*, 1>", "write", 8.0, SINGLY),
    Allowance("conv2d_input_grad<TensorCores*, 1>", "write", 2.8, PAIRS),
    Allowance("conv2d_weight_grad<MultiplyAdds<float,*, 1>", "write", 3.9, SINGLY),
    Allowance("conv2d_weight_grad<TensorCores*, 1>", "write", 1.9, PAIRS),
    Allowance(
        "gemm<MultiplyAdds<float,*, 1, false, true>",
        *("read", 1.9, "ten classes: lines of 40 bytes, once a batch"),
    ),
    Allowance(
        "gradient_sums<MultiplyAdds<float,*, 4>",
        *("shared", 1.7, "a few hundred bytes of a block's sums, whose columns lie 4 apart"),
    ),
    Allowance("max_pool_axis<float>", "read", 2.9, "two of four corners, a few kilobytes in all"),
    Allowance("overlaps_of_boxes<float>", "read", 3.8, "corners are read one by one, from cache"),
    Allowance("tally<float>", "read", 2.3, "a few kilobytes, once a batch"),
)


def measure() -> Report:
    """The traffic of the workload, line by line."""
    with fake_cupy.installed("check") as cupy, recorded() as report:
        for tensor_cores in (True, False):
            with products_on(tensor_cores):
                Workload(cupy).run()
    return report


def excesses(report: Report) -> dict[tuple[str, str], float]:
    """Where a kernel exceeds its limit: (kernel, kind) -> how many times the fewest."""
    return {
        key: round(line.excess, 2)
        for key, line in by_kernel(report).items()
        if line.excess > limit_for(*key)
    }


def limit_for(kernel: str, kind: str) -> float:
    """How many times the fewest it may be."""
    return next((a.limit for a in ALLOWED if a.is_for(kernel, kind)), LIMITS[kind])


def stale_allowances(report: Report) -> list[Allowance]:
    """Those that no kernel needs any longer."""
    needy = [key for key, line in by_kernel(report).items() if line.excess > LIMITS[key[1]]]
    return [a for a in ALLOWED if not any(a.is_for(*key) for key in needy)]


# ----------------------------------------------------------------------------------- page


def page(report: Report) -> str:
    """The report as Markdown."""
    return PAGE.format(
        compiler=compiler_name(),
        kernels="".join(kernel_rows(report)),
        lines="".join(line_rows(report)),
        allowed="".join(f"| `{a.kernel}` | {a.kind} | {a.limit} | {a.reason} |\n" for a in ALLOWED),
        limit=WORTH_A_LINE,
        limits=", ".join(f"{kind} {limit}" for kind, limit in LIMITS.items()),
    )


def kernel_rows(report: Report) -> Iterator[str]:
    """A row a kernel."""
    sums = by_kernel(report)
    for kernel in sorted({name for name, _ in sums}):
        cells = " | ".join(cell(sums.get((kernel, kind))) for kind in KINDS)
        yield f"| `{kernel}` | {cells} |\n"


def cell(line: Line | None) -> str:
    """Parts a request, and the excess."""
    return "" if line is None else f"{line.parts / line.requests:.2f}, ×{line.excess:.2f}"


def line_rows(report: Report) -> Iterator[str]:
    """The lines that waste most, first those with most waste."""
    wasteful = [(key, line) for key, line in report.items() if line.excess > WORTH_A_LINE]
    wasteful.sort(key=lambda item: (item[1].ideal - item[1].parts, str(item[0])))
    for key, line in wasteful:
        verb = "write" if key.write else "read"
        place = key.place.replace(" < ", ", from ")
        yield (
            f"| `{key.kernel}` | {place} | {key.memory} {verb} | {key.size} | {line.requests} "
            f"| {line.excess:.2f} |\n"
        )
