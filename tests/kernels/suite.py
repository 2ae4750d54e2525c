"""What the tests of the kernels share: implementations, drawn shapes, and bounds on rounding.

A bound is derived, not tuned: a sum of n products, whatever its order, is off by at most
(n + 2) * UNIT times the same sum of absolute values (Higham 2002, "Accuracy and stability of
numerical algorithms", sec. 3.1). The right value is the reference in float64. `roundings` says
what tensor cores add to that.
"""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume
from hypothesis import strategies as st
from minires.kernels import cpu, reference
from minires.kernels.checks import output_shape
from minires.kernels.cpu import convolution
from minires.kernels.records import SavedNorm

from ..device import OnDevice, same_kind

UNIT = {np.float32: 2.0**-24, np.float64: 2.0**-53}

IMPLEMENTATIONS = {
    "reference float64": (reference, np.float64),
    "reference float32": (reference, np.float32),
    "cpu": (cpu, np.float32),
    "cuda float32": pytest.param(OnDevice(), np.float32, marks=pytest.mark.cuda),
    "cuda float64": pytest.param(OnDevice(), np.float64, marks=pytest.mark.cuda),
}


def by(algorithm):
    """The convolutions, by one algorithm for every shape."""
    names = ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")
    return SimpleNamespace(
        **{name: partial(getattr(cpu, name), algorithm=algorithm) for name in names}
    )


CONVOLUTIONS = {
    "reference float64": (reference, np.float64),
    "reference float32": (reference, np.float32),
    "im2col": (by("im2col"), np.float32),
    "direct": (by("direct"), np.float32),
    "cuda float32": IMPLEMENTATIONS["cuda float32"],
    "cuda float32 on threads": pytest.param(
        OnDevice(tensor_cores=False), np.float32, marks=pytest.mark.cuda
    ),
    "cuda float64": IMPLEMENTATIONS["cuda float64"],
}
winograd_only = by("winograd")


def forget_choices():
    """Clear the choices that the CPU's convolutions cache by shape."""
    for function in vars(convolution).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()


def roundings(kernels, dtype, terms):
    """The number of roundings by which a sum of so many products may be off.

    Tensor cores cut sums off where others round, which is up to twice as much. And they split each
    number x into parts of 11 bits: the second part is at most 2**-11 x, and its own rounding 2**-22
    x. So three products miss x y by its last one, at most 2**-22 x y, and by two such roundings: 12
    times 2**-24.
    """
    on_tensor_cores = dtype is np.float32 and getattr(kernels, "tensor_cores", False)
    return 2 * terms + 14 if on_tensor_cores else terms + 2


channels = st.sampled_from([1, 2, 3, 5, 8, 10, 13, 16, 17, 24, 33])
generators = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@st.composite
def images(draw, largest=11, channels=channels):
    """Shape of a small batch."""
    size = st.integers(1, largest)
    return draw(st.integers(1, 3)), draw(size), draw(size), draw(channels)


@st.composite
def windows(draw, largest_kernel=4, square=False):
    """`(x_shape, kernel_size, stride, padding)` of a window that fits."""
    side = st.integers(1, largest_kernel)
    shape, kernel = draw(images()), (draw(side), draw(side))
    kernel = (kernel[0],) * 2 if square else kernel
    stride, padding = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    assume(min(output_shape(shape, kernel, stride, padding)) >= 1)
    return shape, kernel, stride, padding


def guarded(array):
    """A copy between NaNs, at an address that is no multiple of a vector."""
    buffer = np.full(array.size + 40, np.nan, array.dtype)
    copy = buffer[19 : 19 + array.size].reshape(array.shape)
    copy[...] = array
    return copy


def guarded_all(value):
    """`guarded` arrays, also of records; what is no array stays as it is."""
    if isinstance(value, tuple):
        return same_kind(value, map(guarded_all, value))
    return guarded(value) if isinstance(value, np.ndarray) else value


def normal(rng, dtype, *shape):
    """Normal numbers between NaNs: a read past an end shows up."""
    return guarded(rng.standard_normal(shape).astype(dtype))


def wide(*arrays):
    """The same numbers in float64, also of records; what is no array stays as it is."""
    return [widened(array) for array in arrays]


def widened(value):
    if isinstance(value, tuple):
        return same_kind(value, wide(*value))
    return value.astype(np.float64) if isinstance(value, np.ndarray) else value


def flat(results):
    """The arrays of a result and of the records in it, but y a second time."""
    for result in results:
        if isinstance(result, SavedNorm):
            yield from result[:3]
        elif isinstance(result, tuple):
            yield from flat(result)
        else:
            yield result


def assert_within(actual, expected, bound, dtype):
    """Compare shape, dtype and values; `bound` is in units of the dtype's rounding."""
    assert actual.shape == expected.shape
    assert actual.dtype == dtype
    error = np.abs(actual - expected)
    bad = ~(error <= bound * UNIT[dtype])
    assert not bad.any(), (
        f"{bad.sum()} of {bad.size} values are off, the worst by {np.nanmax(error)} "
        f"where {np.broadcast_to(bound, bad.shape).max() * UNIT[dtype]} is allowed at most"
    )


def assert_convolution(results, operands, bounds, geometry):
    """Compare (y, dx, dweight), each within its bound, with the reference's of (x, weight, dy)."""
    x, weight, dy = wide(*operands)
    right = (
        (partial(reference.conv2d, **geometry), x, weight),
        (partial(reference.conv2d_input_grad, x_shape=x.shape, **geometry), dy, weight),
        (partial(reference.conv2d_weight_grad, kernel_size=weight.shape[:2], **geometry), dy, x),
    )
    for actual, (f, *arrays), bound in zip(results, right, bounds, strict=True):
        assert_within(actual, f(*arrays), bound * f(*map(np.abs, arrays)), np.float32)
