"""Finding and reading CIFAR-10: both layouts, unpacked and packed, whole and in part, damaged."""

import dataclasses
import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from minires.data import cifar10, how_to_get_cifar10, load
from minires.data.builtin import generate

from . import archives
from .archives import KINDS

pytestmark = pytest.mark.usefixtures("cache")

LAYOUT = {"binary": cifar10.BINARY, "python": cifar10.PYTHON}


def write_archive(place: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small archive of two training batches that passes for the official one."""
    content = archives.tar_gz(LAYOUT[kind].folder, archives.batches(kind))
    layout = dataclasses.replace(LAYOUT[kind], md5=hashlib.md5(content).hexdigest())
    monkeypatch.setattr(cifar10, "LAYOUTS", (layout,))
    path = place / layout.archive
    path.write_bytes(content)
    return path


def unpacked(tmp_path: Path, files: dict[str, bytes]) -> Path:
    return archives.write_folder(tmp_path / "batches", files)


def assert_two_batches(data: cifar10.Dataset) -> None:
    """The images and labels of `archives.batches`."""
    train = [archives.images_and_labels(7, seed) for seed in (1, 2)]
    np.testing.assert_array_equal(data.train_images, np.concatenate([x for x, _ in train]))
    np.testing.assert_array_equal(data.train_labels, np.concatenate([y for _, y in train]))
    test_images, test_labels = archives.images_and_labels(7, seed=0)
    np.testing.assert_array_equal(data.test_images, test_images)
    np.testing.assert_array_equal(data.test_labels, test_labels)
    assert data.train_images.flags.c_contiguous
    assert data.train_labels.dtype == np.uint8
    assert data.classes[3] == "cat"


# ------------------------------------------------------------------------------ found and read


@KINDS
@pytest.mark.parametrize("parent", [False, True])
def test_unpacked_batches_are_read(tmp_path: Path, kind: str, parent: bool) -> None:
    folder = archives.write_folder(tmp_path / LAYOUT[kind].folder, archives.batches(kind))
    assert_two_batches(load(data_dir=tmp_path if parent else folder))


@KINDS
@pytest.mark.parametrize("parent", [False, True])
def test_archives_are_read(
    tmp_path: Path, kind: str, parent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_archive(tmp_path, kind, monkeypatch)
    assert_two_batches(load(data_dir=tmp_path if parent else path))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", path.name]  # nothing unpacked


def test_the_cache_is_searched_after_data_dir(tmp_path: Path, cache: Path) -> None:
    archives.write_folder(cache / cifar10.BINARY.folder, archives.batches("binary"))
    assert_two_batches(load("auto"))
    assert_two_batches(load("cifar10"))
    other = archives.write_folder(tmp_path / "mine", archives.batches("binary", train=1))
    assert len(load(data_dir=other).train_images) == 7
    (tmp_path / "empty").mkdir()
    assert_two_batches(load("cifar10", data_dir=tmp_path / "empty"))


@pytest.mark.parametrize("name", ["auto", "cifar10", "builtin"])
@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("cifar-10-binary.tar", "but found cifar-10-binary.tar: put it there, or leave data_dir"),
        ("my-cifar.tar.gz", "but found my-cifar.tar.gz: put it there"),
        ("deep/er/cifar-10-batches-bin/data_batch_1.bin", r"but found deep: name .*e/deep/er$"),
        ("deep/cifar-10-python.tar.gz", r"but found deep: name .*e/deep$"),
        ("notes.txt", "but found notes.txt: put it there"),
        (None, "but found nothing: put it there"),
    ],
)
def test_a_folder_that_is_named_is_not_replaced_by_anything(
    tmp_path: Path, cache: Path, name: str, file: str | None, sentence: str
) -> None:
    archives.write_folder(cache / cifar10.BINARY.folder, archives.batches("binary"))
    (tmp_path / "e").mkdir()
    if file:
        (tmp_path / "e" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "e" / file).touch()
    if name == "builtin":
        with pytest.raises(ValueError, match="the built-in drawings lie in none, leave it out"):
            load(name, data_dir=tmp_path / "e")
    elif name == "auto" or (name == "cifar10" and file and file != "notes.txt"):
        with pytest.raises(FileNotFoundError, match=f"holds no CIFAR-10: expected .*{sentence}"):
            load(name, data_dir=tmp_path / "e")
    elif name == "cifar10":
        assert_two_batches(load(name, data_dir=tmp_path / "e"))


def test_auto_without_cifar10_gives_the_built_in_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minires.data.generate", lambda: generate(train=20, test=10))
    assert load("auto").name == load("builtin").name == "built-in drawings"


def test_python_3_pickles_are_read(tmp_path: Path) -> None:
    images, labels = archives.images_and_labels(7)
    content = pickle.dumps({"data": archives.planes(images), "labels": labels.tolist()}, protocol=4)
    data = load(data_dir=unpacked(tmp_path, {"data_batch_1": content, "test_batch": content}))
    np.testing.assert_array_equal(data.train_images, images)


def test_the_cache_folder_is_the_users_or_the_environments(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    assert cifar10.cache_dir() == cache
    assert str(cache) in how_to_get_cifar10()
    monkeypatch.delenv("MINIRES_DATA")
    assert "minires" in str(cifar10.cache_dir())


# ------------------------------------------------------------------------------------- the name


def test_the_name_counts_the_images_of_a_part(tmp_path: Path) -> None:
    folder = unpacked(tmp_path, archives.batches("binary"))
    assert load(data_dir=folder).name == "CIFAR-10 (14 training images, origin not checked)"


def test_the_name_says_what_about_txt_says(tmp_path: Path) -> None:
    folder = unpacked(tmp_path, archives.batches("binary"))
    (folder / "about.txt").write_text("JPEG copy\nmore, which is not read\n")
    assert load(data_dir=folder).name == "CIFAR-10 (JPEG copy, 14 training images)"


def test_only_the_official_images_are_called_cifar_10() -> None:
    official, other = np.zeros((50_000, 1, 1, 3), np.uint8), np.ones((10, 1, 1, 3), np.uint8)
    assert cifar10._name(official, other, "") == "CIFAR-10 (not the official images)"
    assert cifar10._name(official, other, "JPEG-q75 copy") == "CIFAR-10 (JPEG-q75 copy)"


def test_sums_tell_official_images(monkeypatch: pytest.MonkeyPatch) -> None:
    images, _ = archives.images_and_labels(7)
    sums = tuple(int(images[..., channel].sum()) for channel in range(3))
    monkeypatch.setattr(cifar10, "TRAIN_SUMS", sums)
    monkeypatch.setattr(cifar10, "TEST_SUMS", sums)
    assert cifar10._name(images, images, "") == "CIFAR-10"
    assert cifar10._name(images, 255 - images, "") != "CIFAR-10"


# ---------------------------------------------------------------------------- a sentence for each


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda f: f | {"data_batch_2.bin": f["data_batch_2.bin"][:-1]},
            "data_batch_2.bin: .*trunc",
        ),
        (lambda f: f | {"test_batch.bin": b""}, "test_batch.bin: 0 bytes are not a whole number"),
        (lambda f: f | {"data_batch_1.bin": b"\xff" * 3073}, "reach from 255 to 255"),
        (lambda f: f | {"data_batch_4.bin": f["data_batch_1.bin"]}, "data_batch_3.bin is missing"),
        (lambda f: {"test_batch.bin": f["test_batch.bin"]}, "data_batch_1.bin is missing"),
        (lambda f: {"data_batch_1.bin": f["data_batch_1.bin"]}, "test_batch.bin is missing"),
    ],
)
def test_damaged_binary_batches(tmp_path: Path, change: object, sentence: str) -> None:
    folder = unpacked(tmp_path, change(archives.batches("binary")))  # type: ignore[operator]
    with pytest.raises(ValueError, match=sentence):
        load(data_dir=folder)


class Hostile:
    """Pickles as a call of os.system."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.marker}",)


