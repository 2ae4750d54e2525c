"""The stand-in's modules, from a list of what they hold."""

from __future__ import annotations

from inspect import isfunction
from types import ModuleType

import numpy as np

from . import cuda, functions, nccl, pools
from .array import ndarray
from .launching import CompileException, CUDADriverError, RawKernel, RawModule
from .machine import OutOfMemoryError


class Namespace(ModuleType):
    """A module that says what it does not have."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"the stand-in for CuPy has no {self.__name__}.{name}: if real CuPy has it and it is "
            "needed, add it to tests/cuda/fake_cupy/"
        )


def _namespace(name: str, **content) -> Namespace:
    module = Namespace(name)
    module.__dict__.update(content)
    module.__path__ = []
    return module


FUNCTIONS = {
    name: value
    for name, value in vars(functions).items()
    if isfunction(value) and value.__module__ == functions.__name__ and name[0] != "_"
}
DTYPES = [
    *("bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128", "dtype", "generic"),
    *("floating", "integer", "number", "newaxis", "inf", "nan", "pi", "e"),
]
CUDA = [
    *("Device", "Stream", "Graph", "Event", "is_available"),
    *("get_current_stream", "get_elapsed_time"),
]
NCCL = [
    *("available", "get_unique_id", "groupStart", "groupEnd", "NcclCommunicator", "NcclError"),
    *("NCCL_INT32", "NCCL_INT64", "NCCL_FLOAT32", "NCCL_FLOAT64"),
]
POOLS = ["MemoryPool", "PinnedMemoryPool", "set_allocator", "using_allocator"]


def _cupy_cuda() -> dict[str, Namespace]:
    memory = _namespace("cupy.cuda.memory", OutOfMemoryError=OutOfMemoryError)
    compiler = _namespace("cupy.cuda.compiler", CompileException=CompileException)
    driver = _namespace("cupy.cuda.driver", CUDADriverError=CUDADriverError)
    runtime = _namespace("cupy.cuda.runtime", **_public(cuda._Runtime))
    nvrtc = _namespace("cupy.cuda.nvrtc", getVersion=cuda.nvrtc.getVersion)
    collective = _namespace("cupy.cuda.nccl", **{name: getattr(nccl, name) for name in NCCL})
    content = {name: getattr(cuda, name) for name in CUDA}
    content |= {name: getattr(pools, name) for name in POOLS}
    parts = {"memory": memory, "compiler": compiler, "driver": driver}
    parts |= {"runtime": runtime, "nvrtc": nvrtc}
    main = _namespace("cupy.cuda", **content, **parts)
    importable = (
        main,
        memory,
        compiler,
        runtime,
        collective,
    )  # as in real CuPy, where others are attributes
    return {module.__name__: module for module in importable}


def _public(owner) -> dict:
    return {n: getattr(owner, n) for n in vars(owner) if not n.startswith("_")}


def _cupy(parts: dict[str, Namespace]) -> Namespace:
    return _namespace(
        "cupy",
        __version__="14.2.0",
        ndarray=ndarray,
        RawKernel=RawKernel,
        RawModule=RawModule,
        cuda=parts["cupy.cuda"],
        **FUNCTIONS,
        **{name: getattr(np, name) for name in DTYPES},
    )


def _cupyx() -> Namespace:
    return _namespace("cupyx", empty_pinned=cuda.empty_pinned, zeros_pinned=cuda.zeros_pinned)


_parts = _cupy_cuda()
MODULES: dict[str, ModuleType] = {"cupy": _cupy(_parts), "cupyx": _cupyx(), **_parts}
