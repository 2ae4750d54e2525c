"""What befalls the compiled kernels: damaged files, full disks, no home, forks, no compiler."""

import errno
import importlib.util
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from minires.kernels import dispatch

numba = pytest.importorskip("numba")
from minires.kernels.cpu import compiling  # noqa: E402

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

needs_locks = pytest.mark.skipif(fcntl is None, reason="this system does not lock files")

TWICE = """
from minires.kernels.cpu import compiling

@compiling.kernel
def twice(x):
    return 2 * x
"""


@pytest.fixture
def twice(tmp_path, monkeypatch):
    """A maker of one small kernel, each time as a new process would; and where its code is kept."""
    monkeypatch.setattr(compiling.config, "CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "small_kernel.py"
    path.write_text(TWICE)
    compiling.writable_folder.cache_clear()

    def make():
        spec = importlib.util.spec_from_file_location("small_kernel", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.twice

    yield make
    compiling.writable_folder.cache_clear()


def files(tmp_path):
    return sorted(path for path in (tmp_path / "cache").rglob("*.nb[ic]"))


def test_what_is_kept_is_used(twice, tmp_path):
    assert twice()(3) == 6
    assert len(files(tmp_path)) == 2
    again = twice()
    assert again(3) == 6
    assert again.stats.cache_hits


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_damaged_cache_is_compiled_anew(suffix, twice, tmp_path):
    """Cut at a dozen lengths, and overwritten."""
    twice()(3)
    [path] = [path for path in files(tmp_path) if path.suffix == suffix]
    whole = path.read_bytes()
    for cut in sorted({*range(4), *(len(whole) * n // 8 for n in range(1, 8)), len(whole) - 1}):
        path.write_bytes(whole[:cut])
        assert twice()(3) == 6
    for content in (b"\xff" * 100, b"no pickle", b"cos\nsystem\n."):
        path.write_bytes(content)
        assert twice()(3) == 6
    assert twice()(3) == 6


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_nothing_costs_only_time(number, twice, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile._open_for_write", refuse)
    assert twice()(3) == 6
    assert not files(tmp_path)


# ------------------------------------------------------------------- one compiles, others wait


HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def lock_of(kernel):
    """The file that whoever compiles a kernel locks."""
    return Path(kernel._cache.cache_path) / f"{kernel._cache._impl.filename_base}.lock"


@needs_locks
def test_the_lock_of_a_process_that_is_killed_ends_with_it(twice):
    kernel = twice()
    command = [sys.executable, "-c", HOLD, lock_of(kernel)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        threading.Timer(0.5, holder.kill).start()
        began = time.monotonic()
        assert kernel(3) == 6
    assert 0.4 < time.monotonic() - began < compiling.PATIENCE / 2


@needs_locks
def test_whoever_compiles_for_too_long_is_not_waited_for(twice, monkeypatch):
    monkeypatch.setattr(compiling, "PATIENCE", 0.2)
    kernel = twice()
    with lock_of(kernel).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert kernel(3) == 6
        assert twice()(3) == 6


@needs_locks
def test_after_compiling_the_lock_is_free_whether_or_not_it_succeeded(twice):
    kernel, began = twice(), time.monotonic()
    with pytest.raises(numba.TypingError):
        kernel(None)
    assert kernel(3) == 6
    assert time.monotonic() - began < compiling.PATIENCE / 2
    with lock_of(kernel).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@needs_locks
def test_where_nothing_can_be_locked_code_is_kept_all_the_same(twice, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert twice()(3) == 6
    monkeypatch.setitem(sys.modules, "fcntl", None)  # as on Windows
    assert twice()(2.5) == 5
    assert len(files(tmp_path)) == 3  # an index and two kernels


def test_without_a_home_nothing_is_kept(monkeypatch):
    def fail():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(compiling, "user_cache", fail)
    monkeypatch.setattr(compiling.config, "CACHE_DIR", "")
    compiling.writable_folder.cache_clear()
    assert compiling.writable_folder(Path(compiling.__file__).parent) is None
    compiling.writable_folder.cache_clear()


def test_without_a_compiler_the_reference_serves_and_says_so(monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    dispatch.why_no_cpu.cache_clear()
    try:
        assert dispatch.report()["float32"] == (
            "reference (NumPy), because NUMBA_DISABLE_JIT=1 is set"
        )
    finally:
        dispatch.why_no_cpu.cache_clear()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_after_the_first_kernel_is_told_to_spawn(monkeypatch):
    from minires import kernels

    x = np.ones((1, 4, 4, 16), np.float32)
    kernels.relu(x)  # whatever it is that runs: the threads are said to be there
    monkeypatch.setattr("numba.np.ufunc.parallel._is_initialized", True)
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        try:
            kernels.relu(x)
            said = "nothing"
        except RuntimeError as error:
            said = str(error)
        os.write(write, said.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as pipe:
        assert "multiprocessing.get_context('spawn')" in pipe.read()
    kernels.relu(x)  # the parent goes on
