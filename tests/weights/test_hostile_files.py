"""Hostile and damaged files: each is refused with a sentence."""

import json
import os
import pickle
import struct
import zipfile
import zlib
from collections import OrderedDict
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minires.models import cifar_resnet
from minires.weights import load_torchvision, pth, save_torchvision, tensor_pickles, torchvision
from minires.weights.pth import MAGIC, number, numbers, read_pth, text, write_pth
from minires.weights.torchvision import torch_state


class Call:
    """Pickled, it is a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def archive(path, entries, compression=zipfile.ZIP_STORED):
    """A zip archive of these entries."""
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return path


def in_archive(path, program):
    """A file of torch.save whose list of tensors is this program, with a storage of 6 numbers."""
    return archive(path, {"a/data.pkl": program, "a/data/0": np.arange(6, dtype="<f4").tobytes()})


def as_legacy(path, program):
    """The same in the older format."""
    head = [MAGIC, 1001, {"little_endian": True, "protocol_version": 1001}]
    path.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in head) + program)
    return path


FORMATS = pytest.mark.parametrize("write", [in_archive, as_legacy])


def note(key="0", count=6, kind="FloatStorage", tag="storage"):
    """The persistent id of a storage."""
    parts = text(tag) + b"ctorch\n" + kind.encode() + b"\n" + text(key) + text("cpu")
    return b"(" + parts + number(count) + b"tQ"


def tensor(shape, strides, offset=0, storage=None, function=b"_rebuild_tensor_v2"):
    """{"x": a view of the storage}."""
    view = number(offset) + numbers(shape) + numbers(strides) + b"\x89}"
    call = b"ctorch._utils\n" + function + b"\n(" + (storage or note()) + view + b"tR"
    return b"\x80\x02}" + text("x") + call + b"s."


CALLS = {
    "os.system": (os.system, "touch {canary}"),
    "eval": (eval, "open('{canary}', 'w')"),
    "open": (open, "{canary}", "w"),
    "getattr": (getattr, "text", "upper"),
    "partial": (partial, os.system, "touch {canary}"),
    "bytearray": (bytearray, 1 << 40),
    "a namespace": (SimpleNamespace,),
}


@FORMATS
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_nothing_is_called(write, protocol, call, tmp_path):
    canary = tmp_path / "canary"
    function, *arguments = call
    arguments = [a.format(canary=canary) if isinstance(a, str) else a for a in arguments]
    program = pickle.dumps({"x": Call(function, *arguments)}, protocol=protocol)
    with pytest.raises(
        ValueError, match=r"can't be read as weights: it asks for .*, which is refused"
    ):
        load_torchvision(write(tmp_path / "evil.pth", program))
    assert not canary.exists()


@FORMATS
def test_the_machine_it_asks_about_is_not_even_looked_up(write, tmp_path):
    """The name of a module that does not exist is refused as any other, without an import."""
    program = b"\x80\x02cthis_is_no_module\nx\n."
    with pytest.raises(ValueError, match=r"it asks for this_is_no_module\.x, which is refused"):
        load_torchvision(write(tmp_path / "evil.pth", program))


INSTRUCTIONS = {
    "INST": b"(S'touch x'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'x'\no.",
    "NEWOBJ_EX": b"\x80\x04ccollections\nOrderedDict\n)}\x92.",
    "EXT1": b"\x82\x01.",
    "STRING": b"S'text'\n.",
    "LONG": b"L" + b"9" * 900 + b"L\n.",
    "PERSID": b"P0\n.",
    "BINBYTES8": b"\x8e" + struct.pack("<Q", 4) + b"abcd.",
}


@FORMATS
@pytest.mark.parametrize("program", INSTRUCTIONS.values(), ids=INSTRUCTIONS.keys())
def test_instructions_that_torch_save_never_writes(write, program, tmp_path):
    with pytest.raises(ValueError, match="can't be read as weights"):
        load_torchvision(write(tmp_path / "evil.pth", program))


TENSORS = {
    "beyond the storage": (tensor((7,), (1,)), "reaches beyond its 6 numbers"),
    "an offset beyond": (tensor((2,), (1,), offset=5), "reaches beyond"),
    "strides beyond": (tensor((2, 2), (4, 2)), "reaches beyond"),
    "a negative stride": (tensor((2,), (-1,), offset=1), "makes no sense"),
    "a negative offset": (tensor((2,), (1,), offset=-4), "makes no sense"),
    "a negative size": (tensor((-2,), (1,)), "makes no sense"),
    "a terabyte out of one number": (tensor((1 << 20, 1 << 20), (0, 0)), "reaches beyond"),
    "more strides than axes": (tensor((2,), (1, 1)), "makes no sense"),
    "65 axes": (tensor((1,) * 65, (1,) * 65), "makes no sense"),
    "no storage": (tensor((2,), (1,), storage=number(3)), "makes no sense"),
    "a storage of 2 GB": (tensor((2,), (1,), storage=note(count=(1 << 31) - 1)), "storage"),
    "a negative storage": (tensor((2,), (1,), storage=note(count=-6)), "makes no sense"),
    "a storage of objects": (tensor((2,), (1,), storage=note(kind="OStorage")), "OStorage"),
    "another reference": (tensor((2,), (1,), storage=note(tag="module")), "is no storage"),
    "another function": (tensor((2,), (1,), function=b"_rebuild_qtensor"), "_rebuild_qtensor"),
    "a call of a type": (b"\x80\x02ctorch\nFloatStorage\n)R.", "that is no function"),
    "a call of a number": (b"\x80\x02K\x01)R.", "that is no function"),
    "attributes of a number": (b"\x80\x02K\x01}b.", "sets attributes of something"),
    "a list for a name": (b"\x80\x02}]K\x01s.", "fills a dict in a way"),
    "a tuple for a name": (b"\x80\x02}K\x01\x85K\x01s.", "fills a dict in a way"),
    "an empty stack": (b"\x80\x020.", "can't be read"),
    "a memo that is not there": (b"\x80\x02h\x07.", "it is damaged"),
    "a full OrderedDict": (b"\x80\x02ccollections\nOrderedDict\n]\x85R.", "with contents"),
    "a number": (b"\x80\x02K\x01.", "holds no state dict"),
    "an empty dict": (b"\x80\x02}.", "holds no state dict"),
    "a dict of numbers": (b"\x80\x02}" + text("x") + b"K\x01s.", "holds no state dict"),
}


@pytest.mark.parametrize(("program", "sentence"), TENSORS.values(), ids=TENSORS.keys())
def test_tensors_that_make_no_sense(program, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        load_torchvision(in_archive(tmp_path / "evil.pth", program))


# as a tree it has no end: to look into it, or to hash it, would take ages
TUPLES = b")" + b"q\x00h\x00\x86" * 200


@pytest.mark.parametrize(
    "keys", [b"](]e.", b"](" + TUPLES + b"e.", b"](K\x00e."], ids=["a list", "tuples", "a number"]
)
def test_an_older_files_keys_are_text(keys, tmp_path):
    path = as_legacy(tmp_path / "evil.pth", tensor((2,), (1,)) + b"\x80\x02" + keys)
    with pytest.raises(ValueError, match="the list of its storages is damaged"):
        load_torchvision(path)


@FORMATS
@pytest.mark.parametrize(
    "program",
    [
        TUPLES + text("x") + b"\x93.",
        tensor(
            (2,),
            (1,),
            storage=b"(" + text("storage") + TUPLES + text("0") + text("cpu") + number(6) + b"tQ",
        ),
    ],
    ids=["a name", "the numbers of a storage"],
)
def test_tuples_without_end(write, program, tmp_path):
    with pytest.raises(ValueError, match=r"whose name is no text|makes no sense"):
        load_torchvision(write(tmp_path / "evil.pth", b"\x80\x02" + program))


def test_the_same_programs_read_where_they_make_sense(tmp_path):
    """This shows that those above are refused for their reasons."""
    content = read_pth(in_archive(tmp_path / "good.pth", tensor((2, 2), (1, 3), offset=1)))
    np.testing.assert_array_equal(content["x"].load(), [[1, 4], [2, 5]])


@pytest.mark.parametrize("shape", [(1, 2), (2, 0)])
def test_strides_that_are_never_taken_may_be_anything(shape, tmp_path):
    """A copy of a part of a tensor has them in PyTorch too."""
    huge = b"\x8a\x09" + (1 << 64).to_bytes(9, "little")
    program = tensor(shape, (7, 1)).replace(number(7), huge)
    assert huge in program
    found = read_pth(in_archive(tmp_path / "good.pth", program))["x"].load()
    np.testing.assert_array_equal(found, np.arange(np.prod(shape)).reshape(shape))


@pytest.mark.parametrize("key", ["../../../../etc/passwd", "/etc/passwd", "..", "1"])
def test_a_storage_elsewhere_is_not_read(key, tmp_path):
    program = tensor((2,), (1,), storage=note(key))
    with pytest.raises(ValueError, match=r"storage .* of 24 bytes is missing"):
        load_torchvision(in_archive(tmp_path / "evil.pth", program))


def test_an_archive_is_never_unpacked(tmp_path):
    entries = {"a/data.pkl": tensor((2,), (1,)), "../evil": b"x", "a/../../evil": b"x"}
    path = archive(tmp_path / "deep.pth", entries | {"a/data/0": bytes(24)})
    read_pth(path)
    assert [p.name for p in tmp_path.iterdir()] == ["deep.pth"]
    assert not (tmp_path.parent / "evil").exists()


def test_a_packed_entry_is_refused(tmp_path):
    """It could unpack to any size."""
    entries = {"a/data.pkl": tensor((2,), (1,)), "a/data/0": bytes(24)}
    path = archive(tmp_path / "bomb.pth", entries, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=r"a/data.pkl is packed, which torch.save never does"):
        load_torchvision(path)


def test_an_entry_that_claims_more_than_the_file_holds(tmp_path, monkeypatch):
    path = in_archive(tmp_path / "liar.pth", tensor((2,), (1,)))
    content = path.read_bytes()
    at = content.rindex(b"PK\x01\x02") + 24  # size in the directory, of a/data/0
    assert struct.unpack("<I", content[at : at + 4]) == (24,)
    path.write_bytes(content[:at] + struct.pack("<I", 1 << 30) + content[at + 4 :])
    with pytest.raises(ValueError, match=r"storage 0 of 24 bytes has 1,073,741,824 bytes"):
        load_torchvision(path)
    program = tensor((2,), (1,), storage=note(count=1 << 28))
    path = in_archive(path, program)
    content = path.read_bytes()
    at = content.rindex(b"PK\x01\x02") + 24
    path.write_bytes(content[:at] + struct.pack("<I", 1 << 30) + content[at + 4 :])
    with pytest.raises(ValueError, match=r"claims 1,073,741,824 bytes"):
        read_pth(path)["x"].load()


@FORMATS
def test_a_list_without_end(write, tmp_path, monkeypatch):
    monkeypatch.setattr(tensor_pickles, "LARGEST", 10_000)
    with pytest.raises(ValueError, match=r"longer than 10,000 bytes|claims 10,003 bytes"):
        load_torchvision(write(tmp_path / "long.pth", b"\x80\x02" + b"]" * 10_001))


@FORMATS
def test_a_text_that_is_said_to_be_long(write, tmp_path):
    """Nothing is reserved for it."""
    program = b"\x80\x02X" + struct.pack("<I", (1 << 32) - 1) + b"abc."
    with pytest.raises(ValueError, match=r"longer than 4,194,304 bytes"):
        load_torchvision(write(tmp_path / "long.pth", program))


def test_an_entry_that_is_shorter_than_it_claims(tmp_path):
    path = in_archive(tmp_path / "short.pth", tensor((2,), (1,)))
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02") + 16  # checksum and packed size in the directory
    struct.pack_into("<II", content, at, zlib.crc32(bytes(4)), 4)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a/data/0 is cut off: 24 bytes were expected"):
        read_pth(path)["x"].load()


@FORMATS
def test_numbers_that_are_lost_between_looking_and_reading(write, tmp_path, monkeypatch):
    """Whatever reading them raises, the error names the file and the tensor."""
    model, path = cifar_resnet(8, seed=0), tmp_path / "x.pth"
    arrays = torch_state(model)
    write_pth(path, arrays) if write is in_archive else as_legacy(path, legacy(arrays))
    looked = torchvision.read_state

    def cut(path):
        state = looked(path)
        path.write_bytes(path.read_bytes()[: -path.stat().st_size // 2])
        return state

    monkeypatch.setattr(torchvision, "read_state", cut)
    with pytest.raises(ValueError, match=r"x.pth: the numbers of \S+ can't be read"):
        load_torchvision(path, model)


def test_other_archives(tmp_path):
    for entries in ({"x": b""}, {"a/data.pkl": b".", "b/data.pkl": b"."}, {"data.pkl": b"."}):
        with pytest.raises(ValueError, match="but not one that torch"):
            load_torchvision(archive(tmp_path / "other.pth", entries))
    big = {"a/data.pkl": b".", "a/byteorder": b"big"}
    with pytest.raises(ValueError, match="big-endian"):
        load_torchvision(archive(tmp_path / "other.pth", big))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "neither a zip archive nor a pickle"),
        (b"<html>Not found</html>", "can't be read as weights: it is a web page: download"),
        (b"\n<!DOCTYPE html>", "can't be read as weights: it is a web page: download"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "it is a pointer of Git LFS, not the"),
        (b"PK\3\4", "it is a zip archive that is cut off: get it again"),
        (pickle.dumps({"x": 1}, protocol=2), "can't be read as weights"),
        (pickle.dumps(1, protocol=2) * 3, "torch.save did not write it"),
    ],
)
def test_other_files(content, sentence, tmp_path):
    path = tmp_path / "other.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        load_torchvision(path)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file of weights"):
        load_torchvision(tmp_path / "none.pth")
    with pytest.raises(FileNotFoundError, match="there is no file of weights"):
        load_torchvision(tmp_path)


def test_a_safetensors_file_that_is_none(tmp_path):
    path = tmp_path / "other.safetensors"
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(ValueError, match="is not a whole safetensors file"):
        load_torchvision(path)


@pytest.mark.parametrize(("kind", "size"), [("F8_E4M3", 2), ("F8_E5M2", 2), ("F4", 1), ("C64", 16)])
def test_safetensors_of_other_numbers(kind, size, tmp_path):
    path = tmp_path / "other.safetensors"
    entry = {"dtype": kind, "shape": [2], "data_offsets": [0, size]}
    head = json.dumps({"x": entry}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(size))
    with pytest.raises(ValueError, match=f"the numbers of x are {kind}, .* save them as F32"):
        load_torchvision(path)


# ---------------------------------------------------------------------------------- cut and damaged


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of small files in both formats."""
    folder = tmp_path_factory.mktemp("whole")
    arrays = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.zeros((), np.int64)}
    write_pth(folder / "new.pth", arrays)
    as_legacy(folder / "old.pth", legacy(arrays))
    return {path.stem: path.read_bytes() for path in folder.iterdir()}


