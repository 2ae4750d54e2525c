"""The functions of `cupy` that an engine needs; whatever is not here, the stand-in refuses.

Arguments follow CuPy, not NumPy, where they differ: no `initial` or `where` in reductions, no `out`
in `einsum`, scalars in place of lists only.
"""

from __future__ import annotations

import sys

import numpy as np

from .array import fresh, launch, ndarray, new, unsupported, value_of
from .machine import machine


class DynamicLibNotFoundError(RuntimeError):
    """cuda.pathfinder's: a library of CUDA is not installed."""


# ------------------------------------------------------------------------- creation, moving


def empty(shape, dtype=float, order="C"):
    """Memory that holds NaN (integers: -1): real memory holds anything."""
    return new(shape, dtype)


def full(shape, fill_value, dtype=None, order="C"):
    """All elements alike."""
    result = new(shape, np.asarray(fill_value).dtype if dtype is None else dtype)
    write = result._writer()
    machine.run(lambda: write(fill_value), "full")
    return result


def zeros(shape, dtype=float, order="C"):
    """All elements 0."""
    result = new(shape, dtype)
    write = result._writer()
    machine.run(lambda: write(0), "zeros")
    return result


def ones(shape, dtype=float, order="C"):
    """All elements 1."""
    return full(shape, 1, dtype)


def _as(a, make, dtype, shape, *args):
    return make(a.shape if shape is None else shape, *args, dtype=dtype or a.dtype)


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    """As `empty`."""
    return _as(prototype, empty, dtype, shape)


def zeros_like(a, dtype=None, order="K", subok=None, shape=None):
    """As `zeros`."""
    return _as(a, zeros, dtype, shape)


def ones_like(a, dtype=None, order="K", subok=None, shape=None):
    """As `ones`."""
    return _as(a, ones, dtype, shape)


def full_like(a, fill_value, dtype=None, order="K", subok=None, shape=None):
    """As `full`."""
    return _as(a, full, dtype, shape, fill_value)


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    """A new array on the device."""
    if isinstance(obj, ndarray):
        view = obj._view
        return launch("copy", lambda: np.array(view, dtype=dtype, ndmin=ndmin))
    value = np.array(obj, dtype=dtype, ndmin=ndmin)
    machine.to_device(value.nbytes)
    return fresh(value)


def asarray(a, dtype=None, order=None, *, blocking=False):
    """The array itself where it is on the device already, else a copy of it there."""
    if isinstance(a, ndarray) and (dtype is None or a.dtype == np.dtype(dtype)):
        return a
    return array(a, dtype)


def ascontiguousarray(a, dtype=None):
    """Without gaps or exchanged axes; a copy only where needed."""
    same = isinstance(a, ndarray) and (dtype is None or a.dtype == np.dtype(dtype))
    return a if same and a.flags.c_contiguous else array(a, dtype)


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    """A copy on the host; arrays of NumPy pass."""
    if isinstance(a, ndarray):
        return a.get(stream, order, out)
    return np.asarray(a)


def arange(start, stop=None, step=1, dtype=None):
    """start, start + step, ..."""
    start, stop = (0, start) if stop is None else (start, stop)
    return launch("arange", lambda: np.arange(start, stop, step, dtype))


def copyto(dst, src, casting="same_kind", where=None):
    """Write `src` into `dst`."""
    source = value_of(src)
    launch("copyto", lambda: np.broadcast_to(source, dst.shape), out=dst)


def get_array_module(*args):
    """`cupy` where one argument lies on the device, else `numpy`."""
    return sys.modules["cupy"] if any(isinstance(a, ndarray) for a in args) else np


# --------------------------------------------------------------------------------- ufuncs


def _ufunc(name):
    numpy_ufunc = getattr(np, name)

    def function(*args, out=None, dtype=None, casting="same_kind"):
        if len(args) != numpy_ufunc.nin:
            raise TypeError(f"{name} takes {numpy_ufunc.nin} arrays, not {len(args)}")
        values = [value_of(a) for a in args]
        if out is not None:
            _demand_cast(name, numpy_ufunc, values, out, casting)
        keywords = {} if dtype is None else {"dtype": dtype}
        return launch(name, lambda: numpy_ufunc(*values, **keywords), out=out)

    function.__name__ = name
    return function


def _demand_cast(name, numpy_ufunc, values, out, casting):
    dtypes = [v.dtype if isinstance(v, (np.ndarray, np.generic)) else type(v) for v in values]
    result = numpy_ufunc.resolve_dtypes((*dtypes, None))[-1]
    if not np.can_cast(result, out.dtype, casting):
        raise TypeError(
            f"output (typecode '{result.char}') could not be coerced to provided output "
            f"parameter (typecode '{out.dtype.char}') according to the casting rule '{casting}'"
        )
    shape = np.broadcast_shapes(*(np.shape(v) for v in values))
    if shape != out.shape:
        raise ValueError(f"Out shape is mismatched: {name} gives {shape}, out is {out.shape}")


UFUNCS = [
    *("add", "subtract", "multiply", "divide", "true_divide", "floor_divide"),
    *("remainder", "power", "negative", "absolute", "exp", "expm1"),
    *("log", "log1p", "log2", "sqrt", "square", "reciprocal"),
    *("sign", "tanh", "sin", "cos", "arctan2", "floor"),
    *("ceil", "trunc", "rint", "maximum", "minimum", "fmax"),
    *("fmin", "isnan", "isinf", "isfinite", "equal", "not_equal"),
    *("less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or"),
    *("logical_not", "bitwise_and", "bitwise_or", "bitwise_xor", "invert", "left_shift"),
    "right_shift",
]
for _name in UFUNCS:
    globals()[_name] = _ufunc(_name)
