"""One number for many arrays: the Euclidean norm, which records give of gradients; a digest."""

from __future__ import annotations

import hashlib

import numpy as np

from ..kernels.devices import to_host


def norm(*arrays: np.ndarray) -> float:
    """Euclidean norm of all elements together, summed in float64: of gradients, of all parameters.

    Not by np.linalg.norm: BLAS splits a long sum by the number of threads, and records must not
    depend on that.
    """
    return float(np.sqrt(sum(np.square(a, dtype=np.float64).sum() for a in arrays)))


def digest(arrays: list[np.ndarray]) -> str:
    """Eight bytes, as text, that differ where a bit does."""
    hashed = hashlib.blake2b(digest_size=8)
    for array in arrays:
        hashed.update(to_host(array).tobytes())
    return hashed.hexdigest()
