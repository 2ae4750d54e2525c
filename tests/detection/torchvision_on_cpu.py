"""PyPI's torchvision, which is built for CUDA, beside a PyTorch for the CPU.

Its library `_C.so` wants functions of CUDA, none of which is ever called on a CPU. So they are made
up: one C file defines all that PyTorch's own libraries do not. It takes `gcc` and `nm`. Operators,
their gradients and the detectors run; only the reading of JPEG does not.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

STUBS = ("libcudart.so.13", "libtorch_cuda.so", "libc10_cuda.so")  # the last one has everything
OBJECTS = ("allocator",)  # what is data; the rest are functions
SYSTEM = ("libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1")


def load(folder: Path) -> ModuleType:
    """torchvision from the folder of its unpacked wheel."""
    import torch

    libraries = list(Path(torch.__file__).with_name("lib").glob("*.so*"))
    library = folder / "torchvision" / "_C.so"
    known = set().union(*(names(path, "--defined-only") for path in libraries))
    for name in SYSTEM:
        known |= names(Path(found(name)), "--defined-only")
    missing = sorted(names(library, "--undefined-only") - known)
    with tempfile.TemporaryDirectory() as build:
        for stub in STUBS:
            path = compiled(Path(build), stub, missing if stub == STUBS[-1] else ())
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    sys.path.insert(0, str(folder))
    import torchvision

    return torchvision


def names(library: Path, which: str) -> set[str]:
    """The symbols of a library, without their versions; weak ones may be missing."""
    text = subprocess.run(
        ["nm", "-D", which, str(library)], capture_output=True, text=True, check=True
    ).stdout
    entries = [line.split()[-2:] for line in text.splitlines()]
    wanted = [name for kind, name in entries if which == "--defined-only" or kind == "U"]
    return {name.split("@")[0] for name in wanted}


def found(name: str) -> str:
    """The path of a library of the system."""
    program = ["gcc", f"-print-file-name={name}"]
    return subprocess.run(program, capture_output=True, text=True, check=True).stdout.strip()


def compiled(folder: Path, name: str, symbols: Iterable[str]) -> Path:
    """A library of this name that defines these symbols: functions that return their own address,
    for one of them must not return null."""
    lines = [
        f"void *{symbol}[8];" if is_object(symbol) else f"void *{symbol}() {{ return {symbol}; }}"
        for symbol in symbols
    ]
    source, path = folder / "stubs.c", folder / name
    source.write_text("\n".join(lines) + "\n")
    flags = ["-shared", "-fPIC", "-w", f"-Wl,-soname,{name}"]
    subprocess.run(["gcc", *flags, "-o", str(path), str(source)], check=True)
    return path


def is_object(symbol: str) -> bool:
    """Whether a mangled name is one of `OBJECTS`: functions have parameters behind their name."""
    return any(symbol.endswith(f"{len(name)}{name}E") for name in OBJECTS)
