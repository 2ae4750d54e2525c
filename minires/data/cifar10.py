"""CIFAR-10 as its authors publish it: found on disk, checked, and read without unpacking.

Two archives hold the same 60,000 images (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html),
one of raw records and one of Python pickles. Either is read, as the tar.gz itself or unpacked.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from .dataset import Dataset, Images, Labels
from .unpickle import arrays_only

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
PIXELS = 3 * 32 * 32
RECORD = 1 + PIXELS  # bytes: a label, then the red, the green and the blue plane

# Sums over all pixels of the official images, by channel: they tell whether images are official,
# whichever files they come from.
TRAIN_SUMS = (6_415_714_204, 6_295_060_180, 5_829_907_619)
TEST_SUMS = (1_290_492_328, 1_266_775_083, 1_176_108_223)


def cache_dir() -> Path:
    """Where archives are kept: $MINIRES_DATA if set, else the user's cache folder for minires."""
    if place := os.environ.get("MINIRES_DATA"):
        return Path(place).expanduser()
    import pooch

    return Path(pooch.os_cache("minires"))


def find(*roots: Path) -> Path | None:
    """The first CIFAR-10 in the `roots`: an archive, a folder of batches, or a folder with one.

    Unpacked batches come before archives, the binary kind before the Python kind.
    """
    return next((place for root in roots for place in _places(root)), None)


def read(place: Path) -> Dataset:
    """Read what `find` found: images (N, 32, 32, 3) in the official order.

    Training images may be fewer than 50,000: `data_batch_1` to `data_batch_k` for any k, each of
    any length. The data set's name then says so, and it says where images are not the official
    ones; the first line of a file `about.txt` beside the batches, if there, tells what they are.
    Raises ValueError for a file that is truncated, damaged or not what its name says.
    """
    layout, files = _archived(place) if place.is_file() else _unpacked(place)
    count = max(1, sum(name in files for name in layout.train_files))
    names = (*layout.train_files[:count], layout.test_file)
    if missing := [name for name in names if name not in files]:
        raise ValueError(f"{place}: {missing[0]} is missing; unpack the official archive again")
    *train, test = (_parsed(place / name, files[name], layout.parse) for name in names)
    train_images = np.concatenate([images for images, _ in train])
    train_labels = np.concatenate([labels for _, labels in train])
    test_images, test_labels = test
    about = files.get("about.txt", b"").decode(errors="replace").strip().partition("\n")[0]
    name = _name(train_images, test_images, about.strip())
    return Dataset(name, train_images, train_labels, test_images, test_labels, CLASSES)


# ------------------------------------------------------------------------------- the two layouts


def parse_binary(content: bytes) -> tuple[Images, Labels]:
    """Records of 3,073 bytes: the label, then 32 x 32 red, green and blue."""
    if not content or len(content) % RECORD:
        raise ValueError(
            f"{len(content):,} bytes are not a whole number of records of {RECORD:,} bytes: "
            f"is it truncated?"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    return _images(records[:, 1:]), records[:, 0].copy()


def parse_python(content: bytes) -> tuple[Images, Labels]:
    """A pickled dict: `data`, uint8 of shape (N, 3072), planes as above, and a list `labels`."""
    batch = arrays_only(content)
    if isinstance(batch, dict):
        batch = {key.encode() if isinstance(key, str) else key: batch[key] for key in batch}
    if not isinstance(batch, dict) or not {b"data", b"labels"} <= batch.keys():
        raise ValueError("a dict with 'data' and 'labels' was expected")
    data, labels = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"])
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != PIXELS:
        raise ValueError(
            f"'data' must be uint8 of shape (N, {PIXELS}), but is {data.dtype} of shape "
            f"{data.shape}"
        )
    if labels.shape != (len(data),) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"'labels' must be {len(data)} whole numbers, but are {labels.dtype} of shape "
            f"{labels.shape}"
        )
    return _images(data), labels


def _images(planes: Images) -> Images:
    """(N, 3072) planes -> (N, 32, 32, 3), contiguous."""
    images = np.empty((len(planes), 32, 32, 3), np.uint8)
    for channel, plane in enumerate(np.split(planes, 3, axis=1)):
        images[..., channel] = plane.reshape(-1, 32, 32)
    return images


