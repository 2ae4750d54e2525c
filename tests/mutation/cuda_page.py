"""docs/cuda-mutations.md: the bugs planted in the CUDA backend, and how each was noticed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from . import (
    bugs_in_cuda_bfloat16,
    bugs_in_cuda_kernels,
    bugs_in_cuda_ladder,
    bugs_in_cuda_large,
    bugs_in_cuda_launches,
    bugs_in_cuda_products,
    bugs_in_cuda_regions,
    bugs_in_cuda_replay,
    bugs_in_cuda_runs,
)
from .mutants import Mutant

PLACE = Path(__file__).parents[2] / "docs" / "cuda-mutations.md"
TABLES = (
    bugs_in_cuda_kernels,
    bugs_in_cuda_products,
    bugs_in_cuda_runs,
    bugs_in_cuda_large,
    bugs_in_cuda_launches,
    bugs_in_cuda_bfloat16,
    bugs_in_cuda_replay,
    bugs_in_cuda_ladder,
    bugs_in_cuda_regions,
)
MUTANTS = [mutant for table in TABLES for mutant in table.MUTANTS]
HEAD = """# Planted bugs of the CUDA backend

`pytest -m "cuda and mutation"` plants each of these {count} bugs in a copy of the project, runs the
tests beside it in the emulator, and demands that one fails. Then it compares this page, which says
as what the bug was noticed first, and writes it anew where it is out of date.

| bug | file | noticed by | as |
|---|---|---|---|
"""
SIGNS = {  # in the first line of the failure that begins with "E  "
    "no barrier lies between": "race of two threads",
    "nothing orders different blocks": "race of two blocks",
    "is missing between that and": "race of two blocks",
    "is missing between this block's": "race of two blocks",
    "by way of the L1 cache": "value that the L1 cache may hold from before",
    "an asynchronous copy of": "asynchronous copy that nobody has waited for",
    "is no tf32": "number that tensor cores would cut off",
    "shift of": "shift by too many bits",
    "is a barrier missing?": "shared memory that nothing has written yet",
    "which nothing has written": "memory that nothing has written",
    "outside every array": "address outside every array",
    "is outside an array of type": "index outside an array",
    "a GPU stops with a misaligned address": "misaligned address",
    "a warp operation": "warp operation without all its lanes",
    "__launch_bounds__ says": "block larger than the launch bound",
    "does not fit": "overflow",
    "Misuse": "refused by the stand-in for CuPy",
    "CUDADriverError": "refused by the stand-in for CuPy",
    "AssertionError": "wrong results",
    "  assert ": "wrong results",
}


def how_noticed(output: str) -> tuple[str, str]:
    """The test that failed, and as what, from pytest's output."""
    test = re.search(r"^FAILED (?:\S*::)?(\w+)", output, re.M)
    errors = [line for line in output.splitlines() if line.startswith("E  ")]
    for line in errors:
        for sign, what in SIGNS.items():
            if sign in line:
                return test[1] if test else "", what
    return test[1] if test else "", "error"


def page(noticed: dict[str, tuple[str, str]]) -> str:
    """The page for all bugs."""
    return HEAD.format(count=len(MUTANTS)) + "".join(rows(noticed))


def rows(noticed: dict[str, tuple[str, str]]) -> Iterator[str]:
    """A row a bug."""
    for mutant in MUTANTS:
        test, what = noticed[mutant.name]
        yield f"| {mutant.name} | {mutant.file.rsplit('/', 1)[1]} | `{test}` | {what} |\n"


def is_cuda(mutant: Mutant) -> bool:
    """Whether the bug lies in the CUDA backend."""
    return mutant in MUTANTS
