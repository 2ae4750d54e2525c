"""The pictures that probes leave in a run's folder: `probes/NAME.png`, explained by `NAME.json`."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..analysis import PROBES
from ..common.json_files import read_json

ORDER = {name: place for place, name in enumerate(PROBES)}


@dataclass(frozen=True)
class Picture:
    """One picture with its explanation: the texts of its JSON file, empty where it has none."""

    name: str
    uri: str
    title: str
    what: str
    found: list[str]
    look_for: str
    source: str
    origin: str  # the folder's name


def read_pictures(folders: Iterable[Path]) -> tuple[list[Picture], list[str]]:
    """All pictures of these folders, in the order of the lesson, and a sentence for each left out.

    Pictures that are not of our probes come last, by name.
    """
    pictures, notes = [], []
    paths = {path for folder in folders for path in folder.glob("probes/*.png")}
    for path in sorted(paths, key=lambda p: (ORDER.get(p.stem, len(ORDER)), p.stem, str(p))):
        try:
            pictures.append(read_picture(path))
        except (ValueError, OSError) as error:
            notes.append(f"Left out: {error}")
    return pictures, notes


def read_picture(path: Path) -> Picture:
    """A picture and what is said about it.

    Raises: ValueError for a file that is no PNG, or an explanation that is damaged.
    """
    about = path.with_suffix(".json")
    texts = read_json(about, "run the probe again") if about.exists() else {}
    if not isinstance(texts, dict):
        raise ValueError(f"{about} must hold a JSON object with title, what, look_for and source")
    words = {key: str(texts.get(key, "")) for key in ("what", "look_for", "source")}
    return Picture(
        name=path.stem,
        uri=whole_picture_uri(path),
        title=str(texts.get("title") or path.stem),
        found=sentences(texts.get("found")),
        origin=path.parent.parent.name,
        **words,
    )


def sentences(found: Any) -> list[str]:
    """A list of texts, or one text, as a list."""
    return [str(text) for text in (found if isinstance(found, list) else [found]) if text]


def whole_picture_uri(path: Path) -> str:
    """A PNG file as an address that holds it; ValueError if it is damaged or something else."""
    from PIL import Image

    content = path.read_bytes()
    try:
        Image.open(io.BytesIO(content), formats=("PNG",)).verify()
        return picture_uri(content, colours=256)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{path} is not a whole PNG picture ({error}): run the probe again"
        ) from None


def picture_uri(png: bytes, *, colours: int) -> str:
    """A picture, in so many colours, as an address that holds it: a third of the size."""
    from PIL import Image

    small = io.BytesIO()
    drawn = Image.open(io.BytesIO(png)).convert("RGB")
    drawn.quantize(colours, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(small.getvalue()).decode()
