"""Files are written whole or not at all, and what the disk says is told with their names."""

import errno
import os

import numpy as np
import pytest
from safetensors import SafetensorError

from minires.common.files import atomic
from minires.common.json_files import write_json
from minires.models import cifar_resnet
from minires.training.checkpoints import save_checkpoint
from minires.weights import save_torchvision

MODEL = cifar_resnet(8, seed="zeros")
WRITERS = {
    "x.json": lambda path: write_json(path, {"a": 1}),
    "x.pth": lambda path: save_torchvision(MODEL, path),
    "x.safetensors": lambda path: save_torchvision(MODEL, path),
    "checkpoint.safetensors": lambda path: save_checkpoint(path, {"x": np.ones(3)}, {}),
}
NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_takes_no_more_is_told_with_the_file(name, number, tmp_path, monkeypatch):
    """4 kinds of files x 4 errors."""
    path = tmp_path / name
    path.write_bytes(b"before")

    def refuse(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match=rf"{name} can't be written \({os.strerror(number)}\): make"):
        WRITERS[name](path)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert path.read_bytes() == b"before"


def test_so_is_what_safetensors_makes_of_it(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.numpy.save_file", refuse)
    with pytest.raises(OSError, match=r"can't be written .*os error 28.*resume\(\), or --resume"):
        save_checkpoint(tmp_path / "checkpoint.safetensors", {}, {})
    assert not list(tmp_path.iterdir())


def test_other_errors_stay_what_they_are(tmp_path):
    for error in (FileNotFoundError(2, "No such file", "elsewhere"), ValueError("of the writer")):
        with pytest.raises(type(error), match=r"elsewhere|of the writer"), atomic(tmp_path / "x"):
            raise error
