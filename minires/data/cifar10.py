"""CIFAR-10: 60,000 images of 32 x 32 pixels in ten classes (Krizhevsky 2009)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from . import cifar_files
from .cifar_files import Layout, cache_dir
from .dataset import Dataset, Images

__all__ = ["BINARY", "CLASSES", "LAYOUTS", "PYTHON", "cache_dir", "find", "read"]

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
# Sums over all pixels of the official images, by channel: they tell whether images are official,
# whichever files they come from.
TRAIN_SUMS = (6_415_714_204, 6_295_060_180, 5_829_907_619)
TEST_SUMS = (1_290_492_328, 1_266_775_083, 1_176_108_223)


NUMBERS = range(1, 6)

BINARY = Layout(
    dataset="CIFAR-10",
    archive="cifar-10-binary.tar.gz",
    size=170_052_171,
    md5="c32a1d4ab5d03f1284b67883e8d87530",
    folder="cifar-10-batches-bin",
    train_files=tuple(f"data_batch_{number}.bin" for number in NUMBERS),
    test_file="test_batch.bin",
    parse=partial(cifar_files.parse_records, labels=1, which=0),
)
PYTHON = Layout(
    dataset="CIFAR-10",
    archive="cifar-10-python.tar.gz",
    size=170_498_071,
    md5="c58f30108f718f92721af3b95e74349a",
    folder="cifar-10-batches-py",
    train_files=tuple(f"data_batch_{number}" for number in NUMBERS),
    test_file="test_batch",
    parse=partial(cifar_files.parse_pickle, key="labels"),
)
LAYOUTS: tuple[Layout, ...] = (BINARY, PYTHON)


def find(*roots: Path) -> Path | None:
    """The first CIFAR-10 in the `roots`: an archive, a folder of batches, or a folder with one."""
    return cifar_files.find(LAYOUTS, roots)


def read(place: Path) -> Dataset:
    """Read what `find` found: images (N, 32, 32, 3) in the official order.

    Training images may be fewer than 50,000: `data_batch_1` to `data_batch_k` for any k, each of
    any length. The data set's name then says so, and it says where images are not the official
    ones; the first line of a file `about.txt` beside the batches, if there, tells what they are.
    Raises ValueError for a file that is truncated, damaged or not what its name says.
    """
    layout, files = cifar_files.files_at(LAYOUTS, place)
    count = max(1, sum(name in files for name in layout.train_files))
    names = (*layout.train_files[:count], layout.test_file)
    if missing := [name for name in names if name not in files]:
        raise ValueError(f"{place}: {missing[0]} is missing; unpack the official archive again")
    parse = partial(cifar_files.parsed, parse=layout.parse, dataset="CIFAR-10", classes=10)
    *train, test = (parse(place / name, files[name]) for name in names)
    train_images = np.concatenate([images for images, _ in train])
    train_labels = np.concatenate([labels for _, labels in train])
    test_images, test_labels = test
    about = files.get("about.txt", b"").decode(errors="replace").strip().partition("\n")[0]
    name = _name(train_images, test_images, about.strip())
    return Dataset(name, train_images, train_labels, test_images, test_labels, CLASSES)


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
