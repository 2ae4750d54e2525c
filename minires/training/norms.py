"""The Euclidean norm of arrays, which records give of gradients."""

from __future__ import annotations

import numpy as np


def norm(*arrays: np.ndarray) -> float:
    """Euclidean norm of all elements together, summed in float64: of gradients, of all parameters.

    Not by np.linalg.norm: BLAS splits a long sum by the number of threads, and records must not
    depend on that.
    """
    return float(np.sqrt(sum(np.square(a, dtype=np.float64).sum() for a in arrays)))
