"""Compiles translated modules, and the runtime that they need, with g++; each text once.

Results are shared libraries in the user's cache folder (`MINIRES_CUDA_CACHE` names another one),
called after a hash of all that they depend on, and put there by a rename: so several processes may
build at once. What was built more than 30 days ago is deleted.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

FOLDER = Path(__file__).parent
RUNTIME = (
    *("runtime.cpp", "warp.cpp", "tensor.cpp", "copies.cpp"),
    *("checker.cpp", "between.cpp", "language.cpp", "traffic.cpp"),
)
COMMON = ("-std=c++17", "-g1", "-gdwarf-4", "-fPIC", "-march=native", "-fvisibility=hidden")
KERNEL_FLAGS = (
    *(
        "-fno-gnu-unique",
        "-fno-threadsafe-statics",
        "-fno-exceptions",
        "-fno-rtti",
    ),
    *("-w", "-ftrivial-auto-var-init=pattern"),
)
MODES = {
    "fast": ("-O2", "-ffp-contract=fast"),
    "check": (
        *("-O1", "-fsanitize=thread", "--param", "tsan-instrument-func-entry-exit=0"),
        *("--param", "tsan-distinguish-volatile=1"),
        "-fsanitize=bounds-strict,shift,signed-integer-overflow,integer-divide-by-zero,"
        "float-cast-overflow",
        *("-fno-store-merging", "-fno-tree-sra", "-fno-ipa-sra", "-ffp-contract=fast"),
    ),
}
KEPT_DAYS = 30


class BuildError(RuntimeError):
    """The compiler refused the text; the message is the compiler's."""


def compiler() -> str | None:
    """The C++ compiler to use, or None: `CXX`, else g++."""
    return shutil.which(os.environ.get("CXX", "g++"))


@functools.cache
def compiler_name() -> str:
    """The compiler and its major version: what it inlines decides which line is named."""
    return f"g++ {_run(['-dumpversion']).split('.')[0].strip()}"


def cache_folder() -> Path:
    """Where libraries are kept."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("MINIRES_CUDA_CACHE") or base / "minires" / "cuda-emulator")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def preprocess(text: str, options: tuple[str, ...]) -> str:
    """Expand macros and drop comments; lines stay where they are, by markers."""
    flags = ["-E", "-x", "c++", "-std=c++17", "-undef", *definitions(options), "-"]
    return _run(flags, text)


def definitions(options: tuple[str, ...]) -> list[str]:
    """What a kernel may ask the preprocessor, and the module's own -D options."""
    mine = [o for o in options if o.startswith(("-D", "--define-macro="))]
    return ["-D__CUDACC__", "-D__CUDACC_RTC__", "-D__CUDA_ARCH__=800", *mine]


def library(text: str, mode: str) -> Path:
    """The compiled module, built now or before."""
    flags = [*COMMON, *KERNEL_FLAGS, *MODES[mode]]
    name = f"{mode}-{digest(text, *flags, *_headers())}.so"
    return _cached(name, lambda target: _compile_module(text, flags, target))


def runtime() -> Path:
    """The scheduler and the checker, which all modules share."""
    texts = [(FOLDER / name).read_text(encoding="utf-8") for name in RUNTIME]
    flags = ["-O2", *COMMON, "-fvisibility=default", "-Wall", "-Wextra", "-shared"]
    name = f"runtime-{digest(*texts, *flags, *_headers())}.so"
    sources = [str(FOLDER / source) for source in RUNTIME]
    return _cached(name, lambda target: _run([*flags, *sources, "-o", str(target)]))


def _compile_module(text: str, flags: list[str], target: Path) -> None:
    compiled = target.with_suffix(".o")
    header = f"-include{FOLDER / 'cuda.h'}"
    try:
        _run([*flags, header, "-x", "c++", "-c", "-", "-o", str(compiled)], text)
        _run(["-shared", str(compiled), "-o", str(target)])  # the sanitizers' own stay outside
    finally:
        compiled.unlink(missing_ok=True)


def _run(arguments: list[str], text: str = "") -> str:
    program = compiler()
    if program is None:
        raise BuildError("no C++ compiler was found: install g++, or name one in CXX")
    done = subprocess.run(
        [program, *arguments],
        input=text,
        env=os.environ | {"LC_ALL": "C"},  # messages in English and ASCII
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildError(done.stderr)
    return done.stdout


def _cached(name: str, build) -> Path:
    place = cache_folder() / name
    if not place.exists():
        with tempfile.TemporaryDirectory(dir=place.parent, prefix="building-") as folder:
            fresh = Path(folder) / name
            build(fresh)
            os.replace(fresh, place)
        _forget_old(place.parent)
    return place


def _forget_old(folder: Path) -> None:
    limit = time.time() - KEPT_DAYS * 86400
    for path in folder.glob("*.so"):
        try:
            if path.stat().st_mtime < limit:
                path.unlink()
        except FileNotFoundError:
            continue  # another process was quicker


def digest(*texts: str) -> str:
    """A name for what depends on these texts, the compiler and the processor."""
    sha = hashlib.sha256()
    for text in [*texts, *_machine()]:
        sha.update(text.encode())
        sha.update(b"\0")
    return sha.hexdigest()[:24]


@functools.cache
def _headers() -> tuple[str, ...]:
    return tuple(path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.h")))


@functools.cache
def _machine() -> tuple[str, ...]:
    """The compiler's version and the processor's abilities, since -march=native uses them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        flags = platform.processor()
    return _run(["--version"]), flags
