"""A record of the operations that run, in order: what a network really computes.

    with trace() as steps:
        model(x)

Each step has the operation, the tensors that went in, its settings and the tensor that came out.
Tensors are told apart by identity: the output of one step is the input of others. Exports, pictures
and the folding of batch norm start from here, so they work for any network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from .function import Function, tracer
from .tensor import Tensor


class Step(NamedTuple):
    """One operation that ran."""

    function: type[Function]
    inputs: tuple[Tensor | None, ...]
    settings: dict[str, Any]
    output: Tensor


@contextmanager
def trace() -> Iterator[list[Step]]:
    """Within, every operation is added to the list."""
    steps: list[Step] = []
    token = tracer.set(lambda *step: steps.append(Step(*step)))
    try:
        yield steps
    finally:
        tracer.reset(token)
