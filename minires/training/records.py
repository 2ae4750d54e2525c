"""What a training writes down: one JSON line for each thing that was measured."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.files import atomic
from .meters import Meter
from .norms import norm

if TYPE_CHECKING:
    from .trainer import Trainer


class Records:
    """The file of records, and what has been counted since the last line of each kind.

    `Trainer` says what the lines hold.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.since_record, self.since_evaluation = Meter(), Meter()

    def count(self, counted: Meter) -> None:
        """Add images that the network has been trained on."""
        self.since_record.add(counted)
        self.since_evaluation.add(counted)

    def gradients(self, trainer: Trainer) -> None:
        """Write the norm of each weight's gradient."""
        norms = {
            name: norm(p.grad)
            for name, p in trainer.model.named_parameters()
            if p.grad is not None and p.ndim > 1
        }
        self.add("gradients", trainer, norms=norms)

    def interval(self, trainer: Trainer) -> float:
        """Write loss and error of training since the last such line; returns the loss."""
        meter, self.since_record = self.since_record, Meter()
        self.add(
            "interval",
            trainer,
            loss=meter.loss,
            training_error=meter.error,
            lr=trainer.optimizer.lr,
            gradient_norm=trainer.gradient_norm,
        )
        return meter.loss

    def evaluation(self, trainer: Trainer, test: Meter) -> None:
        """Write loss and error of training since the last such line, and those of the test."""
        meter, self.since_evaluation = self.since_evaluation, Meter()
        self.add(
            "evaluation",
            trainer,
            epoch=trainer.step / len(trainer.batches),
            loss=meter.loss,
            training_error=meter.error,
            test_loss=test.loss,
            test_error=test.error,
        )

    def add(self, kind: str, trainer: Trainer, **values: Any) -> None:
        """Append one line."""
        line = {"kind": kind, "step": trainer.step, **values, "seconds": round(trainer.seconds, 3)}
        trainer.world.share(lambda: self.append(line))

    def append(self, line: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def begin(self) -> None:
        """Start with an empty file."""
        write_records(self.path, [])

    def go_back_to(self, step: int) -> None:
        """Drop lines of later steps; gradients are noted at a step's beginning."""
        lines = read_records(self.path)
        past = [r for r in lines if r["step"] + (r["kind"] == "gradients") <= step]
        write_records(self.path, past)


def read_records(path: Path) -> list[dict[str, Any]]:
    """All records; a last line cut off by a crash is left out, one that lacks its end alone is not.

    Raises: ValueError for a damaged line, with its number.
    """
    if not path.exists():
        return []
    *lines, last = path.read_bytes().split(b"\n")
    lines += [last] if last.endswith(b"}") and is_json(last) else []
    return [read_record(path, number, line) for number, line in enumerate(lines, 1)]


def is_json(line: bytes) -> bool:
    """Whether a line is whole."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def read_record(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """One line of a file of records."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise ValueError(f"line {number} of {path} is damaged: it is not a record of a run")
    return record


def write_records(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Replace all records."""
    with atomic(path) as temporary:
        temporary.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
