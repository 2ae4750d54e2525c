"""Automatic differentiation over NumPy arrays; knows no layer.

The engine is `tensor.py` (what a user holds), `function.py` (what an operation is and what it
records), `ops.py` (the calculus, each operation with its derivative beside it) and `backward.py`
(the sweep that applies the chain rule). Around it: `hooks.py` (functions
that look on), `accepting.py` (sentences for bad input), and operations that it can do without
(`more_ops.py`, `methods.py`, `combining.py`). Three modules build on these: `gradcheck.py` compares
any derivative with differences, `recompute.py` trades time for memory, and `trace.py` records the
operations that run.

The imports form one circle: an operation makes tensors, and a tensor's methods are operations.
`Function.apply` and `accepting.py` close it: they import the class Tensor when they are called.
`backward.py` needs the name for its types only.
"""

from .backward import backward
from .combining import concatenate, pad, stack, where
from .function import Context, Function, no_grad
from .hooks import HookHandle
from .tensor import Tensor

__all__ = [
    "Context",
    "Function",
    "HookHandle",
    "Tensor",
    "backward",
    "concatenate",
    "no_grad",
    "pad",
    "stack",
    "where",
]
