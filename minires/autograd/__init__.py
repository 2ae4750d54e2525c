"""Automatic differentiation over NumPy arrays; knows no layer.

Read in this order: `function.py` (what an operation is and what it records), `ops.py` (the
calculus, each operation with its derivative beside it), `tensor.py` (what a user holds) and
`backward.py` (the sweep that applies the chain rule). Three modules build on these: `gradcheck.py`
compares any derivative with differences, `recompute.py` trades time for memory, and `trace.py`
records the operations that run.
"""

from .backward import backward
from .function import Context, Function, no_grad
from .tensor import Tensor

__all__ = ["Context", "Function", "Tensor", "backward", "no_grad"]
