"""Files of torch.save: a zip archive (since PyTorch 1.6) or the older run of pickles.

In an archive `NAME/data.pkl` describes the tensors, and `NAME/data/KEY` holds the numbers of each
storage. The older format is five pickles (a magic number, a version, facts about the machine, the
object, the storages' keys), then for each key a count and the numbers.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..autograd.function import Array
from . import tensor_pickles
from .tensor_pickles import DTYPES, SIZES, Storage, load

MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001
# what zipfile raises for a damaged archive; OSError too, when it seeks outside the file
DAMAGED = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError)


def read_pth(path: Path) -> Any:
    """What torch.save wrote: StoredTensors in dicts and lists. Their numbers are read when used.

    Raises: ValueError for a file that is damaged, or that asks for anything but tensors.
    """
    try:
        return read_archive(path) if zipfile.is_zipfile(path) else read_legacy(path)
    except (ValueError, struct.error, *DAMAGED) as error:
        raise ValueError(
            f"{path} can't be read as weights: {error}. What can be is a state dict, tensors by "
            f"name: torch.save(model.state_dict(), path), or a .safetensors file"
        ) from error


# ----------------------------------------------------------------------------- the zip archive


def read_archive(path: Path) -> Any:
    archive = Archive(path)
    return load(io.BytesIO(archive.read("data.pkl", tensor_pickles.LARGEST)), archive.storage)


class Archive:
    """The entries of a zip archive of torch.save, read in place: nothing is ever unpacked."""

    def __init__(self, path: Path) -> None:
        self.path, self.storages = path, dict[str, Storage]()
        with zipfile.ZipFile(path) as archive:
            self.entries = {info.filename: info for info in archive.infolist()}
        roots = [name.removesuffix("data.pkl") for name in self.entries if is_list(name)]
        if len(roots) != 1:
            raise ValueError("it is a zip archive, but not one that torch.save wrote")
        self.root = roots[0]
        if f"{self.root}byteorder" in self.entries and self.read("byteorder", 6) != b"little":
            raise ValueError("its numbers are big-endian, which is not supported")

    def read(self, name: str, limit: int) -> bytes:
        """The content of an entry of at most `limit` bytes."""
        info = self.entries.get(self.root + name)
        if info is None:
            raise ValueError(f"its entry {self.root + name} is missing")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise ValueError(f"its entry {info.filename} is packed, which torch.save never does")
        if info.file_size > min(limit, self.path.stat().st_size):
            raise ValueError(f"its entry {info.filename} claims {info.file_size:,} bytes")
        try:
            with zipfile.ZipFile(self.path) as archive:
                return whole(archive.read(info), info.file_size, f"its entry {info.filename}")
        except (OSError, *DAMAGED) as error:
            raise ValueError(f"it is damaged: {error}") from error

    def storage(self, note: Any) -> Storage:
        """A storage; its bytes are read when they are needed."""
        dtype, key, count = checked_note(note, 5)
        if key not in self.storages:
            self.storages[key] = storage = Storage(dtype, count, lambda: b"")
            info = self.entries.get(f"{self.root}data/{key}")
            if info is None or info.file_size != storage.nbytes:
                came = "is missing" if info is None else f"has {info.file_size:,} bytes"
                raise ValueError(f"storage {key} of {storage.nbytes:,} bytes {came}")
            storage.read = lambda: self.read(f"data/{key}", storage.nbytes)
        return same_storage(self.storages[key], dtype, count)


def is_list(name: str) -> bool:
    """Whether this is the entry with the list of tensors: NAME/data.pkl."""
    return name.count("/") == 1 and name.endswith("/data.pkl")


# ---------------------------------------------------------------------------- the older format


def read_legacy(path: Path) -> Any:
    """The object in a file of PyTorch before 1.6."""
    storages: dict[str, Storage] = {}

    def storage(note: Any) -> Storage:
        dtype, key, count = checked_note(note, 6)
        if note[5:] not in ((), (None,)):
            raise ValueError("it holds views of storages, which only PyTorch 0.x wrote")
        return same_storage(storages.setdefault(key, Storage(dtype, count, bytes)), dtype, count)

    with path.open("rb") as file:
        check_head(file)
        result = load(file, storage)
        keys = load(file, storage)
        named = type(keys) is list and all(type(key) is str for key in keys)
        if not named or set(keys) != storages.keys() or len(keys) != len(storages):
            raise ValueError("it is cut off, or the list of its storages is damaged")
        for key in keys:
            read_numbers(file, storages[key], path)
    return result


def check_head(file: IO[bytes]) -> None:
    """Refuse a file that does not begin like torch.save's older files."""
    start = file.read(2)
    if start == b"PK":
        raise ValueError("it is a zip archive that is cut off: get it again")
    if start[:1] != b"\x80":
        raise ValueError("it is neither a zip archive nor a pickle")
    file.seek(0)
    magic, version, system = (load(file, refuse_storage) for _ in range(3))
    if magic != MAGIC or version != LEGACY_VERSION:
        raise ValueError("torch.save did not write it")
    if type(system) is not dict or system.get("little_endian") is not True:
        raise ValueError("its numbers are big-endian, which is not supported")