@dataclass(frozen=True)
class Layout:
    """One of the two official archives, and the folder it unpacks to."""

    archive: str
    size: int
    md5: str
    folder: str
    suffix: str
    parse: Callable[[bytes], tuple[Images, Labels]]

    @property
    def train_files(self) -> tuple[str, ...]:
        """The names of the five training batches."""
        return tuple(f"data_batch_{number}{self.suffix}" for number in range(1, 6))

    @property
    def test_file(self) -> str:
        """The name of the test batch."""
        return f"test_batch{self.suffix}"


BINARY = Layout(
    archive="cifar-10-binary.tar.gz",
    size=170_052_171,
    md5="c32a1d4ab5d03f1284b67883e8d87530",
    folder="cifar-10-batches-bin",
    suffix=".bin",
    parse=parse_binary,
)
PYTHON = Layout(
    archive="cifar-10-python.tar.gz",
    size=170_498_071,
    md5="c58f30108f718f92721af3b95e74349a",
    folder="cifar-10-batches-py",
    suffix="",
    parse=parse_python,
)
LAYOUTS = (BINARY, PYTHON)


# ------------------------------------------------------------------------------- files, as bytes


def _places(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
    for layout in LAYOUTS:
        yield from (p for p in (root, root / layout.folder) if _has_batches(p, layout))
    yield from (p for p in (root / layout.archive for layout in LAYOUTS) if p.is_file())


def _has_batches(folder: Path, layout: Layout) -> bool:
    return any((folder / name).is_file() for name in (layout.train_files[0], layout.test_file))


def _unpacked(folder: Path) -> tuple[Layout, dict[str, bytes]]:
    """The files of a folder of batches, by name."""
    layout = next(layout for layout in LAYOUTS if _has_batches(folder, layout))
    names = (*layout.train_files, layout.test_file, "about.txt")
    return layout, {n: (folder / n).read_bytes() for n in names if (folder / n).is_file()}


def _archived(archive: Path) -> tuple[Layout, dict[str, bytes]]:
    """The files of an official archive, by name, read in one pass and never unpacked to disk."""
    import tarfile

    with archive.open("rb") as packed:
        md5 = hashlib.file_digest(packed, "md5").hexdigest()
    layout = next((layout for layout in LAYOUTS if layout.md5 == md5), None)
    if layout is None:
        raise ValueError(
            f"{archive} is not an official CIFAR-10 archive: it has {archive.stat().st_size:,} "
            f"bytes and md5 {md5}, "
            + " and ".join(f"{x.archive} has {x.size:,} and {x.md5}" for x in LAYOUTS)
            + ". Delete it and get it again; an unpacked folder may hold other images"
        )
    files = {}
    with tarfile.open(archive, "r:gz") as members:
        for member in members:
            path = PurePosixPath(member.name)
            if path.parent.name == layout.folder and (file := members.extractfile(member)):
                files[path.name] = file.read()
    return layout, files


def _parsed(
    path: Path, content: bytes, parse: Callable[[bytes], tuple[Images, Labels]]
) -> tuple[Images, Labels]:
    try:
        images, labels = parse(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not len(images):
        raise ValueError(f"{path}: it holds no images")
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        raise ValueError(
            f"{path}: labels reach from {labels.min()} to {labels.max()}, but CIFAR-10's lie in "
            f"0 .. 9: the file is damaged or something else"
        )
    return images, labels.astype(np.uint8)


def _name(train_images: Images, test_images: Images, about: str) -> str:
    """The data set's name: "CIFAR-10" alone only for the official images, all of them."""
    if _sums(train_images) == TRAIN_SUMS and _sums(test_images) == TEST_SUMS:
        return "CIFAR-10"
    count = f"{len(train_images):,} training images"
    remark = about or "not the official images"
    if len(train_images) == 50_000:
        return f"CIFAR-10 ({remark})"
    return f"CIFAR-10 ({about}, {count})" if about else f"CIFAR-10 ({count}, origin not checked)"


def _sums(images: Images) -> tuple[int, ...]:
    by_pixel = images.sum(axis=0, dtype=np.int64)  # first over the images: 10 times as fast
    return tuple(int(total) for total in by_pixel.sum(axis=(0, 1)))
