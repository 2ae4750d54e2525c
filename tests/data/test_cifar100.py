"""CIFAR-100: both layouts, unpacked and packed, classes and superclasses, damaged."""

import dataclasses
import hashlib
import pickle

import numpy as np
import pytest

from minires.data import cifar100, load

from . import archives
from .archives import KINDS

pytestmark = pytest.mark.usefixtures("cache")

LAYOUT = {"binary": cifar100.BINARY, "python": cifar100.PYTHON}


def batch(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, bytes]:
    """Images, classes, superclasses, and the file that holds them."""
    images, _ = archives.images_and_labels(7, seed)
    rng = np.random.default_rng(seed)
    fine, coarse = (rng.integers(0, n, 7).astype(np.uint8) for n in (100, 20))
    planes = archives.planes(images)
    if kind == "binary":
        return images, fine, coarse, np.column_stack([coarse, fine, planes]).tobytes()
    content = {"data": planes, "fine_labels": fine.tolist(), "coarse_labels": coarse.tolist()}
    return images, fine, coarse, pickle.dumps(content, protocol=4)


def files(kind: str) -> dict[str, bytes]:
    [train], test = LAYOUT[kind].train_files, LAYOUT[kind].test_file
    return {train: batch(kind, 1)[-1], test: batch(kind, 0)[-1]}


@KINDS
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["cifar100", "cifar100-coarse"])
def test_both_layouts_are_read(kind, packed, name, tmp_path, monkeypatch):
    layout = LAYOUT[kind]
    if packed:
        content = archives.tar_gz(layout.folder, files(kind))
        layout = dataclasses.replace(layout, md5=hashlib.md5(content).hexdigest())
        monkeypatch.setattr(cifar100, "LAYOUTS", (layout,))
        (tmp_path / layout.archive).write_bytes(content)
    else:
        archives.write_folder(tmp_path / layout.folder, files(kind))
    data = load(name, data_dir=tmp_path)
    for split, seed in (("train", 1), ("test", 0)):
        images, fine, coarse, _ = batch(kind, seed)
        np.testing.assert_array_equal(data.split(split)[0], images)
        expected = coarse if name.endswith("coarse") else fine
        np.testing.assert_array_equal(data.split(split)[1], expected)
    words = {"cifar100": "CIFAR-100", "cifar100-coarse": "CIFAR-100, 20 superclasses"}[name]
    assert data.name == words + ("" if packed else " (origin not checked)")
    assert len(data.classes) == {"cifar100": 100, "cifar100-coarse": 20}[name]


def test_the_cache_is_searched(cache):
    archives.write_folder(cache / cifar100.BINARY.folder, files("binary"))
    assert len(load("cifar100").train_images) == 7
    assert load("cifar100").train_labels.dtype == np.uint8


def test_class_names_are_in_the_official_order():
    assert list(cifar100.CLASSES) == sorted(set(cifar100.CLASSES))
    assert len(cifar100.CLASSES) == 100
    assert (cifar100.CLASSES[0], cifar100.CLASSES[99]) == ("apple", "worm")
    assert len(cifar100.SUPERCLASSES) == 20


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"train.bin": b"x" * 3073}, r"train.bin: 3,073 bytes are not .* records of 3,074 bytes"),
        (
            {"train.bin": b"\x00\x64" + bytes(3072)},
            "from 100 to 100, but CIFAR-100's lie in 0 .. 99",
        ),
        ({"test.bin": None}, "test.bin is missing"),
    ],
)
def test_damaged_files_are_named(change, sentence, tmp_path):
    content = {n: c for n, c in (files("binary") | change).items() if c is not None}
    folder = archives.write_folder(tmp_path / "batches", content)
    with pytest.raises(ValueError, match=sentence):
        load("cifar100", data_dir=folder)


def test_another_archive_is_refused(tmp_path):
    (tmp_path / "cifar-100-binary.tar.gz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="is not an official CIFAR-100 archive"):
        load("cifar100", data_dir=tmp_path)


def test_a_pickle_without_the_labels_is_refused(tmp_path):
    content = pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [0]})
    folder = archives.write_folder(tmp_path / "batches", {"train": content, "test": content})
    with pytest.raises(ValueError, match="a dict with 'data' and 'fine_labels' was expected"):
        load("cifar100", data_dir=folder)


def test_mirrors_have_a_variable_of_their_own():
    assert cifar100.BINARY.mirrors == "MINIRES_CIFAR100_MIRRORS"
    assert cifar100.BINARY.url == "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
