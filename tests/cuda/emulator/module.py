"""Compiled modules and their kernels, through ctypes."""

from __future__ import annotations

import ctypes
import functools
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import build
from .report import INT, POINTER, U32, U64, Index, Named, Narrator, Report
from .translate import Declaration, translate

SECONDS = 120  # of processor time that a launch may take
FOOTER = """
# 1 "footer"
extern "C" __attribute__((visibility("default"))) const emulator::Kernel* emulator_kernels() {{
  static const emulator::Kernel kernels[] = {{ {entries} {{nullptr, nullptr, nullptr}} }};
  return kernels;
}}
extern "C" __attribute__((visibility("hidden"))) char __ehdr_start, _end;
extern "C" __attribute__((visibility("default"))) const void* emulator_range(int end) {{
  return end ? &_end : &__ehdr_start;
}}
"""


class Region(ctypes.Structure):
    """`Region` of state.h."""

    _fields_ = (
        *(("start", POINTER), ("size", U64), ("granule", U32), ("writable", U32)),
        *(("written", POINTER), ("cells", POINTER), ("declaration", ctypes.c_char_p)),
        *(("element", U32), ("shared", U32)),
    )


class Launch(ctypes.Structure):
    """`Launch` of state.h."""

    _fields_ = (
        *(("call", POINTER), ("arguments", POINTER), ("grid", Index), ("block", Index)),
        *(("dynamic_shared", U64), ("seed", U64), ("regions", POINTER), ("region_count", INT)),
        *(("seconds", INT), ("code_start", POINTER), ("code_end", POINTER), ("checked", U32)),
        *(("traffic", U32), ("static_shared", U64), ("report", Report)),
    )


class KernelEntry(ctypes.Structure):
    """`Kernel` of runtime.h."""

    _fields_ = (("name", ctypes.c_char_p), ("signature", ctypes.c_char_p), ("call", POINTER))


@dataclass(frozen=True)
class Parameter:
    """What the compiler knows of a parameter; codes: `f4` float, `i8` long long, `f4x4` float4."""

    name: str
    code: str  # of the value, or of what the pointer points to
    pointer: bool
    const: bool
    restrict: bool

    @property
    def element(self) -> str:
        """The code of a vector's components, otherwise the code."""
        return self.code.split("x")[0]

    @property
    def size(self) -> int:
        """Bytes of the value, or of an element of what the pointer points to."""
        return int(self.element[1:])


@dataclass(frozen=True)
class Argument:
    """An array argument in detail: `written` marks, a byte each, what has been written."""

    array: np.ndarray
    written: np.ndarray | None = None
    name: str = ""


@dataclass(frozen=True)
class Kernel:
    """A kernel that can be launched."""

    name: str
    parameters: tuple[Parameter, ...]
    module: Module
    call: int

    def launch(
        self,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[Any],
        *,
        shared: int = 0,
        seed: int = 0,
        traffic: bool = False,
    ) -> int:
        """Run it; returns the bytes of shared memory that a block used.

        `seed` is the order of blocks and threads: 0 forward, 1 backward, else random by the seed.
        `traffic` counts requests to memory (mode check; see traffic.py).
        """
        values, arrays = self._values(arguments)
        pointers = (POINTER * max(len(values), 1))(*(ctypes.addressof(v) for v in values))
        extents = merged([Extent.of(*pair) for pair in arrays])
        regions = (Region * max(len(extents), 1))(*(extent.region() for extent in extents))
        request = Launch(
            self.call, ctypes.addressof(pointers), Index(*grid), Index(*block), shared, seed
        )
        request.regions, request.region_count = ctypes.addressof(regions), len(extents)
        request.seconds, request.traffic = SECONDS, traffic
        request.checked = self.module.mode == "check"
        request.code_start, request.code_end = self.module.code
        with launching:
            runtime().emulator_launch(ctypes.byref(request))
            if request.report.mistake:
                raise self._narrator(request.report, grid, block, extents).error()
        return request.static_shared

    def _values(self, arguments):
        if len(arguments) != len(self.parameters):
            raise TypeError(
                f"{self.name} takes {len(self.parameters)} arguments, not {len(arguments)}"
            )
        values, arrays = [], []
        for parameter, argument in zip(self.parameters, arguments, strict=True):
            if isinstance(argument, np.ndarray):
                argument = Argument(argument)
            if isinstance(argument, Argument):
                arrays.append((parameter, argument))
                values.append(POINTER(argument.array.ctypes.data))
            elif argument is None:
                values.append(POINTER(None))
            else:
                raw = np.asarray(argument).tobytes()
                values.append((ctypes.c_char * len(raw)).from_buffer_copy(raw))
        return values, arrays

    def _narrator(self, report, grid, block, extents) -> Narrator:
        named = [extent.named for extent in extents]
        place, base = self.module.path, self.module.code[0]
        return Narrator(report, self.name, place, base, grid, block, named, shared_arrays())


