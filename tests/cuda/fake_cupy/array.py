"""`cupy.ndarray`: an array on the pretended GPU, which never mixes with NumPy by itself."""

from __future__ import annotations

import operator
from types import SimpleNamespace

import numpy as np

from .machine import Allocation, Misuse, machine, mark_written

BFLOAT16 = "E"  # the character of ml_dtypes.bfloat16, which CuPy knows since 14
SCALARS = (bool, int, float, complex, np.generic)


def unsupported(value) -> TypeError:
    """What CuPy says of arguments that are not on the device."""
    return TypeError(
        f"Unsupported type {type(value)}: CuPy does not take it beside its own arrays; "
        "cupy.asarray(...) moves it to the device"
    )


def value_of(argument):
    """The NumPy value behind an operand: arrays of the device and scalars, nothing else."""
    if isinstance(argument, ndarray):
        return argument._view
    if isinstance(argument, SCALARS):
        return argument
    raise unsupported(argument)


def new(shape, dtype) -> ndarray:
    """An array of fresh memory."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "biufc" and dtype.char != BFLOAT16:
        raise ValueError(f"Unsupported dtype {dtype}")
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(map(int, shape))
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    allocation = machine.allocate(nbytes)
    allocation.dtype = dtype
    return ndarray(np.ndarray(shape, dtype, allocation.block.bytes.data), allocation, _made=True)


def fresh(value: np.ndarray) -> ndarray:
    """A new array that holds the result of an operation."""
    value = np.asarray(value)
    result = new(value.shape, value.dtype)
    result._write(value)
    return result


def launch(name: str, compute, *, out: ndarray | None = None) -> ndarray:
    """One kernel of CuPy's own: its result goes to a fresh array, or into `out`."""
    if out is None and machine.recording is None:
        results = []
        machine.run(lambda: results.append(fresh(compute())), name)
        return results[0]
    if out is None:
        with np.errstate(all="ignore"):  # what is computed now tells shape and dtype alone
            value = np.asarray(compute())
        out = new(value.shape, value.dtype)
    if not isinstance(out, ndarray):
        raise TypeError(f"out must be a cupy.ndarray, but is {type(out).__name__}")
    write = out._writer()
    machine.run(lambda: write(compute()), name)
    return out


