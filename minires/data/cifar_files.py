"""What CIFAR-10 and CIFAR-100 share: archives found on disk, checked, and read without unpacking.

Each is published as two archives with the same images, one of raw records and one of Python pickles
(Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html). Either is read, as the tar.gz itself
or unpacked.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from .array_pickles import arrays_only
from .dataset import Images, Labels

PIXELS = 3 * 32 * 32
HOST = "https://www.cs.toronto.edu/~kriz/"
Parser = Callable[..., tuple[Images, Labels]]


@dataclass(frozen=True)
class Layout:
    """One of the official archives, and the folder it unpacks to."""

    dataset: str
    archive: str
    size: int
    md5: str
    folder: str
    train_files: tuple[str, ...]
    test_file: str
    parse: Parser
    host: str = HOST

    @property
    def url(self) -> str:
        return self.host + self.archive

    @property
    def mirrors(self) -> str:
        """The environment variable with URLs of copies, separated by commas."""
        return f"MINIRES_{self.dataset.replace('-', '').upper()}_MIRRORS"


def cache_dir() -> Path:
    """Where archives are kept: $MINIRES_DATA if set, else the user's cache folder for minires."""
    if place := os.environ.get("MINIRES_DATA"):
        return Path(place).expanduser()
    import pooch

    return Path(pooch.os_cache("minires"))


# ------------------------------------------------------------------------------- records


def parse_records(content: bytes, *, labels: int, which: int) -> tuple[Images, Labels]:
    """Records of `labels` bytes, then 32 x 32 red, green and blue; `which` label is wanted."""
    record = labels + PIXELS
    if not content or len(content) % record:
        raise ValueError(
            f"{len(content):,} bytes are not a whole number of records of {record:,} bytes: "
            f"is it truncated?"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    return images_of(records[:, labels:]), records[:, which].copy()


def parse_pickle(content: bytes, *, key: str) -> tuple[Images, Labels]:
    """A pickled dict: `data`, uint8 of shape (N, 3072), planes as above, and labels under `key`."""
    batch, name = arrays_only(content), key.encode()
    if isinstance(batch, dict):
        batch = {k.encode() if isinstance(k, str) else k: batch[k] for k in batch}
    if not isinstance(batch, dict) or not {b"data", name} <= batch.keys():
        raise ValueError(f"a dict with 'data' and '{key}' was expected")
    data, labels = array_of(batch[b"data"]), array_of(batch[name])
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != PIXELS:
        raise ValueError(
            f"'data' must be uint8 of shape (N, {PIXELS}), but is {data.dtype} of shape "
            f"{data.shape}"
        )
    if labels.shape != (len(data),) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"'{key}' must be {len(data)} whole numbers, but are {labels.dtype} of shape "
            f"{labels.shape}"
        )
    return images_of(data), labels


def array_of(value: Any) -> np.ndarray:
    """An array, or a list of numbers as one; else it is empty and holds no numbers.

    Nested lists are not searched: where each holds the one before twice, that would take for ever.
    """
    if isinstance(value, np.ndarray):
        return value
    flat = type(value) is list and all(type(item) is int for item in value)
    return np.array(value if flat else None)


def images_of(planes: Images) -> Images:
    """(N, 3072) planes -> (N, 32, 32, 3), contiguous."""
    images = np.empty((len(planes), 32, 32, 3), np.uint8)
    for channel, plane in enumerate(np.split(planes, 3, axis=1)):
        images[..., channel] = plane.reshape(-1, 32, 32)
    return images


# ------------------------------------------------------------------------------- files, as bytes


def find(layouts: Sequence[Layout], roots: Sequence[Path]) -> Path | None:
    """The first that is in the `roots`: an archive, a folder of batches, or a folder with one.

    Unpacked batches come before archives, the first layout before the second.
    """
    return next((place for root in roots for place in _places(layouts, root)), None)


def _places(layouts: Sequence[Layout], root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
    for layout in layouts:
        yield from (p for p in (root, root / layout.folder) if _has_batches(p, layout))
    yield from (p for p in (root / layout.archive for layout in layouts) if p.is_file())


def refuse_other_files(layouts: Sequence[Layout], root: Path, *, must_be_there: bool) -> None:
    """Say what was looked for in a folder where it is not, and what was found there instead.

    Raises: FileNotFoundError if it `must_be_there`, or seems to be in another form or deeper.
    """
    below = sorted(p for depth in ("*", "*/*", "*/*/*") for p in root.glob(depth))
    names = [name for layout in layouts for name in (layout.archive, layout.folder)]
    deeper = next((p.parent for p in below if p.name in names and p.parent != root), None)
    alike = [p.name for p in below if p.parent == root and "cifar" in p.name.lower()]
    if not (must_be_there or deeper or alike):
        return
    found = alike or [p.name for p in below if p.parent == root]
    raise FileNotFoundError(
        f"data_dir {root} holds no {layouts[0].dataset}: expected the official archive as it is "
        f"({' or '.join(x.archive for x in layouts)}) or what it unpacks to "
        f"({' or '.join(x.folder for x in layouts)}), but found "
        f"{', '.join(found[:5]) or 'nothing'}{', ...' if len(found) > 5 else ''}: "
        + (f"name {deeper}" if deeper else "put it there, or leave data_dir out")
    )


def _has_batches(folder: Path, layout: Layout) -> bool:
    return any((folder / name).is_file() for name in (layout.train_files[0], layout.test_file))


def files_at(layouts: Sequence[Layout], place: Path) -> tuple[Layout, dict[str, bytes]]:
    """The layout of an archive or a folder of batches, and its files by name."""
    return _archived(layouts, place) if place.is_file() else _unpacked(layouts, place)


def _unpacked(layouts: Sequence[Layout], folder: Path) -> tuple[Layout, dict[str, bytes]]:
    layout = next(layout for layout in layouts if _has_batches(folder, layout))
    names = (*layout.train_files, layout.test_file, "about.txt")
    return layout, {n: (folder / n).read_bytes() for n in names if (folder / n).is_file()}


def _archived(layouts: Sequence[Layout], archive: Path) -> tuple[Layout, dict[str, bytes]]:
    """Read in one pass and never unpacked to disk."""
    import tarfile

    with archive.open("rb") as packed:
        md5 = hashlib.file_digest(packed, "md5").hexdigest()
    layout = next((layout for layout in layouts if layout.md5 == md5), None)
    if layout is None:
        raise ValueError(
            f"{archive} is not an official {layouts[0].dataset} archive: it has "
            f"{archive.stat().st_size:,} bytes and md5 {md5}, "
            + " and ".join(f"{x.archive} has {x.size:,} and {x.md5}" for x in layouts)
            + ". Delete it and get it again; an unpacked folder may hold other images"
        )
    files = {}
    with tarfile.open(archive, "r:gz") as members:
        for member in members:
            path = PurePosixPath(member.name)
            if path.parent.name == layout.folder and (file := members.extractfile(member)):
                files[path.name] = file.read()
    return layout, files


def parsed(
    path: Path, content: bytes, parse: Parser, *, dataset: str, classes: int
) -> tuple[Images, Labels]:
    """Images and labels of one file; ValueError names it and says what is wrong."""
    try:
        images, labels = parse(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not len(images):
        raise ValueError(f"{path}: it holds no images")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"{path}: labels reach from {labels.min()} to {labels.max()}, but {dataset}'s lie in "
            f"0 .. {classes - 1}: the file is damaged or something else"
        )
    return images, labels.astype(np.uint8)
