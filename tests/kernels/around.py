"""A CUDA convolution and the operations fused into it, against the separate operations.

The fused operations are the same, in the same order, so most of them must give the same bits as a
separate kernel. Sums over pixels are compared with exact ones, within bounds.
"""

from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from minires.kernels import cuda, reference
from minires.kernels.checks import output_shape
from minires.kernels.cuda import convolution, launch, runs
from minires.kernels.cuda.batch_norm import Norm, fresh_moments, gradient_sums, normalise
from minires.kernels.cuda.matmul import gemm
from minires.kernels.dtypes import bfloat16, is_bfloat16
from minires.kernels.running import Running

from ..device import place, to_host
from .suite import assert_within

EPS = 1e-3


class Layer(NamedTuple):
    """A convolution's shapes."""

    shape: tuple[int, int, int, int]
    filters: int
    kernel: tuple[int, int] = (3, 3)
    stride: int = 1
    padding: int = 1

    @property
    def geometry(self):
        return {"stride": self.stride, "padding": self.padding}

    @property
    def result(self):
        size = output_shape(self.shape, self.kernel, self.stride, self.padding)
        return self.shape[0], *size, self.filters


class Bench:
    """Arrays of a layer on the device, and the comparisons."""

    def __init__(self, cupy, rng, layer: Layer, dtype=np.float32, *, offset=64, products=None):
        self.cupy, self.rng, self.layer, self.dtype = cupy, rng, layer, np.dtype(dtype)
        self.computed = np.dtype(np.float32 if is_bfloat16(self.dtype) else dtype)
        self.offset, self.products = offset, products
        self.x, self.dy = self.normal(*layer.shape), self.normal(*layer.result)
        self.weight = self.numbers(rng.standard_normal((*layer.kernel, *self.channels)))

    @property
    def channels(self):
        return self.layer.shape[3], self.layer.filters

    def put(self, array) -> Any:
        """A map on the device, between NaNs, at a multiple of 16 bytes or not."""
        return place(self.cupy, np.asarray(array).astype(self.dtype), self.offset)

    def numbers(self, array) -> Any:
        """The same for what is no map: of the dtype that is computed with."""
        return place(self.cupy, np.asarray(array, self.computed), self.offset)

    def normal(self, *shape):
        """A random map, or numbers of channels."""
        place = self.put if len(shape) == 4 else self.numbers
        return place(self.rng.standard_normal(shape))

    def norm(self, z):
        """A batch norm for a map: half of the results are positive, and some are exactly zero."""
        c = z.shape[3]
        mean, beta = self.rng.standard_normal(c), self.rng.standard_normal(c)
        beta[::2] = 0
        mean = mean.astype(self.dtype)  # as it can stand in the map
        z[0, 0, 0] = self.put(mean)
        var, gamma = self.rng.uniform(0.5, 2, c), self.rng.uniform(-1, 2, c)
        return Norm(*map(self.numbers, (mean, var, gamma, beta)), EPS)

    # ------------------------------------------------------------------ pending

    def pending(self):
        """A batch norm that is pending on x, and x after it and ReLU."""
        norm = self.norm(self.x)
        return norm, self.put(normalise(self.x, norm, relu=True).get())

    def check_pending_result(self):
        """Pending batch norm and ReLU give the same as applied ones; the padding stays zero."""
        norm, between = self.pending()
        geometry = self.layer.stride, self.layer.padding
        plain = convolution.convolve(between, self.weight, *geometry)
        same(convolution.convolve(self.x, self.weight, *geometry, pending=norm), plain)

    def check_pending_weight_grad(self):
        """The same in the weight's gradient."""
        norm, between = self.pending()
        plain = self.weight_grad(between)
        same(self.weight_grad(self.x, pending=norm), plain)

    # ------------------------------------------------------------------ moments

    def check_moments(self):
        """The moments of the result, and the running statistics that they move."""
        filters = self.layer.filters
        statistics = self.rng.standard_normal(filters), self.rng.uniform(1, 2, filters)
        running = Running(*map(self.numbers, statistics), 0.3)
        followed = [array.copy() for array in running[:2]]
        sizes = [np.abs(array.get()) for array in followed]
        moments = fresh_moments(filters, self.x, running)
        geometry = self.layer.stride, self.layer.padding
        y = convolution.convolve(self.x, self.weight, *geometry, moments=moments)
        same(y, convolution.convolve(self.x, self.weight, *geometry))
        values = y.get().astype(self.computed)
        assert_moments(values, moments.mean.get(), moments.var.get())
        settings = {"momentum": 0.3, "count": y.size // filters}
        cuda.update_running_statistics(*followed, moments.mean, moments.var, **settings)
        for i, (array, expected) in enumerate(zip(running[:2], followed, strict=True)):
            bound = 4 * (sizes[i] + 2 * np.abs(moments[i].get()))  # compilers fuse, or don't
            assert_within(array.get(), expected.get(), bound, self.computed.type)

    # ------------------------------------------------------------------ shortcut and mask

    def weight_grad(self, x, **settings):
        geometry = self.layer.stride, self.layer.padding
        return convolution.weight_grad(self.dy, x, self.layer.kernel, *geometry, **settings)

    def input_grad(self, **settings):
        geometry = self.layer.stride, self.layer.padding
        return convolution.input_grad(self.dy, self.weight, self.layer.shape, *geometry, **settings)

    def addend(self, stride, more):
        """A gradient from a shortcut, and the same as an array like x."""
        n, height, width, channels = self.layer.shape
        addend = self.normal(n, -(-height // stride), -(-width // stride), channels + more)
        shape = self.layer.shape
        return addend, reference.subsample_and_pad_grad(addend.get(), x_shape=shape, stride=stride)

    def check_addend(self, stride, more):
        """It is added where the shortcut read; the rest is as without it."""
        addend, spread = self.addend(stride, more)
        dx = self.input_grad(shortcut=convolution.ShortcutGrad(addend, stride))
        self.compare_with_addend(dx, spread)

    def check_mask(self, by_norm, addend=None):
        """After the addition the gradient is masked by the ReLU before, and summed."""
        z = self.normal(*self.layer.shape)
        norm = self.norm(z)
        result = normalise(z, norm, relu=True)
        shortcut, spread = None, 0
        if addend:
            more, spread = self.addend(*addend)
            shortcut = convolution.ShortcutGrad(more, addend[0])
        sums = launch.empty_numbers((2, z.shape[3]), z)
        proof = {"norm": norm} if by_norm else {"y": self.put(result.get())}
        mask = convolution.MaskAndSum(z, norm.mean, sums, **proof)
        dx = self.input_grad(shortcut=shortcut, mask=mask)
        self.compare_with_addend(dx, spread, result.get() > 0)
        self.assert_sums(dx, z, norm, sums)
        return z, norm, result, dx, sums

    def check_mask_of_run(self):
        """As `check_mask` by norm, but against the reference: no other kernel sums like runs."""
        z = self.normal(*self.layer.shape)
        norm = self.norm(z)
        sums = launch.empty_numbers((2, z.shape[3]), z)
        dx = self.input_grad(mask=convolution.MaskAndSum(z, norm.mean, sums, norm=norm))
        passes = normalise(z, norm, relu=True).get() > 0
        whole = partial(reference.conv2d_input_grad, x_shape=self.layer.shape)
        whole = partial(whole, **self.layer.geometry)
        terms = self.weight[:, :, 0].size
        self.compare(dx, lambda a, b: whole(a, b) * passes, self.dy, self.weight, terms)
        self.assert_sums(dx, z, norm, sums)

    def compare_with_addend(self, dx, spread, passes=True):
        """dx is as without the shortcut, plus the gradient from it, where it passes.

        In bfloat16 that is rounded once, after the addition.
        """
        if not is_bfloat16(self.dtype):
            whole = self.input_grad().get() + spread
            same(dx, np.where(passes, whole, self.dtype.type(0)))
            return
        product = partial(reference.conv2d_input_grad, x_shape=self.layer.shape)
        product = partial(product, **self.layer.geometry)
        spread = np.asarray(spread, np.float64)

        def whole(a, b):  # of the absolute values, too, which bound
            more = spread if (a < 0).any() else np.abs(spread)
            return np.where(passes, product(a, b) + more, 0)

        self.compare(dx, whole, self.dy, self.weight, self.weight[:, :, 0].size + 1)

    def assert_sums(self, dx, z, norm, sums):
        dx, z = (a.get().astype(self.computed) for a in (dx, z))
        assert_sums(dx, z, norm.mean.get(), sums.get())

    def check_sums_again(self, by_norm=False, addend=None):
        """Summing the gradient from memory gives the same bits, whether it is masked or not."""
        z, norm, result, dx, sums = self.check_mask(by_norm, addend)
        if self.layer.stride == 1:
            placed = self.put(dx.get())
            same(gradient_sums(placed, z, None, norm.mean), sums)
            same(gradient_sums(placed, z, self.put(result.get()), norm.mean), sums)

    # ------------------------------------------------------------------ products

    def check_result(self):
        """The convolution against the reference in float64."""
        geometry = self.layer.geometry
        y = convolution.convolve(self.x, self.weight, *geometry.values())
        terms = self.weight[..., 0].size
        self.compare(y, partial(reference.conv2d, **geometry), self.x, self.weight, terms)

    def check_input_grad(self):
        product = partial(reference.conv2d_input_grad, x_shape=self.layer.shape)
        product = partial(product, **self.layer.geometry)
        self.compare(self.input_grad(), product, self.dy, self.weight, self.weight[:, :, 0].size)

    def check_weight_grad(self):
        product = partial(reference.conv2d_weight_grad, kernel_size=self.layer.kernel)
        product = partial(product, **self.layer.geometry)
        self.compare(self.weight_grad(self.x), product, self.dy, self.x, self.dy[..., 0].size)

    def compare(self, actual, product, a, b, terms):
        if is_bfloat16(self.dtype):
            assert_of_bfloat16(actual, product, a.get(), b.get(), terms)
            return
        a, b = (array.get().astype(np.float64) for array in (a, b))
        bound = roundings(self.products, terms) * product(np.abs(a), np.abs(b))
        assert_within(actual.get(), product(a, b), bound, self.dtype.type)


def assert_of_bfloat16(actual, product, a, b, terms):
    """A product of numbers rounded to bfloat16, on tensor cores.

    Products of such numbers are exact in float32. A warp adds 16 of them and the sum before, 17
    terms, each cut off by at most two roundings. A map is then rounded to 8 bits, by at most 2**-8.
    """
    a, b = (array.astype(bfloat16()).astype(np.float64) for array in (a, b))
    exact, actual = product(a, b), actual.get()
    sums = 2 * (terms + terms / 16 + 2) * 2.0**-24 * product(np.abs(a), np.abs(b))
    if not is_bfloat16(actual.dtype):
        assert_within(actual, exact, sums * 2.0**24, np.float32)
        return
    error = np.abs(actual.astype(np.float64) - exact)
    assert (error <= sums + 2.0**-8 * (np.abs(exact) + sums)).all(), error.max()


def roundings(products, terms):
    """As in suite.py, by the number of TF32 products for one; None: multiply-adds.

    A single one rounds each factor to 11 bits, which is off by 2**-11 at most: 2**13 roundings.
    """
    if products is None:
        return terms + 2
    return 2 * terms + (14 if products == 3 else 2 * 2**13 + 14)


def same(actual, expected):
    np.testing.assert_array_equal(*map(to_host, (actual, expected)))


# ---------------------------------------------------------------------- bounds on sums

ON_THE_WAY = 8 + 5 + 8 + 32 + 32  # additions: a thread's rows, lanes, warps, parts, their groups


def assert_moments(values, mean, var):
    """Mean and variance of each channel of `values`, by their roundings.

    Values count by their distance from one of them, so by `spread` at most, which takes a rounding;
    each sum on the way has as many as it has additions. Where parts are combined, a distance is
    multiplied by a count and their sum divided by one, and origins are added: 8 more. Squares are
    twice as far off as what is squared, and the mean's is taken from their sum: twice as far again.
    """
    dtype, values = values.dtype.type, values.astype(np.longdouble)
    spread, roundings = np.ptp(values, (0, 1, 2)), ON_THE_WAY + 8
    exact = values.mean((0, 1, 2))
    assert_within(mean, exact, 2 * np.abs(exact) + roundings * spread, dtype)
    assert_within(var, values.var((0, 1, 2)), 4 * roundings * spread**2, dtype)


def assert_sums(grads, z, mean, sums):
    """Sums of gradients, and of their products with z - mean: one addition after the other."""
    dtype = grads.dtype.type
    grads, z, mean = (a.astype(np.longdouble) for a in (grads, z, mean))
    for actual, terms in zip(sums, (grads, grads * (z - mean)), strict=True):
        exact, size = terms.sum((0, 1, 2)), np.abs(terms).sum((0, 1, 2))
        assert_within(actual, exact, (ON_THE_WAY + 3) * size, dtype)


# ---------------------------------------------------------------------- engines


@contextmanager
def forced_run(engine):
    """A context in which 3 x 3 convolutions take this engine of `runs.cu`, or none of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "choose_run", lambda *_: engine)
        yield


@contextmanager
def forced_weight_run(engine, parts):
    """A context in which weight gradients take this engine of `runs_weight.cu`, in parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "choose_weight_run", lambda *_: engine)
        patch.setattr(runs, "resident_blocks", lambda _: parts)
        yield


@contextmanager
def forced(engine):
    """A context in which every product runs on this engine."""
    with pytest.MonkeyPatch.context() as patch:
        for function in (convolution.convolve, gradient_sums, gemm):
            patch.setitem(function.__globals__, "choose_engine", lambda *_: engine)
        yield
