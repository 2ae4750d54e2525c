"""The pictures that probes leave in a run's folder: `probes/NAME.png`, explained by `NAME.json`."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..training.files import read_json

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Probe:
    """One picture with its explanation: the texts of its JSON file, "" for one that is missing."""

    name: str
    picture: str  # a data URI
    title: str
    what: str
    look_for: str
    source: str
    origin: str  # the folder's name


def read_probes(folders: Iterable[Path]) -> tuple[list[Probe], list[str]]:
    """All probes of these folders, by name, and a sentence for each that can't be shown."""
    probes, notes = [], []
    paths = {path for folder in folders for path in folder.glob("probes/*.png")}
    for path in sorted(paths, key=lambda path: (path.stem, str(path))):
        try:
            probes.append(read_probe(path))
        except (ValueError, OSError) as error:
            notes.append(f"Left out: {error}")
    return probes, notes


def read_probe(path: Path) -> Probe:
    """A picture and what is said about it.

    Raises: ValueError for a file that is no PNG, or an explanation that is damaged.
    """
    content = path.read_bytes()
    if not content.startswith(PNG_SIGNATURE):
        raise ValueError(f"{path} is not a PNG picture: run the probe again")
    about = path.with_suffix(".json")
    texts = read_json(about) if about.exists() else {}
    if not isinstance(texts, dict):
        raise ValueError(f"{about} must hold a JSON object with title, what, look_for and source")
    fields = {name: str(texts.get(name, "")) for name in ("what", "look_for", "source")}
    return Probe(
        name=path.stem,
        picture=picture_uri(content),
        title=str(texts.get("title") or path.stem),
        origin=path.parent.parent.name,
        **fields,
    )


def picture_uri(png: bytes) -> str:
    """A picture as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