def test_a_hostile_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "was here"
    content = pickle.dumps({"data": Hostile(marker), "labels": []}, protocol=2)
    folder = unpacked(tmp_path, archives.batches("python") | {"data_batch_2": content})
    with pytest.raises(
        ValueError, match=r"data_batch_2: .*asks for (posix|nt)\.system, which is re"
    ):
        load(data_dir=folder)
    assert not marker.exists()


def python_batch(**changes: object) -> bytes:
    batch = {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1]}
    return pickle.dumps(batch | changes, protocol=4)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"no pickle", "data_batch_1: not a pickle of plain arrays"),
        (b"", "not a pickle of plain arrays"),
        (archives.batches("python")["data_batch_1"][:-100], "not a pickle of plain arrays"),
        (pickle.dumps([1, 2]), "a dict with 'data' and 'labels' was expected"),
        (pickle.dumps({"data": [1]}), "a dict with 'data' and 'labels' was expected"),
        (python_batch(data=np.zeros((2, 100), np.uint8)), r"shape \(N, 3072\).*\(2, 100\)"),
        (python_batch(data=np.zeros((2, 3072))), "must be uint8 .* is float64"),
        (python_batch(data=np.array([{}, 1], object)), "array of 'O8', not of numbers"),
        (python_batch(labels=[0]), "'labels' must be 2 whole numbers"),
        (python_batch(labels=[0, "cat"]), "'labels' must be 2 whole numbers"),
        (python_batch(labels=[[0], [1, 2]]), "data_batch_1: "),
        (python_batch(labels=[0, 10]), "labels reach from 0 to 10"),
        (python_batch(labels=[0, -1]), "labels reach from -1 to 0"),
        (python_batch(data=np.zeros((0, 3072), np.uint8), labels=np.zeros(0, int)), "no images"),
    ],
)
def test_damaged_python_batches(tmp_path: Path, content: bytes, sentence: str) -> None:
    folder = unpacked(tmp_path, archives.batches("python") | {"data_batch_1": content})
    with pytest.raises(ValueError, match=sentence):
        load(data_dir=folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive at all", archives.tar_gz("other", {"a": b"b"})],
    ids=["empty", "no archive", "another archive"],
)
def test_a_file_that_is_no_official_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=rf"not an official CIFAR-10 archive.*{len(content)} bytes"
    ):
        load(data_dir=tmp_path)


def test_wrong_names_and_places_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'cifar': expected 'auto', 'cifar10', 'cifar100'"):
        load("cifar")
    with pytest.raises(FileNotFoundError, match="nowhere is not there"):
        load(data_dir=tmp_path / "nowhere")
