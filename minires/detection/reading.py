"""Annotations and detections from whatever files people have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..common.expecting import SOME, Each, expects
from .annotations import Annotations
from .coco import read_coco
from .voc import read_voc, xml_files, year_of


@expects(path=Path, split=str, images=Path, classes=Each(str, SOME))
def read_annotations(
    path: Path,
    *,
    split: str | None = None,
    images: Path | None = None,
    classes: Sequence[str] | None = None,
) -> Annotations:
    """The annotations of a VOC folder (see `read_voc`), or of COCO's JSON (see `read_coco`).

    A folder without XML files may hold one JSON file. Raises: FileNotFoundError, or ValueError with
    what was expected.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}")
    if path.is_dir() and is_voc(path):
        return read_voc(path, split=split, images=images, classes=classes)
    if split:
        raise ValueError(
            f"{path} is no VOC folder: splits are VOC's; a COCO file is a split itself"
        )
    return read_coco(only_json(path) if path.is_dir() else path, images=images, classes=classes)


def is_voc(folder: Path) -> bool:
    """Whether a folder has VOC's layout or XML files."""
    return (year_of(folder) / "Annotations").is_dir() or bool(xml_files(folder))


def only_json(folder: Path) -> Path:
    """The JSON file of a folder, in it or in its `annotations`."""
    found = sorted([*folder.glob("*.json"), *folder.glob("annotations/*.json")])
    if len(found) == 1:
        return found[0]
    names = ", ".join(str(path.relative_to(folder)) for path in found[:6])
    raise ValueError(
        f"{folder}: expected VOC's XML files, in it or in `Annotations`, or one JSON file as "
        f"COCO's, but it holds {f'several, name one: {names}' if found else 'neither'}"
    )
