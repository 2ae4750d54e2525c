"""A strict stand-in for CuPy, on a pretended GPU whose kernels the emulator runs.

    with fake_cupy.installed(mode="check", order=1) as cupy:
        x = cupy.asarray(np.ones(4, np.float32))
        ...
    fake_cupy.machine.counts.launches

While it is installed, `import cupy` gives the stand-in. It refuses what CuPy refuses, with CuPy's
exceptions, and what CuPy lets pass though it is wrong (`Misuse`). What it does not know raises
AttributeError. It is one module for the whole process: arrays and kernels outlive `installed`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from .machine import Counts, Misuse, machine
from .modules import MODULES

__all__ = ["Counts", "Misuse", "installed", "machine"]


@contextmanager
def installed(
    mode: str = "fast", *, order: int = 0, fault: str = "", cublas: bool = False
) -> Iterator[ModuleType]:
    """Put the stand-in in the place of `cupy`, on a machine that is reset.

    mode    "fast", or "check", where every access to memory is looked at
    order   of blocks and threads: 0 forward, 1 backward, else random by this seed
    fault   "", "no driver", "no device" or "no nvrtc": what the machine lacks
    cublas  is there cuBLAS, so that matmul works?
    """
    before = {name: sys.modules.get(name) for name in _names()}
    machine.reset(mode, order, fault, cublas)
    for name in before:
        sys.modules.pop(name, None)
    sys.modules.update(MODULES)
    try:
        yield MODULES["cupy"]
        machine.check_canaries("a kernel")
    finally:
        machine.recording, machine.pools = None, []
        for name in _names():
            sys.modules.pop(name, None)
        sys.modules.update({n: module for n, module in before.items() if module is not None})


def _names() -> list[str]:
    families = ("cupy", "cupyx", "cupy_backends")
    return [*{*MODULES, *(n for n in sys.modules if n.split(".")[0] in families)}]
