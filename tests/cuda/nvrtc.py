"""NVIDIA's run-time compiler without a GPU: plain ctypes on the wheel `nvidia-cuda-nvrtc`.

Compiles a module for one architecture with the options that CuPy uses, and reads what the assembler
says of every kernel: registers, shared memory, spills, local memory. Results are cached by hash.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import re
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from .emulator.build import cache_folder, digest

WHEELS = ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu13", "nvidia-cuda-nvrtc-cu12")
ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
CUPY_OPTIONS = ("-std=c++17", "-ftz=true", "--device-as-default-execution-space")
FIRST = 13, 1  # the first version that knows these options; PyTorch for CUDA 13 brings an older one
STRICT_OPTIONS = ("-Werror=all-warnings", "--ptxas-options=-v")
ENTRY = re.compile(r"Compiling entry function '(\w+)'(.*?)(?=Compiling entry function|\Z)", re.S)


class CompileError(RuntimeError):
    """NVRTC refused the text; the message is its log."""


@dataclass(frozen=True)
class Resources:
    """What one kernel needs on one architecture; bytes, and threads of a block."""

    registers: int
    shared: int
    spills: int
    local: int
    threads: int  # of __launch_bounds__, 0 where there is none


def why_not() -> str:
    """The reason why NVRTC can't be used, or an empty string."""
    if library_path() is None:
        return "NVRTC is not installed: pip install nvidia-cuda-nvrtc"
    if tuple(map(int, version().split("."))) < FIRST:
        return f"NVRTC {version()} can't make errors of warnings: pip install -U nvidia-cuda-nvrtc"
    return ""


@functools.cache
def library_path() -> Path | None:
    """libnvrtc of an installed wheel."""
    for name in WHEELS:
        try:
            files = metadata.files(name) or []
        except metadata.PackageNotFoundError:
            continue
        for file in files:
            if re.fullmatch(r"libnvrtc\.so\.\d+", file.name):
                return Path(file.locate())
    return None


@functools.cache
def library() -> ctypes.CDLL:
    """The compiler."""
    nvrtc = ctypes.CDLL(str(library_path()))
    nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
    return nvrtc


@functools.cache
def version() -> str:
    """Such as 13.2."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


def compile_module(
    text: str, names: tuple[str, ...], architecture: int, options: tuple[str, ...] = STRICT_OPTIONS
) -> dict[str, Resources]:
    """Compile for sm_`architecture`; what each kernel of `names` needs. Raises `CompileError`."""
    options = (*CUPY_OPTIONS, *options, f"-arch=sm_{architecture}")
    wheel = str(os.stat(library_path()).st_size)
    key = digest(text, *names, *options, version(), wheel)
    place = cache_folder() / f"nvrtc-{key}.json"
    if not place.exists():
        found = _compile(text, names, options)
        fresh = place.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps({name: asdict(r) for name, r in found.items()}))
        fresh.replace(place)
    return {name: Resources(**r) for name, r in json.loads(place.read_text()).items()}


def _compile(text: str, names: tuple[str, ...], options: tuple[str, ...]) -> dict[str, Resources]:
    program = ctypes.c_void_p()
    nvrtc = library()
    _demand(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"module.cu", 0, 0, 0))
    try:
        for name in names:
            _demand(nvrtc.nvrtcAddNameExpression(program, name.encode()))
        array = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
        status = nvrtc.nvrtcCompileProgram(program, len(options), array)
        log = _text(program, "ProgramLog")
        if status:
            raise CompileError(log)
        return _resources(log, _text(program, "PTX"), _lowered(program, names))
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _lowered(program, names) -> dict[str, str]:
    """From mangled names to those of the source."""
    lowered = {}
    for name in names:
        mangled = ctypes.c_char_p()
        _demand(library().nvrtcGetLoweredName(program, name.encode(), ctypes.byref(mangled)))
        lowered[mangled.value.decode()] = name
    return lowered


def _resources(log: str, ptx: str, lowered: dict[str, str]) -> dict[str, Resources]:
    bounds = {
        name: int(threads)
        for name, threads in re.findall(r"\.entry (\w+)\([^)]*\)\s*\.maxntid (\d+)", ptx)
    }
    found = {}
    for name, text in ENTRY.findall(log):
        entry = text.split("Function properties for")
        found[lowered.get(name, name)] = Resources(
            _number(r"Used (\d+) registers", text),
            _number(r"(\d+) bytes smem", text),
            _number(r"(\d+) bytes spill stores", text) + _number(r"(\d+) bytes spill loads", text),
            _number(r"(\d+) bytes stack frame", entry[1] if len(entry) > 1 else text),
            bounds.get(name, 0),
        )
    return found


def _number(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    return int(match[1]) if match else 0


def _text(program, what: str) -> str:
    size = ctypes.c_size_t()
    _demand(getattr(library(), f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _demand(getattr(library(), f"nvrtcGet{what}")(program, buffer))
    return buffer.value.decode(errors="replace")


def _demand(status: int) -> None:
    if status:
        raise CompileError(library().nvrtcGetErrorString(status).decode())
