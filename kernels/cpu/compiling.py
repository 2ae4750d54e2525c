"""How the kernels are compiled: when, with what options, and where the machine code is kept.

A kernel is compiled at its first call and never at import. The machine code is kept on disk. The
name of its folder holds a hash of all sources of this package and of the kernel's own package:
Numba alone checks only the file of a function, and would use old code after a change in a file that
the function calls into. The name also holds the vector width, and Numba's own key adds the
processor and its features. So several machines may share the folder.

Numba provides the threads: OpenMP if it is installed, else Numba's own pool, which runs only one
parallel kernel at a time. So `crop_flip`, which a data loader calls during training, is no parallel
kernel. Loaders use threads and never fork: a forked child of GNU OpenMP dies at its first parallel
kernel.

`NUMBA_CACHE_DIR` moves the folder. If it can't be written, every process compiles the kernels. What
is damaged there, by a full disk say, is compiled anew.
`MINIRES_LANES=8` compiles for 8 floats a vector where the processor has 16, for comparison.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
from numba.core import config, event
from numba.core.caching import FunctionCache


def vector_lanes() -> int:
    """Floats in a vector: 16 where the processor has AVX-512, else 8."""
    wish = os.environ.get("MINIRES_LANES")
    if wish not in (None, "8", "16"):
        raise ValueError(f"MINIRES_LANES must be 8 or 16, but is {wish!r}")
    return int(wish or (16 if llvm.get_host_cpu_features().get("avx512f") else 8))


LANES = vector_lanes()
PATIENCE = 120  # seconds for another process, after which this one compiles as well

PRANGE_ONLY = {
    "prange": True,
    "comprehension": False,
    "reduction": False,
    "inplace_binop": False,
    "setitem": False,
    "numpy": False,
    "stencil": False,
    "fusion": False,
}


def helper(function: Callable) -> Any:
    """A function that only kernels call; it is compiled into each of them."""
    return numba.njit(nogil=True, error_model="numpy")(function)


class ForgivingCache(FunctionCache):
    """Machine code on disk that may be damaged, or not fit there: then it is compiled.

    One process compiles a kernel; others that need it wait, asleep, and read what that one keeps.
    """

    def __init__(self, function: Callable) -> None:
        super().__init__(function)
        self.turn = contextlib.ExitStack()  # a locked file, as long as this process compiles

    def load_overload(self, *what: Any) -> Any:
        """The machine code; None where there is none that can be used: then it is our turn."""
        self.turn.close()  # where compiling has failed, nothing was kept
        if (found := self.read(*what)) is None:
            await_turn(self.turn, Path(self.cache_path) / f"{self._impl.filename_base}.lock")
            if (found := self.read(*what)) is not None:
                self.turn.close()
        return found

    def read(self, *what: Any) -> Any:
        """The machine code; None where there is none that can be used."""
        try:
            return super().load_overload(*what)
        except Exception:  # a damaged pickle can raise nearly anything
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, *what: Any) -> None:
        """Keep machine code, where the disk takes it."""
        with contextlib.suppress(OSError):
            super().save_overload(*what)
        self.turn.close()


def await_turn(turn: contextlib.ExitStack, path: Path) -> None:
    """Lock a file for as long as `turn` is open, once no other process holds it; or give up.

    A lock ends with its process. Where there are none, on Windows and some disks, nobody waits.
    """
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        file, end = turn.enter_context(path.open("w")), time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(0.05)


def compiled(function: Callable, **options: Any) -> Any:
    """A function that Numba compiles at its first call, or takes from our folder."""
    with cache_folder(home(function)) as cache:
        made = numba.njit(nogil=True, error_model="numpy", **options)(function)
        if cache:
            made._cache = ForgivingCache(made.py_func)
    return made


def kernel(function: Callable) -> Any:
    """An entry point that runs on the calling thread."""
    return compiled(function)


def parallel_kernel(function: Callable) -> Any:
    """An entry point whose `prange` loop runs on all threads.

    The loop must run over chunks whose number depends on shapes alone, and each chunk must write
    its own part of the result. Then the result has the same bits for any number of threads.
    """
    return compiled(function, parallel=PRANGE_ONLY)


def home(function: Callable) -> Path:
    """The folder of the file that defines a function."""
    return Path(function.__code__.co_filename).parent


@contextlib.contextmanager
def cache_folder(package: Path) -> Iterator[bool]:
    """A context that caches decorated functions in our folder; yields whether there is one."""
    folder, before = writable_folder(package), config.CACHE_DIR
    config.CACHE_DIR = str(folder or before)
    try:
        yield folder is not None
    finally:
        config.CACHE_DIR = before


@functools.cache
def writable_folder(package: Path) -> Path | None:
    """The cache folder for this version of the sources, or None where it can't be written."""
    try:
        folder = Path(config.CACHE_DIR or user_cache()) / f"kernels-{source_hash(package)}-{LANES}"
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError):  # the latter where the user has no home
        return None
    return folder


def user_cache() -> Path:
    """The user's cache folder on this system."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local")).expanduser() / "minires"
    if sys.platform == "darwin":
        return Path("~/Library/Caches/minires").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "minires"


def source_hash(package: Path) -> str:
    """A short hash of all files of a kernel's package and of this one."""
    digest = hashlib.sha256()
    for folder in sorted({package, Path(__file__).parent}):
        for path in sorted(folder.glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class Announcer(event.Listener):
    """Says once per process that compiling has begun: else the wait would look like a hang."""

    def __init__(self) -> None:
        self.said = False

    def on_start(self, event: Any) -> None:
        # Numba reports every function that it compiles, also those of other packages
        module = event.data["dispatcher"].py_func.__module__
        if module.startswith(__package__) and not self.said:
            self.said = True
            print(
                "minires: compiling the CPU kernels for this machine (once, under a minute) ...",
                file=sys.stderr,
                flush=True,
            )

    def on_end(self, event: Any) -> None:
        pass  # the base class demands it


event.register("numba:compile", Announcer())
