"""`RawModule` and `RawKernel`: launches by CuPy's rules, run by the emulator.

CuPy passes arguments as they are: the pointer of an array, whatever its strides; a Python int as 8
bytes, a float as a double; and it compares nothing with the kernel's parameters. Here everything
is compared, and a difference is a `Misuse`.
"""

from __future__ import annotations

import re
import weakref

import numpy as np

from .. import emulator
from ..emulator import Argument, Parameter
from .array import BFLOAT16, ndarray
from .machine import CUDARuntimeError, Misuse, machine

MAX_GRID, MAX_BLOCK, MAX_THREADS = (2**31 - 1, 65535, 65535), (1024, 1024, 64), 1024
SHARED_MEMORY, MOST_SHARED_MEMORY = 48 << 10, 227 << 10  # at a launch; if the kernel asks for it


class CUDADriverError(RuntimeError):
    """An error of the CUDA driver; the message starts with its name."""


class CompileException(Exception):
    """The text could not be compiled; the message is the compiler's."""


class RawModule:
    """A module of CUDA C from its text."""

    def __init__(self, code=None, *, path=None, options=(), backend="nvrtc",
                 translate_cucomplex=False, enable_cooperative_groups=False,
                 name_expressions=None, jitify=None):  # fmt: skip
        if (code is None) == (path is None):
            raise TypeError("Exactly one of `code` and `path` keyword arguments must be given.")
        if path is not None:
            raise Misuse("the stand-in takes the text of a module, not a compiled file")
        if backend != "nvrtc" or translate_cucomplex or enable_cooperative_groups or jitify:
            raise Misuse("the stand-in knows backend 'nvrtc' without extensions only")
        if not isinstance(options, tuple):
            name = type(options).__name__
            raise TypeError(f"Argument 'options' has incorrect type (expected tuple, got {name})")
        self.code, self.options = code, tuple(options)
        self.name_expressions = tuple(name_expressions or ())

    def compile(self, log_stream=None):
        """Compile now; else the first kernel that is asked for does it."""
        self._load()

    def get_function(self, name) -> RawKernel:
        """A kernel by its name: `extern "C"`, or one of `name_expressions`."""
        machine.demand_driver()
        if name not in self._load().kernels:
            raise CUDADriverError(
                f"CUDA_ERROR_NOT_FOUND: named symbol not found: {name!r}; a kernel is "
                '`extern "C"` or stands in name_expressions'
            )
        return RawKernel._of(self, name)

    def _load(self) -> emulator.Module:
        file = re.search(r'^\s*#\s*line\s+1\s+"([^"]+)"', self.code or "", re.M)
        name = file[1] if file else "kernel.cu"
        try:
            return emulator.load(self.code, self.name_expressions, self.options, machine.mode, name)
        except (emulator.BuildError, emulator.TranslationError) as error:
            raise CompileException(str(error)) from error


class RawKernel:
    """One kernel."""

    _most_shared = SHARED_MEMORY

    def __init__(self, code, name, options=(), backend="nvrtc"):
        self._module = RawModule(code=code, options=options, backend=backend)
        self.name = name

    @classmethod
    def _of(cls, module, name):
        kernel = cls.__new__(cls)
        kernel._module, kernel.name = module, name
        return kernel

    @property
    def max_dynamic_shared_size_bytes(self):
        """What a launch may give at most."""
        return self._most_shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size):
        if not 0 <= size <= MOST_SHARED_MEMORY:
            raise CUDADriverError(
                f"CUDA_ERROR_INVALID_VALUE: invalid argument: {self.name}: {size} bytes of "
                f"shared memory, where a block can have {MOST_SHARED_MEMORY}"
            )
        self._most_shared = size

    def __call__(self, grid, block, args, *, shared_mem=0):
        """Launch: `kernel((blocks,), (threads,), (array, np.int32(n)), shared_mem=bytes)`."""
        kernel = self._module._load()[self.name]
        grid, block = _extent("grid", grid, MAX_GRID), _extent("block", block, MAX_BLOCK)
        _check_sizes(self.name, block, shared_mem, self._most_shared)
        arguments = _arguments(self.name, kernel.parameters, args)
        _check_overlaps(self.name, kernel.parameters, args)
        machine.counts.launches[self.name] += 1
        machine.run(_Work(self._module, self.name, grid, block, arguments, shared_mem, args))


class _Work:
    """A launch that can be repeated, as a graph does. It keeps no array alive: CUDA doesn't."""

    def __init__(self, module, name, grid, block, arguments, shared_mem, args):
        self.module, self.name, self.arguments = module, name, arguments
        self.grid, self.block, self.shared_mem = grid, block, shared_mem
        arrays = [a for a in args if isinstance(a, ndarray)]
        self.blocks = [weakref.ref(a._allocation.block) for a in arrays]

    def __call__(self):
        if any(reference() is None for reference in self.blocks):
            raise Misuse(f"{self.name}: an array of this graph has been freed since its capture")
        kernel = self.module._load()[self.name]
        kernel.launch(
            self.grid, self.block, self.arguments, shared=self.shared_mem,
            seed=machine.order, traffic=machine.traffic is not None,
        )  # fmt: skip
        for reference in self.blocks:
            reference().check_canaries(self.name)
        if machine.mode == "fast":
            self._mark_written(kernel)
        if machine.traffic is not None:
            machine.traffic(kernel, self)

    def _mark_written(self, kernel):
        for parameter, argument in zip(kernel.parameters, self.arguments, strict=True):
            if isinstance(argument, Argument) and not parameter.const:
                argument.written[...] = 1


