"""Where arrays live: NumPy arrays on the "cpu", CuPy arrays on "cuda".

The rest of minires asks here and never imports CuPy itself. The type of an array tells where it is.
CuPy is loaded at the first use of "cuda", so that everything else works without it.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import sys
from typing import Any, TypeGuard

import numpy as np

DEVICES = ("cpu", "cuda")


# ------------------------------------------------------------------- what an array is


def is_array(value: Any) -> TypeGuard[np.ndarray]:
    """Whether this is an array, on any device. Type checkers treat all of them as NumPy arrays."""
    return isinstance(value, np.ndarray) or is_cuda(value)


def is_cuda(value: Any) -> bool:
    """Whether this is a CuPy array; it can't be one before CuPy has been imported."""
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(value, cupy.ndarray)


def may_be_cuda() -> bool:
    """Whether there can be CuPy arrays at all."""
    return "cupy" in sys.modules


def namespace(array: Any) -> Any:
    """NumPy or CuPy: the module whose functions work on this array."""
    return sys.modules["cupy"] if is_cuda(array) else np


def device_of(array: Any) -> str:
    return "cuda" if is_cuda(array) else "cpu"


def shared_device(name: str, *arrays: Any) -> str:
    """The common device of all arrays; a mixture is refused and never copied silently."""
    if not may_be_cuda():
        return "cpu"
    found = list(dict.fromkeys(map(device_of, arrays)))
    if len(found) > 1:
        places = ", ".join(map(device_of, arrays))
        raise TypeError(
            f"{name}: all arrays must be on one device, but they are on {places}: move the network "
            'and its input to the same one, by model.to("cuda") and Tensor(x).to("cuda")'
        )
    return found[0] if found else "cpu"


def may_share_memory(a: Any, b: Any) -> bool:
    """Whether a change of one array may be seen in the other."""
    xp = np if isinstance(a, np.ndarray) else sys.modules["cupy"]
    return isinstance(b, xp.ndarray) and bool(xp.may_share_memory(a, b))


def as_array(value: Any) -> Any:
    """NumPy turns arrays without axes into scalars; this turns them back."""
    return value if is_array(value) else np.asarray(value)


# ------------------------------------------------------------------- moving


def move(array: Any, device: str) -> Any:
    """The array on a device; the array itself if it is there already."""
    if device == device_of(array):
        return array
    return to_host(array) if device == "cpu" else cupy().asarray(array)


def to_host(array: Any) -> Any:
    """The array as a NumPy array; the call waits until the GPU has computed it."""
    return array.get() if is_cuda(array) else array


def copy_to_host(array: Any) -> np.ndarray:
    """A fresh NumPy array of the same values."""
    return array.get() if is_cuda(array) else array.copy()


def alike(value: Any, array: Any) -> Any:
    """A value as an array of the dtype of another; numbers and lists go to its device."""
    if is_array(value):
        shared_device("an operation", array, value)
        return value.astype(array.dtype, copy=False)
    xp = namespace(array)
    if isinstance(value, int | float):
        return xp.full((), value, array.dtype)  # made on the GPU; a copy from the host would wait
    return xp.asarray(np.asarray(value, array.dtype))


def upload(arrays: tuple[np.ndarray, ...], device: str) -> tuple[Any, ...]:
    """Several host arrays on a device, in one copy."""
    if device == "cpu":
        return arrays
    sizes = [-(-array.nbytes // 16) * 16 for array in arrays]
    starts = [0, *itertools.accumulate(sizes)]
    packed = np.zeros(starts[-1], np.uint8)
    for start, array in zip(starts, arrays, strict=False):
        packed[start : start + array.nbytes] = np.frombuffer(array.tobytes(), np.uint8)
    together = cupy().asarray(packed)
    return tuple(
        together[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
        for start, array in zip(starts, arrays, strict=False)
    )


# ------------------------------------------------------------------- streams of work


def own_stream() -> Any:
    """A new stream: within `with stream:` a GPU's work runs in order, beside that of other streams.

    What was made before it must be finished: see `wait_for_all`.
    """
    return cupy().cuda.Stream(non_blocking=True)


def wait_for_stream() -> None:
    """Wait until all work of the current stream is done."""
    cupy().cuda.get_current_stream().synchronize()


def wait_for_all() -> None:
    """Wait until all work of the GPU is done."""
    cupy().cuda.Device().synchronize()


# ------------------------------------------------------------------- which device to use


def choose(device: str) -> str:
    """A device by name; "auto" is "cuda" if it can be used, else "cpu".

    Raises: ValueError if the name is unknown, or "cuda" can't be used; the message says why.
    """
    if device == "auto":
        return "cpu" if why_no_cuda() else "cuda"
    if device not in DEVICES:
        raise ValueError(f"device must be 'auto', 'cpu' or 'cuda', but is {device!r}")
    if device == "cuda":
        cupy()
    return device


def cupy() -> Any:
    """CuPy, ready for use; ValueError says what is missing."""
    if reason := why_no_cuda():
        raise ValueError(f'device "cuda" can\'t be used: {reason}')
    return sys.modules["cupy"]


def why_no_cuda() -> str:
    """A sentence that says what CUDA lacks here, or an empty string."""
    try:
        cupy = importlib.import_module("cupy")
    except ImportError:
        return (
            "CuPy is not installed (pip install -e '.[cuda12]' for drivers of CUDA 12, "
            "'.[cuda13]' for those of CUDA 13)"
        )
    except Exception as error:  # a broken installation raises anything
        return f"CuPy is installed but can't be imported ({first_line(error)})"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        return f"CuPy finds no NVIDIA driver that it can use ({first_line(error)})"
    if count == 0:
        return "the NVIDIA driver finds no GPU"
    return why_no_compiler(cupy)


def why_no_compiler(cupy: Any) -> str:
    """Why NVRTC is missing; it compiles the kernels at their first use and is a separate wheel."""
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:
        return (
            f"CuPy finds no NVRTC, which compiles the kernels ({first_line(error)}): "
            "pip install nvidia-cuda-nvrtc-cu12 for CUDA 12, nvidia-cuda-nvrtc for CUDA 13"
        )
    return ""


def free_bytes() -> int:
    """Free memory of the GPU, in bytes."""
    return int(cupy().cuda.runtime.memGetInfo()[0])


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def describe_cuda() -> str:
    """What "cuda" is on this machine, or why it can't be used."""
    if reason := why_no_cuda():
        return f"not used, because {reason}"
    cupy = sys.modules["cupy"]
    name = "GPU"
    with contextlib.suppress(Exception):  # a name is not worth an error
        name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    return f"CuPy {cupy.__version__} on {name}"
