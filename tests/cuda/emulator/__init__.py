"""Runs CUDA C on the processor: the unchanged text of a module, with CUDA's rules.

    module = load(text, name_expressions=("gemm<64, 64>",), mode="check")
    module["gemm<64, 64>"].launch((2, 1, 1), (256, 1, 1), [a, b, c, np.int32(7)])

Arguments are NumPy arrays (pointers) and NumPy scalars (values). `launch` raises `KernelError` at
the first mistake. How it works: ../README.md.
"""

from .build import BuildError, compiler
from .module import Argument, Kernel, Module, Parameter, load
from .report import KernelError
from .translate import TranslationError

__all__ = [
    "Argument",
    "BuildError",
    "Kernel",
    "KernelError",
    "Module",
    "Parameter",
    "TranslationError",
    "compiler",
    "load",
]