# ------------------------------------------------------------------------------- the shape


def _extent(what, value, limits) -> tuple[int, int, int]:
    if not isinstance(value, tuple):
        raise TypeError(f"{what} must be a tuple of whole numbers, but is {value!r}")
    if not 1 <= len(value) <= 3:
        raise TypeError(f"{what} must have 1 to 3 numbers, but is {value!r}")
    for number in value:
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
            raise TypeError(f"{what} must hold whole numbers, but is {value!r}")
    full = tuple(max(1, int(n)) for n in value) + (1,) * (3 - len(value))  # as CuPy
    if any(n > limit for n, limit in zip(full, limits, strict=True)):
        raise CUDADriverError(
            f"CUDA_ERROR_INVALID_VALUE: invalid argument: {what} {full} exceeds {limits}"
        )
    return full


def _check_sizes(name, block, shared_mem, most):
    if block[0] * block[1] * block[2] > MAX_THREADS:
        raise CUDADriverError(
            f"CUDA_ERROR_INVALID_VALUE: invalid argument: {name}: a block of {block} has more "
            f"than {MAX_THREADS} threads"
        )
    if isinstance(shared_mem, bool) or not isinstance(shared_mem, (int, np.integer)):
        raise TypeError(f"shared_mem must be a whole number of bytes, but is {shared_mem!r}")
    if not 0 <= shared_mem <= most:
        raise CUDADriverError(
            f"CUDA_ERROR_INVALID_VALUE: invalid argument: {name}: {shared_mem} bytes of shared "
            f"memory, where {most} are allowed"
        )


# ----------------------------------------------------------------------------- the arguments


def code_of(value) -> str:
    """How CuPy passes a scalar: its kind and its size in bytes."""
    if isinstance(value, bool):
        return "b1"
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise OverflowError(f"{value} does not fit into 8 bytes")
        return "i8" if value < 2**63 else "u8"
    if isinstance(value, float):
        return "f8"
    if isinstance(value, complex):
        return "c16"
    if isinstance(value, np.generic) and value.dtype.kind in "biufc":
        return f"{value.dtype.kind}{value.dtype.itemsize}"
    raise TypeError(f"Unsupported type {type(value)}")


def _arguments(name, parameters, args) -> list:
    if not isinstance(args, (tuple, list)):
        raise TypeError(f"{name}: arguments must be a tuple, but are {type(args).__name__}")
    if len(args) != len(parameters):
        names = ", ".join(p.name for p in parameters)
        raise Misuse(f"{name} takes {len(parameters)} arguments ({names}), but got {len(args)}")
    return [_argument(name, p, a) for p, a in zip(parameters, args, strict=True)]


def _argument(name: str, parameter: Parameter, value):
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(())[()]
    if isinstance(value, np.ndarray):
        raise TypeError(f"{name}, {parameter.name}: Unsupported type {type(value)}")
    if isinstance(value, ndarray):
        return _pointer(name, parameter, value)
    if value is None:
        if not parameter.pointer:
            raise Misuse(f"{name}, {parameter.name}: None is a pointer, the kernel takes a value")
        return None
    code = code_of(value)
    if parameter.pointer or code != parameter.code:
        wanted = ("a pointer to " if parameter.pointer else "") + parameter.code
        raise Misuse(
            f"{name}, {parameter.name}: the kernel takes {wanted}, CuPy passes {value!r} as "
            f"{code}: write np.int32(...) or the like"
        )
    dtype = np.dtype(f"{'?' if code == 'b1' else code}")
    return np.array(value, dtype)[()]


def _pointer(name, parameter, array) -> Argument:
    kind = "s" if array.dtype.char == BFLOAT16 else array.dtype.kind  # a struct of the kernel's
    code = f"{kind}{array.dtype.itemsize}"
    where = f"{name}, {parameter.name}"
    if not parameter.pointer:
        raise Misuse(f"{where}: the kernel takes {parameter.code}, but got an array of {code}")
    if parameter.code != "v1" and parameter.element != code:
        raise Misuse(f"{where}: the kernel takes a pointer to {parameter.code}, but got {code}")
    if not array.flags.c_contiguous:
        raise Misuse(
            f"{where}: strides {array.strides} of shape {array.shape} are not C-contiguous, and "
            "a kernel gets the pointer alone"
        )
    start = array._view.ctypes.data - array._allocation.address
    written = array._allocation.block.written[start : start + array.nbytes]
    return Argument(array._view, written)


def _check_overlaps(name, parameters, args):
    """What is written through a pointer that says __restrict__ must be reached by it alone."""
    arrays = [(p, a) for p, a in zip(parameters, args, strict=True) if isinstance(a, ndarray)]
    for i, (p, a) in enumerate(arrays):
        for q, b in arrays[i + 1 :]:
            promised = (p.restrict or q.restrict) and not (p.const and q.const)
            if promised and a.size and b.size and np.may_share_memory(a._view, b._view):
                raise Misuse(f"{name}: {p.name} and {q.name} overlap, but say __restrict__")


__all__ = ["CUDADriverError", "CUDARuntimeError", "CompileException", "RawKernel", "RawModule"]