@dataclass(frozen=True)
class Extent:
    """Memory that the arguments of a launch reach."""

    named: Named
    granule: int
    writable: bool
    written: int | None  # address of the marks

    @classmethod
    def of(cls, parameter: Parameter, argument: Argument) -> Extent:
        """What one argument reaches."""
        array, written = argument.array, argument.written
        named = Named(parameter.name, array.ctypes.data, array.nbytes, array.itemsize, array.shape)
        marks = None if written is None else written.ctypes.data
        return cls(named, min(array.itemsize, parameter.size, 4), not parameter.const, marks)

    def overlaps(self, other: Extent) -> bool:
        """Whether an address lies in both; `other` starts at the same place or behind."""
        return other.named.start < self.named.start + self.named.nbytes

    def joined(self, other: Extent) -> Extent:
        """Both, where they overlap: written through one, read through the other."""
        first, second = self.named, other.named
        end = max(first.start + first.nbytes, second.start + second.nbytes)
        name = f"{first.name}/{second.name}"
        itemsize = min(first.itemsize, second.itemsize)
        named = Named(name, first.start, end - first.start, itemsize)
        marks = None if other.written is None else self.written
        granule = min(self.granule, other.granule)
        return Extent(named, granule, self.writable or other.writable, marks)

    def region(self) -> Region:
        """As the runtime takes it."""
        start, size = self.named.start, self.named.nbytes
        return Region(start, size, self.granule, self.writable, self.written)


def merged(extents: list[Extent]) -> list[Extent]:
    """Extents without overlaps, so that an address belongs to one."""
    apart: list[Extent] = []
    for extent in sorted(extents, key=lambda e: (e.named.start, -e.named.nbytes)):
        if apart and apart[-1].overlaps(extent):
            extent = apart.pop().joined(extent)
        apart.append(extent)
    return apart


def shared_arrays() -> list[Named]:
    """The shared arrays that the block in hand has declared so far."""
    count = INT.in_dll(runtime(), "emulator_shared_count")
    regions = (Region * 64).in_dll(runtime(), "emulator_shared_regions")
    return [
        Named(re.match(r"\w+", r.declaration.decode())[0], r.start, r.size, r.element)
        for r in regions[: count.value]
    ]


@dataclass
class Module:
    """A compiled text."""

    path: Path
    mode: str
    code: tuple[int, int]  # where it lies in memory
    kernels: dict[str, Kernel]

    def __getitem__(self, name: str) -> Kernel:
        return self.kernels[name]


launching = threading.Lock()  # the runtime serves one launch at a time


@functools.cache
def runtime() -> ctypes.CDLL:
    """The runtime, loaded once."""
    return ctypes.CDLL(str(build.runtime()), mode=ctypes.RTLD_GLOBAL)


@functools.cache
def load(
    text: str,
    name_expressions: tuple[str, ...] = (),
    options: tuple[str, ...] = (),
    mode: str = "fast",
    file: str = "kernel.cu",
) -> Module:
    """Compile the text of a module: its `extern "C"` kernels and the templates named.

    `options` are NVRTC's: -D counts, others don't. Raises `BuildError` with the compiler's message.
    """
    translation = translate(build.preprocess(f'#line 1 "{file}"\n{text}', options))
    names = [*(k.name for k in translation.kernels.values() if k.extern_c), *name_expressions]
    entries = " ".join(f'emulator::Describe<(&{name})>::entry("{name}"),' for name in names)
    path = build.library(translation.text + FOOTER.format(entries=entries), mode)
    return _open(path, mode, translation.kernels)


def _open(path: Path, mode: str, declarations: dict[str, Declaration]) -> Module:
    runtime()
    library = ctypes.CDLL(str(path))
    library.emulator_range.restype = POINTER
    library.emulator_kernels.restype = ctypes.POINTER(KernelEntry)
    module = Module(path, mode, (library.emulator_range(0), library.emulator_range(1)), {})
    entries = library.emulator_kernels()
    for i in range(1_000_000):
        if entries[i].name is None:
            return module
        name = entries[i].name.decode()
        declaration = declarations.get(re.sub(r"<.*", "", name).split("::")[-1])
        parameters = _parameters(entries[i].signature.decode(), declaration)
        module.kernels[name] = Kernel(name, parameters, module, entries[i].call)
    raise AssertionError("a module's table of kernels has no end")


def _parameters(signature: str, declaration: Declaration | None) -> tuple[Parameter, ...]:
    codes = [code for code in signature.split(",") if code]
    names = declaration.parameters if declaration else [f"argument {i}" for i in range(len(codes))]
    restrict = declaration.restrict if declaration else [False] * len(codes)
    return tuple(
        Parameter(name, code.lstrip("pP"), code[0] in "pP", code[0] == "p", alone)
        for name, code, alone in zip(names, codes, restrict, strict=True)
    )