def legacy(arrays):
    """Object, keys and numbers of the older format."""
    keys = pickle.dumps([str(i) for i in range(len(arrays))], protocol=2)
    content = [struct.pack("<q", a.size) + a.tobytes() for a in arrays.values()]
    return pth.pickled(arrays) + keys + b"".join(content)


def test_the_whole_files_are_read(whole, tmp_path):
    for content in whole.values():
        path = tmp_path / "x.pth"
        path.write_bytes(content)
        x = read_pth(path)["x"].load()
        np.testing.assert_array_equal(x, np.arange(6).reshape(2, 3))


@pytest.mark.parametrize("kind", ["new", "old"])
def test_a_file_cut_anywhere_is_refused(kind, whole, tmp_path):
    path = tmp_path / "cut.pth"
    for end in range(len(whole[kind])):
        path.write_bytes(whole[kind][:end])
        with pytest.raises(ValueError, match="can't be read as weights"):
            load_torchvision(path)


@settings(max_examples=100)
@given(kind=st.sampled_from(["new", "old"]), data=st.data())
def test_a_changed_byte_is_read_or_refused_but_never_crashes(kind, data, whole, tmp_path_factory):
    content = bytearray(whole[kind])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "bent.pth"
    path.write_bytes(bytes(content))
    try:
        state = read_pth(path)
        for value in state.values() if isinstance(state, dict) else ():
            if hasattr(value, "load"):
                value.load()
    except ValueError:
        pass


def test_a_damaged_number_is_noticed_by_its_checksum(tmp_path):
    """And the network is as it was."""
    model = cifar_resnet(8, seed=0)
    path = tmp_path / "x.pth"
    save_torchvision(cifar_resnet(8, seed=1), path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    before = model.state_dict()
    with pytest.raises(ValueError, match=r"x.pth: .*CRC"):
        load_torchvision(path, model)
    assert all(np.array_equal(before[name], array) for name, array in model.state_dict().items())


def test_an_ordered_dict_with_its_metadata_is_plain_enough(tmp_path):
    """What torch.save writes around a state dict: attributes of an OrderedDict."""
    state = OrderedDict()
    state._metadata = OrderedDict()
    program = pickle.dumps(state, protocol=2)
    assert read_pth(in_archive(tmp_path / "empty.pth", program)) == {}