abs = globals()["absolute"]


# ----------------------------------------------------------------------------- reductions


def _reduction(name):
    reduce = getattr(np, name)

    def function(a, axis=None, dtype=None, out=None, keepdims=False):
        value = _array(a)
        keywords = {} if dtype is None else {"dtype": dtype}
        return launch(
            name, lambda: np.asarray(reduce(value, axis=axis, keepdims=keepdims, **keywords)),
            out=out,
        )  # fmt: skip

    function.__name__ = name
    return function


def _array(a):
    if not isinstance(a, ndarray):
        raise unsupported(a)
    return a._view


for _name in ("sum", "mean", "prod"):
    globals()[_name] = _reduction(_name)


def _spread(name):
    reduce = getattr(np, name)

    def function(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False):
        value = _array(a)
        keywords = {"axis": axis, "dtype": dtype, "ddof": ddof, "keepdims": keepdims}
        return launch(name, lambda: np.asarray(reduce(value, **keywords)), out=out)

    function.__name__ = name
    return function


var, std = _spread("var"), _spread("std")


def cumsum(a, axis=None, dtype=None, out=None):
    """Sums of all elements up to each."""
    value = _array(a)
    return launch("cumsum", lambda: np.cumsum(value, axis, dtype), out=out)


def _extremum(name):
    reduce = getattr(np, name)

    def function(a, axis=None, out=None, keepdims=False):
        value = _array(a)
        return launch(
            name, lambda: np.asarray(reduce(value, axis=axis, keepdims=keepdims)), out=out
        )

    function.__name__ = name
    return function


for _name in ("max", "min", "amax", "amin", "argmax", "argmin", "any", "all"):
    globals()[_name] = _extremum(_name)


# -------------------------------------------------------------------- shapes and selections


def reshape(a, newshape, order="C"):
    """A view where the memory allows it, else a copy."""
    return a.reshape(newshape, order=order)


def ravel(a, order="C"):
    """One axis."""
    return a.ravel(order)


def transpose(a, axes=None):
    """A view with other strides."""
    return a.transpose(axes) if axes is not None else a.transpose()


def squeeze(a, axis=None):
    """A view without axes of length 1."""
    return a.squeeze(axis)


def swapaxes(a, axis1, axis2):
    """A view with two axes exchanged."""
    return a.swapaxes(axis1, axis2)


def broadcast_to(array, shape):
    """A view that repeats elements: its strides are 0."""
    return array._alias(np.broadcast_to(_array(array), shape))


def expand_dims(a, axis):
    """A view with one more axis."""
    return a._alias(np.expand_dims(_array(a), axis))


def _joined(name):
    def function(tup, axis=0, out=None):
        values = [_array(a) for a in tup]
        return launch(name, lambda: getattr(np, name)(values, axis), out=out)

    function.__name__ = name
    return function


concatenate, stack = _joined("concatenate"), _joined("stack")


def where(condition, x, y):
    """x where the condition holds, else y."""
    values = [value_of(a) for a in (condition, x, y)]
    return launch("where", lambda: np.where(*values))


def clip(a, a_min=None, a_max=None, out=None):
    """Cut off at both ends."""
    values = _array(a), *(None if v is None else value_of(v) for v in (a_min, a_max))
    return launch("clip", lambda: np.clip(*values), out=out)


def take(a, indices, axis=None, out=None):
    """Elements by their numbers."""
    values = _array(a), value_of(indices)
    return launch("take", lambda: np.take(*values, axis=axis), out=out)


def pad(array, pad_width, mode="constant", **kwargs):
    """Put values around."""
    values = _array(array)
    return launch("pad", lambda: np.pad(values, pad_width, mode, **kwargs))


def round(a, decimals=0, out=None):
    """Round to even."""
    values = _array(a)
    return launch("round", lambda: np.round(values, decimals), out=out)


# ------------------------------------------------------------------------- matrix products


def matmul(x1, x2, /, out=None):
    """Through cuBLAS, where it is installed."""
    values = _array(x1), _array(x2)
    _demand_cublas()
    return launch("matmul", lambda: np.matmul(*values), out=out)


def dot(a, b, out=None):
    """Through cuBLAS, where it is installed."""
    values = _array(a), _array(b)
    _demand_cublas()
    return launch("dot", lambda: np.dot(*values), out=out)


def tensordot(a, b, axes=2):
    """Through cuBLAS, where it is installed."""
    values = _array(a), _array(b)
    _demand_cublas()
    return launch("tensordot", lambda: np.tensordot(*values, axes))


def _demand_cublas():
    if not machine.cublas:
        raise DynamicLibNotFoundError('Failure finding "libcublas.so": not installed')


# ----------------------------------------------------------------------------- comparisons


def array_equal(a1, a2):
    """An array of the device that holds the answer."""
    values = _array(a1), _array(a2)
    return launch("array_equal", lambda: np.asarray(np.array_equal(*values)))


def allclose(a, b, rtol=1e-5, atol=1e-8, equal_nan=False):
    """An array of the device that holds the answer."""
    values = _array(a), _array(b)
    return launch("allclose", lambda: np.asarray(np.allclose(*values, rtol, atol, equal_nan)))


def may_share_memory(a, b, max_work=None):
    """Do the ranges of addresses overlap?"""
    return np.may_share_memory(_array(a), _array(b))


def get_default_memory_pool():
    """The pool that arrays come from."""
    from .pools import POOL

    return POOL


def get_default_pinned_memory_pool():
    """The pool of pinned memory of the host."""
    from .pools import PINNED_POOL

    return PINNED_POOL
