"""Small tools that many tests use."""

import gc
import tracemalloc
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
from hypothesis import strategies as st

from minires import KinkError, Tensor, gradcheck
from minires.autograd import Context

generators = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def leaf(data, *, dtype=np.float64, name=""):
    """A tensor that collects a gradient."""
    return Tensor(np.array(data, dtype), requires_grad=True, name=name)


def away_from_zero(rng, shape, margin=0.1):
    """Numbers of both signs, none nearer to 0 than `margin`: a ReLU has no kink there."""
    return rng.uniform(margin, 1.5, shape) * rng.choice([-1.0, 1.0], shape)


def distinct(rng, shape, gap=0.01):
    """Numbers in random order, no two nearer than `gap`: a maximum has no ties there."""
    return gap * rng.permutation(int(np.prod(shape))).reshape(shape).astype(np.float64)


def gradcheck_where_smooth(f, draw, *, rng, **settings):
    """Check `f` at inputs that `draw()` gives, the first of five where no ReLU is at its kink."""
    for _ in range(4):
        try:
            return gradcheck(f, *draw(), rng=rng, **settings)
        except KinkError:
            continue
    return gradcheck(f, *draw(), rng=rng, **settings)


def randomise(module, rng, scale=0.3):
    """Move every parameter off its initial value: a scale of 1 or a shift of 0 hides mistakes."""
    for parameter in module.parameters():
        parameter += scale * rng.standard_normal(parameter.shape).astype(parameter.dtype)


def relative_error(actual, expected):
    """Largest difference, relative to the largest value."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    return np.abs(actual - expected).max() / max(np.abs(expected).max(), np.finfo(float).tiny)


def assert_agree(ours, theirs):
    """The same names, and float64 arrays that differ by rounding alone."""
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert relative_error(array, theirs[name]) < 1e-9, name


def live_contexts():
    """How many recorded operations are alive."""
    return sum(type(thing) is Context for thing in gc.get_objects())


@contextmanager
def no_garbage_collector():
    """What is freed in here is freed by reference counts alone: there are no cycles."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def traced_memory():
    """Yields an object with `now()`; its `peak` and `kept` are set at the end. Bytes."""
    usage = SimpleNamespace(peak=0, kept=0, now=lambda: tracemalloc.get_traced_memory()[0])
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        yield usage
        after, peak = tracemalloc.get_traced_memory()
        usage.peak, usage.kept = peak - before, after - before
    finally:
        tracemalloc.stop()