def refuse_storage(_: Any) -> Storage:
    """Refuse a storage in the parts before the tensors."""
    raise ValueError("it is damaged")


def read_numbers(file: IO[bytes], storage: Storage, path: Path) -> None:
    """Note where a storage's numbers are, and go on behind them."""
    [count] = struct.unpack("<q", file.read(8))
    start, end = file.tell(), file.tell() + storage.nbytes
    if count != storage.count or end > path.stat().st_size:
        raise ValueError(f"it is cut off: {storage.nbytes:,} bytes of numbers are not all there")
    storage.read = lambda: read_range(path, start, storage.nbytes)
    file.seek(end)


def read_range(path: Path, start: int, count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return whole(file.read(count), count, "it")


# ------------------------------------------------------------------------------------ for both


def whole(content: bytes, size: int, what: str) -> bytes:
    """Refuse content that is shorter than it should be."""
    if len(content) != size:
        raise ValueError(f"{what} is cut off: {size:,} bytes were expected, {len(content):,} came")
    return content


def checked_note(note: Any, longest: int) -> tuple[str, str, int]:
    """dtype, key and count of ("storage", type, key, place, count)."""
    if type(note) is not tuple or not 5 <= len(note) <= longest or note[0] != "storage":
        raise ValueError("it refers to something that is no storage")
    _, dtype, key, _, count = note[:5]
    known = type(dtype) is type(key) is str and dtype in SIZES
    if not known or type(count) is not int or count < 0:
        raise ValueError("a storage in it is described in a way that makes no sense")
    return dtype, key, count


def same_storage(storage: Storage, dtype: str, count: int) -> Storage:
    """Refuse a key that stands for two different storages."""
    if (storage.dtype, storage.count) != (dtype, count):
        raise ValueError("one of its storages is described in two ways")
    return storage


# --------------------------------------------------------------------------------------- writing


def write_pth(path: Path, state: Mapping[str, Array]) -> None:
    """Write arrays, in PyTorch's layout, so that torch.load gives them back by name."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickled(state))
        archive.writestr("archive/byteorder", b"little")
        for key, array in enumerate(state.values()):
            plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            archive.writestr(f"archive/data/{key}", plain.tobytes())
        archive.writestr("archive/version", b"3\n")


def pickled(state: Mapping[str, Array]) -> bytes:
    """The list of tensors in the words that torch.load knows."""
    entries = b"".join(
        text(name) + rebuilt(array, key) for key, (name, array) in enumerate(state.items())
    )
    ordered = pickle.GLOBAL + b"collections\nOrderedDict\n" + pickle.EMPTY_TUPLE + pickle.REDUCE
    filled = pickle.MARK + entries + pickle.SETITEMS
    return pickle.PROTO + b"\x02" + ordered + filled + pickle.STOP


def rebuilt(array: Array, key: int) -> bytes:
    """torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())."""
    kind = next(kind for kind, dtype in DTYPES.items() if dtype == array.dtype.name)
    strides = [stride // array.itemsize for stride in np.empty(array.shape, array.dtype).strides]
    note = (
        pickle.MARK
        + text("storage")
        + pickle.GLOBAL
        + f"torch\n{kind}\n".encode()
        + text(str(key))
        + text("cpu")
        + number(array.size)
        + pickle.TUPLE
        + pickle.BINPERSID
    )
    ordered = pickle.GLOBAL + b"collections\nOrderedDict\n" + pickle.EMPTY_TUPLE + pickle.REDUCE
    view = number(0) + numbers(array.shape) + numbers(strides) + pickle.NEWFALSE + ordered
    function = pickle.GLOBAL + b"torch._utils\n_rebuild_tensor_v2\n"
    return function + pickle.MARK + note + view + pickle.TUPLE + pickle.REDUCE


def text(value: str) -> bytes:
    """Push a text."""
    content = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(content)) + content


def number(value: int) -> bytes:
    """Push a whole number below 2**31."""
    return pickle.BININT + struct.pack("<i", value)


def numbers(values: Any) -> bytes:
    """Push a tuple of them."""
    return pickle.MARK + b"".join(map(number, values)) + pickle.TUPLE