class ndarray:
    """Wraps, and does not inherit from, `numpy.ndarray`: so nothing converts it silently."""

    __module__ = "cupy"
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, view, allocation: Allocation | None = None, *, _made: bool = False):
        if not _made:
            made = new(view, np.float64)
            view, allocation = made._view, made._allocation
        self._view, self._allocation = view, allocation

    def __getattr__(self, name):
        raise AttributeError(
            f"the stand-in's ndarray has no '{name}'; if real CuPy has it and it is needed, add "
            "it to tests/cuda/fake_cupy/array.py"
        )

    # ----------------------------------------------------------------------- properties

    shape = property(lambda self: self._view.shape)
    dtype = property(lambda self: self._view.dtype)
    ndim = property(lambda self: self._view.ndim)
    size = property(lambda self: self._view.size)
    nbytes = property(lambda self: self._view.nbytes)
    itemsize = property(lambda self: self._view.itemsize)
    strides = property(lambda self: self._view.strides)
    flags = property(lambda self: self._view.flags)
    T = property(lambda self: self.transpose())

    @property
    def data(self):
        """The memory's pointer."""
        return SimpleNamespace(ptr=self._view.ctypes.data)

    @property
    def device(self):
        """There is one."""
        from .cuda import Device

        return Device(0)

    @property
    def base(self):
        """None for arrays that own their memory."""
        return None if self._view.size * self.itemsize == self._allocation.nbytes else self

    def __len__(self):
        return len(self._view)

    def __repr__(self):
        return f"<cupy stand-in {self.dtype} {self.shape}>"

    # ------------------------------------------------------------- to the host, explicitly

    def get(self, stream=None, order="C", out=None, blocking=True) -> np.ndarray:
        """Copy to the host."""
        machine.to_host(self.nbytes)
        if out is None:
            return self._view.copy()
        np.copyto(out, self._view)
        return out

    def set(self, arr, stream=None) -> None:
        """Copy from the host: `arr` must be of the same shape and dtype."""
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if self.dtype != arr.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if self.shape != arr.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not self.flags.c_contiguous:
            raise RuntimeError("Cannot set to non-contiguous array")
        machine.to_device(arr.nbytes)
        self._write(arr)

    def item(self, *args):
        """One element as a Python number: the host waits."""
        machine.to_host(self.itemsize)
        return self._view.item(*args)

    def tolist(self):
        """All elements as Python numbers: the host waits."""
        machine.to_host(self.nbytes)
        return self._view.tolist()

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __bool__(self):
        if self.size != 1:
            raise ValueError("The truth value of an array with more than one element is ambiguous")
        return bool(self.item())

    def __index__(self):
        return operator.index(self.item())

    # --------------------------------------------------------- to the host, never silently

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to "
            "construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        from . import functions

        ours = getattr(functions, ufunc.__name__, None)
        if method != "__call__" or ours is None:
            return NotImplemented
        if out is not None:
            (kwargs["out"],) = out
        return ours(*inputs, **kwargs)

    def __array_function__(self, function, types, args, kwargs):
        from . import functions

        ours = getattr(functions, function.__name__, None)
        if ours is None or any(not issubclass(t, ndarray) for t in types):
            return NotImplemented
        return ours(*args, **kwargs)

    # ------------------------------------------------------------------- views and copies

    def _alias(self, view: np.ndarray) -> ndarray:
        return ndarray(view, self._allocation, _made=True)

    def _shares(self, view: np.ndarray) -> bool:
        return np.may_share_memory(view, self._view)

    def _writer(self):
        """A function that puts values into this memory, as a kernel would; keeps no array alive."""
        view, start = self._view, self._allocation.address
        written = self._allocation.block.written

        def write(value) -> None:
            view[...] = value
            mark_written(view, start, written)

        return write

    def _write(self, value) -> None:
        self._writer()(value)

    def _index(self, index):
        parts = index if isinstance(index, tuple) else (index,)
        for part in parts:
            if isinstance(part, np.ndarray):
                raise unsupported(part)
        values = tuple(p._view if isinstance(p, ndarray) else p for p in parts)
        for axis, part in enumerate(values):
            if isinstance(part, np.ndarray) and part.dtype.kind in "iu" and part.size:
                limit = self.shape[axis]
                if part.min() < -limit or part.max() >= limit:
                    raise Misuse(f"index {part.max()} is outside {limit}: CuPy wraps it around")
        return values

    def __getitem__(self, index):
        values = self._index(index)
        result = self._view[values]
        basic = not any(isinstance(v, (np.ndarray, list)) for v in values)
        if basic:
            if not isinstance(result, np.ndarray):  # one element stays on the device
                result = self._view[(*values, ...)]
            return self._alias(result)
        view = self._view
        return launch("getitem", lambda: view[values])

    def __setitem__(self, index, value):
        values = self._index(index)
        if isinstance(value, np.ndarray):
            raise ValueError(
                "Non-scalar numpy.ndarray cannot be used for fill: cupy.asarray(...) first, or "
                "`.set(...)`"
            )
        source, whole = value_of(value), self._view
        start, written = self._allocation.address, self._allocation.block.written
        advanced = any(isinstance(v, (np.ndarray, list)) for v in values)

        def work():
            whole[values] = source
            part = whole if advanced else whole[values]
            one = not isinstance(part, np.ndarray)
            mark_written(whole[(*values, ...)] if one else part, start, written)

        machine.run(work, "setitem")

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def reshape(self, *shape, order="C"):
        """A view where the memory allows it, else a copy."""
        shape = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        result = self._view.reshape(shape, order=order)
        if self._shares(result) or result.size == 0:
            return self._alias(result)
        view = self._view
        return launch("copy", lambda: view.reshape(shape, order=order))

    def ravel(self, order="C"):
        """One axis; a view where the memory allows it."""
        return self.reshape(-1)

    def flatten(self, order="C"):
        """One axis; always a copy."""
        view = self._view
        return launch("copy", lambda: view.ravel())

    def transpose(self, *axes):
        """A view with other strides, which a kernel must not take."""
        axes = axes[0] if len(axes) == 1 and isinstance(axes[0], (tuple, list)) else axes
        return self._alias(self._view.transpose(*axes))

    def squeeze(self, axis=None):
        """A view without axes of length 1."""
        return self._alias(self._view.squeeze(axis))

    def swapaxes(self, axis1, axis2):
        """A view with two axes exchanged."""
        return self._alias(self._view.swapaxes(axis1, axis2))

    def view(self, dtype=None):
        """The same memory, as another dtype."""
        return self._alias(self._view.view(dtype) if dtype is not None else self._view.view())

    def copy(self, order="C"):
        """A copy on the device."""
        view = self._view
        return launch("copy", lambda: view)

    def astype(self, dtype, order="K", casting="unsafe", subok=None, copy=True):
        """A copy of another dtype."""
        if not copy and self.dtype == np.dtype(dtype):
            return self
        view = self._view
        return launch("astype", lambda: view.astype(dtype))

    def fill(self, value):
        """Write one value everywhere."""
        if isinstance(value, np.ndarray) and value.ndim:
            raise ValueError("Non-scalar numpy.ndarray cannot be used for fill")
        write = self._writer()
        machine.run(lambda: write(value), "fill")

    # ------------------------------------------------------------------------ arithmetic

    def _call(self, name, *arguments, **keywords):
        from . import functions

        return getattr(functions, name)(self, *arguments, **keywords)


def _operators():
    binary = {
        "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide",
        "floordiv": "floor_divide", "mod": "remainder", "pow": "power", "matmul": "matmul",
        "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
        "lshift": "left_shift", "rshift": "right_shift",
    }  # fmt: skip
    compare = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal",
               "eq": "equal", "ne": "not_equal"}  # fmt: skip
    for short, name in (binary | compare).items():
        yield f"__{short}__", lambda self, other, name=name: self._call(name, other)
    for short, name in binary.items():
        yield (
            f"__r{short}__",
            lambda self, other, name=name: (
                (_ for _ in ()).throw(unsupported(other))
                if not isinstance(other, (*SCALARS, ndarray))
                else _reverse(name, other, self)
            ),
        )
        yield f"__i{short}__", lambda self, other, name=name: self._call(name, other, out=self)
    for short, name in {"neg": "negative", "abs": "absolute", "invert": "invert"}.items():
        yield f"__{short}__", lambda self, name=name: self._call(name)
    for name in ("sum", "mean", "max", "min", "prod", "argmax", "argmin", "any", "all", "var",
                 "std", "dot", "clip", "take", "round", "cumsum"):  # fmt: skip
        yield name, lambda self, *a, name=name, **k: self._call(name, *a, **k)


def _reverse(name, left, right):
    from . import functions

    return getattr(functions, name)(left, right)


for _name, _method in _operators():
    _method.__name__ = _name
    setattr(ndarray, _name, _method)
