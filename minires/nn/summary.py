"""What a network is made of: layers, map sizes, parameters, multiply-adds, memory of its maps."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from ..autograd import Tensor, no_grad
from ..common.expecting import COUNT, SOME, Each, expects
from ..kernels.devices import may_share_memory
from .modes import evaluating
from .module import Hook, Module


@dataclass(frozen=True)
class Row:
    """One layer: its name, kind, output shape (without N), parameters, multiply-adds an image.

    `activation_bytes` is the size of its output for one image, 0 where that is the input's memory.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int
    activation_bytes: int

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        size = " x ".join(map(str, self.output))
        numbers = self.parameters, self.multiply_adds, round(self.activation_bytes / 1024)
        return self.name, self.kind, size, *map(count, numbers)


@dataclass(frozen=True)
class Summary:
    """All layers of a network in the order of their use; `print` shows a table."""

    rows: tuple[Row, ...]
    parameters: int

    @property
    def multiply_adds(self) -> int:
        """Multiplications of an image's forward pass in convolutions and matrix products."""
        return sum(row.multiply_adds for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        """The outputs of all layers together, for one image.

        Training layer by layer keeps about this much an image for the backward pass. Blocks that
        run as one operation keep less, recomputed ones less still, and inference next to nothing.
        """
        return sum(row.activation_bytes for row in self.rows)

    def __str__(self) -> str:
        head = ("layer", "kind", "output", "parameters", "multiply-adds", "activations, KiB")
        body = [row.cells() for row in self.rows]
        numbers = self.parameters, self.multiply_adds, round(self.activation_bytes / 1024)
        total = ("total", "", "", *map(count, numbers))
        return table([head, *body, total])


def count(number: int) -> str:
    """A whole number with separators; nothing for zero."""
    return f"{number:,}" if number else ""


def table(rows: list[tuple[str, ...]]) -> str:
    """Columns of text; the last three to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i >= len(row) - 3 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


@expects(model=Module, input_shape=Each(COUNT, SOME))
def summary(model: Module, input_shape: tuple[int, int, int] = (32, 32, 3)) -> Summary:
    """Run one image of zeros (H, W, C) through the network and note every layer that has no parts.

    The network is left as it was: in the same mode, without hooks.
    """
    rows: list[Row] = []
    with ExitStack() as undo, no_grad(), evaluating(model):
        for name, module in model.named_modules():
            if not list(module.named_children()):
                undo.enter_context(module.register_forward_hook(row_recorder(name, rows)))
        first = next(iter(model.parameters()))
        model(Tensor(np.zeros((1, *input_shape), first.dtype)).to(first.device))
    return Summary(tuple(rows), sum(p.data.size for p in model.parameters()))


def row_recorder(name: str, rows: list[Row]) -> Hook:
    """A hook that adds a row for one layer."""

    def record(module: Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        parameters = sum(p.data.size for p in module.parameters())
        kind = type(module).__name__
        cost = module.multiply_adds(output.shape)
        shared = may_share_memory(output.data, inputs[0].data)
        memory = 0 if shared else output.data.nbytes
        rows.append(Row(name, kind, output.shape[1:], parameters, cost, memory))

    return record
