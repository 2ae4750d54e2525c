"""How much a reader has to hold in mind: long signatures, files and calls behind one block.

    python benchmarks/readability.py

prints one table of the product's code (`minires/` and `kernels/`): how many functions have eight
parameters or more, the largest signatures, the lengths of functions and files, and through how many
files and Python functions a residual block's forward and backward pass goes on the CPU.
"""

from __future__ import annotations

import ast
import inspect
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from minires import Tensor
from minires.models import cifar_resnet

ROOT = Path(__file__).parents[1]
MANY = 8  # parameters
Definition = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> Iterator[Path]:
    """Every Python file of the product."""
    for package in ("minires", "kernels"):
        yield from sorted((ROOT / package).rglob("*.py"))


def functions(path: Path) -> Iterator[Definition]:
    """All functions and methods of a file, nested ones too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, Definition))


def parameters(function: Definition) -> int:
    """How many a signature names, `self` and `cls` left out."""
    given = function.args
    named = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in named if name not in ("self", "cls")])


def lines(function: Definition) -> int:
    """Lines of the body, without the docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]


class Calls:
    """Counts calls of the product's Python functions, generators aside, and their files."""

    def __init__(self) -> None:
        self.count, self.files = 0, set[str]()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """What `sys.setprofile` calls."""
        file, is_generator = frame.f_code.co_filename, frame.f_code.co_flags & inspect.CO_GENERATOR
        ours = any(f"/{name}/" in file for name in ("minires", "kernels"))
        if event == "call" and ours and not is_generator:
            self.count += 1
            self.files.add(file)


def watched(call: Callable[[], Any]) -> Calls:
    """What a call goes through."""
    calls = Calls()
    sys.setprofile(calls)
    try:
        call()
    finally:
        sys.setprofile(None)
    return calls


def one_block() -> tuple[Calls, Calls]:
    """The forward and the backward pass of ResNet-20's third block, at its third step."""
    block = cifar_resnet(20).layer1[2]
    rng = np.random.default_rng(0)
    x = Tensor(rng.standard_normal((4, 32, 32, 16), np.float32), requires_grad=True)
    for _ in range(2):  # what is decided by shapes alone is remembered from the first time
        block(x).backward(np.ones(x.shape, np.float32))
    results: list[Tensor] = []
    forward = watched(lambda: results.append(block(x)))
    backward = watched(lambda: results[0].backward(np.ones(x.shape, np.float32)))
    return forward, backward


def rows() -> Iterator[tuple[str, str]]:
    """The table."""
    found = [(parameters(f), f"{f.name} ({path.relative_to(ROOT)})", lines(f))
             for path in sources() for f in functions(path)]  # fmt: skip
    most = sorted(found, reverse=True)[:5]
    yield f"functions with {MANY} parameters or more", f"{sum(n >= MANY for n, *_ in found)}"
    yield "largest signatures", "\n".join(f"{n} {name}" for n, name, _ in most)
    yield "functions", f"{len(found)}"
    yield "median length of a function's body", f"{statistics.median(n for *_, n in found):g}"
    sizes = [len(path.read_text(encoding="utf-8").splitlines()) for path in sources()]
    yield "files, lines", f"{len(sizes)}, {sum(sizes)}"
    yield "median and longest file", f"{statistics.median(sizes):g}, {max(sizes)}"
    for name, calls in zip(("forward", "backward"), one_block(), strict=True):
        yield f"one block's {name} pass", f"{calls.count} calls, {len(calls.files)} files"


def main() -> None:
    """Print the table."""
    table = Table("what", "figure", title="Readability")
    for row in rows():
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
