"""Every file that a user may name, cut at every length: read, or refused with a sentence."""

import json
import pickle

import numpy as np
import pytest

from minires.common.json_files import read_json
from minires.data import find_images, read_classes
from minires.data.cifar_files import parse_pickle, parse_records
from minires.training.records import read_records

LIST = "val_1.png,golden eagle\nval_2.png,n01440764 1 2 3 4\n"
CIFAR = {"data": np.zeros((1, 3072), np.uint8), "labels": [1]}


def labels(path):
    for number in (1, 2):
        (path.parent / f"val_{number}.png").touch()
    (path.parent / "map_clsloc.txt").write_text("n01440764 1 tench")
    return find_images(path.parent, labels=path)


FORMATS = {
    "classes.json": (b'[["n01440764", "tench"], ["n01443537", "g\xc3\xb6ld"]]', read_classes),
    "index.json": (b'{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}', read_classes),
    "classes.txt": ("n01440764 tench\nn01443537 göld fish\n".encode(), read_classes),
    "python.txt": (b"{0: 'tench',\n 1: 'goldfish'}", read_classes),
    "labels.csv": (LIST.encode(), labels),
    "head.csv": (b"image,class\n" + LIST.encode(), labels),
    "val.txt": (b"val_1.png 1\nval_2.png 0\n", labels),
    "tabs.txt": (b"val_1.png\tn01440764\t1\t2\t3\t4\nval_2.png\tn01440764\t1\t2\t3\t4\n", labels),
    "truth.txt": (b"1\n1\n", labels),
    "config.json": (json.dumps({"a": [1, {"b": None}]}).encode(), read_json),
    "records.jsonl": (b'{"kind": "interval", "step": 1}\n{"kind": "x", "step": 2}', read_records),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_text_is_read_or_refused(name, tmp_path):
    """11 formats, cut at each of their 451 lengths."""
    content, read = FORMATS[name]
    path = tmp_path / name
    path.write_bytes(content)
    read(path)
    for end in range(len(content)):
        path.write_bytes(content[:end])
        try:
            read(path)
        except (ValueError, OSError) as error:
            assert str(error)  # noqa: PT017


def test_a_last_record_that_lacks_its_end_alone_is_read(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_bytes(FORMATS["records.jsonl"][0])
    assert [record["step"] for record in read_records(path)] == [1, 2]
    path.write_bytes(FORMATS["records.jsonl"][0][:-1])
    assert [record["step"] for record in read_records(path)] == [1]


@pytest.mark.parametrize("protocol", range(6))
def test_so_are_cifars_pickles(protocol):
    """Cut at about 600 lengths each."""
    content = pickle.dumps(CIFAR, protocol=protocol)
    parse_pickle(content, key="labels")
    ends = {*range(300), *range(len(content) - 300, len(content))}
    for end in ends:
        with pytest.raises(ValueError, match=r"."):
            parse_pickle(content[:end], key="labels")


def test_so_are_cifars_records():
    for end in range(3073):
        with pytest.raises(ValueError, match="is it truncated"):
            parse_records(bytes(end), labels=1, which=0)
