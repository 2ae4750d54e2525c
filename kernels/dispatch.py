"""Which implementation of the contract serves a call, and why."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, TypeVar, cast

import numpy as np

from . import checks, devices, reference, reference_bfloat16
from .dtypes import FLOAT32, is_bfloat16

# OpenMP's threads wait for work in a busy loop by default. On a machine with other work, that loop
# takes the core that the last chunk needs: with both cores of a two-core machine busy, a training
# step took three times as long. But threads that sleep at once need 0.05 ms to wake up for every
# kernel, a tenth of ResNet-20's step. So they wait in the loop for about a tenth of a millisecond,
# then sleep. OpenMP reads the variables when Numba starts its threads. So they are set here, which
# `import minires` runs, and not with the kernels.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")


Contract = TypeVar("Contract", bound=Callable[..., Any])


def kernel(contract: Contract) -> Contract:
    """Make a kernel from its contract: check the arguments, pick the implementation, call it.

    The contract's body checks the arguments; its error messages get the kernel's name in front. It
    returns `implementation_for` the arrays that decide: a module, whose function of the same name
    gets the same arguments. An argument left out takes the default of that function; all of them
    have the contract's. The kernel keeps the contract's signature and text.
    """
    name = contract.__name__

    @functools.wraps(contract)
    def call(*arguments: Any, **settings: Any) -> Any:
        try:
            implementation = contract(*arguments, **settings)
        except (AttributeError, TypeError, ValueError) as error:
            # this may be the cause
            checks.are_arrays(name, (a for a in arguments if not isinstance(a, tuple)))
            if isinstance(error, AttributeError):  # of None, where none may be left out
                raise TypeError(f"{name}: an array is missing: None came instead") from None
            error.args = (f"{name}: {error}",)
            raise
        with np.errstate(under="ignore"):  # 0 is right, whatever np.seterr says
            return getattr(implementation, name)(*arguments, **settings)

    return cast(Contract, call)


def implementation_for(
    *arrays: Any, parameters: Iterable[Any] = (), others: Iterable[Any] = ()
) -> Any:
    """The module that serves a call with these arrays (None stands for an array left out).

    `parameters`, and statistics, are float32 where the other arrays, maps, are bfloat16. `others`
    are arrays of other dtypes. All must be on one device.
    """
    parameters = tuple(parameters)
    dtype = dtypes_of(arrays, parameters)
    if devices.may_be_cuda():
        given = [array for array in (*arrays, *parameters, *others) if array is not None]
        if devices.shared_device("a kernel", *given) == "cuda":
            return importlib.import_module(".cuda", __package__)
    if is_bfloat16(dtype):
        return cpu_module() or reference_bfloat16
    return reference if dtype != FLOAT32 else cpu_module() or reference


def dtypes_of(arrays: tuple[Any, ...], parameters: tuple[Any, ...]) -> np.dtype:
    """The dtype of all arrays, maps, and of parameters: float32 if maps are bfloat16."""
    maps = [array for array in arrays if array is not None]
    if not maps or not is_bfloat16(maps[0].dtype):
        return shared_dtype((*arrays, *parameters))
    if parameters and (dtype := shared_dtype(parameters)) != FLOAT32:
        raise TypeError(f"beside maps in bfloat16 parameters must be float32, but are {dtype}")
    return shared_dtype(arrays)


def shared_dtype(arrays: tuple[np.ndarray | None, ...]) -> np.dtype:
    """The common float dtype of all arrays; mixed or other dtypes are refused, never cast."""
    dtype: Any = None
    for array in arrays:
        if array is None:
            continue
        if dtype is None:  # no `==`: NumPy treats None as float64
            dtype = array.dtype
        elif array.dtype != dtype:
            names = ", ".join(str(a.dtype) for a in arrays if a is not None)
            raise TypeError(f"the arrays of one call must share a dtype, but have {names}")
    if dtype.kind != "f" and not is_bfloat16(dtype):
        raise TypeError(
            f"a kernel takes float32 or float64, but got {dtype}: convert with .astype(np.float32)"
        )
    return dtype


@functools.cache
def cpu_module() -> ModuleType | None:
    """`minires.kernels.cpu`, loaded at the first call that needs it; None if it can't be used.

    Raises: RuntimeError in a forked process.
    """
    if forked:
        raise RuntimeError(
            "this process was forked from one whose kernels had started threads, which are not "
            "here: start it with multiprocessing.get_context('spawn'), or before the first kernel"
        )
    return None if why_no_cpu() else importlib.import_module(".cpu", __package__)


forked: list[bool] = []  # one entry where a forked process lacks its parent's threads


def after_fork() -> None:
    """In the child: let its first kernel say that threads are missing, for which it would wait."""
    numba_threads = sys.modules.get("numba.np.ufunc.parallel")
    if getattr(numba_threads, "_is_initialized", False):
        forked.append(True)
        cpu_module.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=after_fork)


@functools.cache
def why_no_cpu() -> str:
    """Why float32 runs on the reference, or an empty string."""
    if os.environ.get("MINIRES_KERNELS") == "reference":
        return "MINIRES_KERNELS=reference is set"
    try:
        numba = importlib.import_module("numba")
    except ImportError as error:
        return f"Numba can't be imported ({error})"
    return "NUMBA_DISABLE_JIT=1 is set" if numba.config.DISABLE_JIT else ""


def products_of_bfloat16() -> str:
    """How the CPU multiplies maps in bfloat16, in words."""
    no_tiles, no_dots = (
        importlib.import_module(f".cpu.{unit}", __package__).why_not() for unit in ("amx", "dots")
    )
    if not no_tiles:
        return "products on AMX tiles"
    if not no_dots:
        return f"products by AVX512-BF16, because {no_tiles}"
    return f"products in float32, because {no_tiles}, and {no_dots}"


def report() -> dict[str, str]:
    """Which module serves which arrays, in words; `minires.info()` prints it."""
    reason = why_no_cpu()
    float32 = f"reference (NumPy), because {reason}" if reason else "cpu (Numba)"
    return {
        "float32": float32,
        "bfloat16": float32 if reason else f"cpu (Numba), {products_of_bfloat16()}",
        "float64": "reference (NumPy)",
        "cuda": devices.describe_cuda(),
    }
