"""What the machine can do: a matrix product by NumPy's BLAS, and copying."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from . import Step

THREADS = 1


def version() -> str:
    return np.__version__


def use_threads(count: int) -> None:
    """Threads that copy; BLAS has one for each core that the process is tied to."""
    global THREADS
    THREADS = count


def threads() -> int:
    """Those that copy."""
    return THREADS


def sgemm(side: int) -> Step:
    a, b = np.random.default_rng(0).standard_normal((2, side, side), np.float32)
    out = np.empty_like(a)
    return lambda: np.matmul(a, b, out=out)


def copy(mebibytes: int) -> Step:
    """One array to another, each thread its own part."""
    pool = ThreadPoolExecutor(THREADS)
    source = np.ones((THREADS, mebibytes * 2**18 // THREADS), np.float32)
    target = np.zeros_like(source)
    return lambda: list(pool.map(np.copyto, target, source))
