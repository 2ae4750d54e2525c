"""Small files in CIFAR-10's two layouts, as the tests need them."""

import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

KINDS = pytest.mark.parametrize("kind", ["binary", "python"])
PYTHON2_ARRAY = (
    b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    b"(K\x01M%s\x4d\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
    b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T%s%stb"
)


def images_and_labels(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random images (N, 32, 32, 3) and labels (N,), uint8."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
    return images, rng.integers(0, 10, count).astype(np.uint8)


def planes(images: np.ndarray) -> np.ndarray:
    """(N, 32, 32, 3) -> (N, 3072): the red, the green and the blue plane."""
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def binary_batch(images: np.ndarray, labels: np.ndarray) -> bytes:
    """The records of a .bin file."""
    return np.concatenate([labels[:, None], planes(images)], axis=1).tobytes()


def python_batch(images: np.ndarray, labels: np.ndarray) -> bytes:
    """A batch pickled as Python 2 and NumPy 1 did it: {'data': array, 'labels': [ints]}."""
    data = planes(images).tobytes()
    array = PYTHON2_ARRAY % (struct.pack("<H", len(images)), struct.pack("<I", len(data)), data)
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels](" + numbers + b"eu."


def batches(kind: str, train: int = 2, count: int = 7) -> dict[str, bytes]:
    """File name -> content of `train` training batches and a test batch, of `count` images each.

    Batch k is made of `images_and_labels(count, seed=k)`; the test batch has seed 0.
    """
    make, suffix = {"binary": (binary_batch, ".bin"), "python": (python_batch, "")}[kind]
    files = {f"data_batch_{k}{suffix}": k for k in range(1, train + 1)} | {f"test_batch{suffix}": 0}
    return {name: make(*images_and_labels(count, seed)) for name, seed in files.items()}


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    """Write the files into a new folder."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def tar_gz(folder: str, files: dict[str, bytes]) -> bytes:
    """A tar.gz of the files, under `folder`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()
