"""The files of a run: written whole or not at all, read with a sentence for what is damaged."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..common.files import atomic

Arrays = dict[str, np.ndarray]
METADATA_KEY = "minires"


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path, advice: str = "delete the folder or its run") -> Any:
    """Read a JSON file; ValueError says which file is damaged, and what to do."""
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}): {advice}") from None


def append_record(path: Path, record: dict[str, Any]) -> None:
    """Add one JSON line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def read_records(path: Path) -> list[dict[str, Any]]:
    """All records; a last line cut off by a crash is left out.

    Raises: ValueError for a damaged line, with its number.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [read_record(path, number, line) for number, line in enumerate(lines, 1)]


def read_record(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """One line of a file of records."""
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise ValueError(f"line {number} of {path} is damaged: it is not a record of a run")
    return record


def write_records(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Replace all records."""
    with atomic(path) as temporary:
        temporary.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")


def save_checkpoint(path: Path, arrays: Arrays, state: dict[str, Any]) -> None:
    """Write arrays, and `state` as JSON in the header, into one safetensors file."""
    from safetensors.numpy import save_file

    with atomic(path) as temporary:
        save_file(arrays, temporary, metadata={METADATA_KEY: json.dumps(state)})


def load_checkpoint(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """Read what `save_checkpoint` wrote.

    Raises: FileNotFoundError, or ValueError for a file that is damaged or not from minires.
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint {path}: nothing to resume from")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path} is not a whole safetensors file ({error}): delete it to start afresh"
        ) from None
    return arrays, run_state(path, metadata.get(METADATA_KEY, ""))


def run_state(path: Path, text: str) -> dict[str, Any]:
    """What a checkpoint's header says about its run."""
    try:
        state = json.loads(text)
    except ValueError:
        state = None
    if not isinstance(state, dict):
        raise ValueError(f"{path} is a safetensors file, but not a checkpoint of a minires run")
    return state
