"""JSON files: written whole or not at all, read with a sentence for what is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .files import atomic


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path, advice: str = "delete the folder or its run") -> Any:
    """Read a JSON file; ValueError says which file is damaged, and what to do."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}): {advice}") from None
