"""The precision of products, and of maps: of convolutions, their gradients and linear layers.

    with minires.precision("tf32"):
        train()

- "float32", the default. On a GPU's tensor cores each number is split into two TF32 numbers, and
  three products replace one: as exact as float32 (Ootomo & Yokota 2022).
- "tf32": one product of numbers rounded to 10 mantissa bits. Sums stay float32.
- "bfloat16": maps and their gradients are stored in 16 bits, 7 of them mantissa, and convolutions
  multiply such numbers; linear layers, which read no maps, as "tf32". Half as many bytes move.
  A CPU multiplies on the tiles of AMX where it has them, else by AVX512-BF16 where that is fast,
  else in float32 (`kernels/cpu/by_dtype.py`); what is rounded where, says
  `kernels/reference_bfloat16.py`.

All other values are float32 always: weights, statistics, sums, logits, loss, steps (Micikevicius et
al. 2018). Gradients need no loss scaling: bfloat16 has the exponents of float32, so what is no zero
there is none here. On a CPU "tf32" is float32. So it is on GPUs without tensor cores for it (before
Ampere), and there "bfloat16" is refused.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from contextvars import ContextVar

PRECISIONS = ("float32", "tf32", "bfloat16")

_current: ContextVar[str] = ContextVar("precision", default="float32")


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """A context in which products have this precision. ValueError if there is no such precision."""
    if name not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, but is {name!r}")
    token = _current.set(name)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> str:
    """The precision in force."""
    return _current.get()


def why_no_bfloat16(device: str) -> str:
    """A sentence that says what this device lacks for "bfloat16", or an empty string."""
    if importlib.util.find_spec("ml_dtypes") is None:
        return 'precision "bfloat16" needs the package ml_dtypes: pip install ml_dtypes'
    if device == "cpu":
        return ""
    cupy = sys.modules["cupy"]
    if int(cupy.__version__.split(".")[0]) < 14:
        return f'precision "bfloat16" needs CuPy 14 or newer, but this is {cupy.__version__}'
    if int(cupy.cuda.Device().compute_capability) < 80:
        return 'precision "bfloat16" needs a GPU of compute capability 8.0 (Ampere) or newer'
    return ""
