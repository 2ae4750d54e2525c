"""TF32 products are those of rounded numbers, and nothing else is less exact."""

import numpy as np
import pytest
from minires.kernels import precision

import minires
from minires import kernels

from ..device import gpu
from .suite import assert_convolution, assert_within, wide

LAYERS = [((2, 9, 7, 16), 24, 1), ((2, 9, 7, 20), 16, 2)]  # by runs of pixels, and by windows


def rounded(array):
    """Round to 10 mantissa bits, halves away from zero: `cvt.rna.tf32.f32`."""
    bits = array.view(np.uint32) + np.uint32(0x1000) & np.uint32(0xFFFFE000)
    return bits.view(np.float32)


@pytest.mark.cuda
@pytest.mark.parametrize(("shape", "filters", "stride"), LAYERS)
def test_a_convolution_is_that_of_rounded_numbers(shape, filters, stride, rng):
    """Products of such numbers are exact; each addition is cut off, by at most two roundings."""
    x = rng.standard_normal(shape, np.float32)
    weight = rng.standard_normal((3, 3, shape[3], filters), np.float32)
    geometry = {"stride": stride, "padding": 1}
    with gpu("check") as cupy, minires.precision("tf32"):
        y = kernels.conv2d(cupy.asarray(x), cupy.asarray(weight), **geometry).get()
        dy = rng.standard_normal(y.shape, np.float32)
        on_x, on_dy = cupy.asarray(x), cupy.asarray(dy)
        dx = kernels.conv2d_input_grad(on_dy, cupy.asarray(weight), x_shape=shape, **geometry).get()
        dweight = kernels.conv2d_weight_grad(on_dy, on_x, kernel_size=(3, 3), **geometry).get()
    terms = weight[..., 0].size, weight[:, :, 0].size, dy[..., 0].size
    bounds = [2 * (count + 1) for count in terms]
    operands = rounded(x), rounded(weight), rounded(dy)
    assert_convolution((y, dx, dweight), operands, bounds, geometry)


@pytest.mark.cuda
def test_a_linear_layer_too(rng):
    a, b = rng.standard_normal((8, 64), np.float32), rng.standard_normal((64, 12), np.float32)
    with gpu("check") as cupy:
        exact = kernels.matmul(cupy.asarray(a), cupy.asarray(b)).get()
        with minires.precision("tf32"):
            c = kernels.matmul(cupy.asarray(a), cupy.asarray(b)).get()
    a_, b_ = wide(rounded(a), rounded(b))
    assert_within(c, a_ @ b_, 2 * (64 + 1) * (np.abs(a_) @ np.abs(b_)), np.float32)
    assert np.abs(exact - a.astype(np.float64) @ b).max() < np.abs(c - exact).max() / 100


def test_on_the_cpu_it_is_float32(rng):
    x, weight = (
        rng.standard_normal((2, 2, 9, 9, 8), np.float32)[0],
        np.ones((3, 3, 8, 4), np.float32),
    )
    expected = kernels.conv2d(x, weight, padding=1)
    with minires.precision("tf32"):
        np.testing.assert_array_equal(kernels.conv2d(x, weight, padding=1), expected)


def test_it_holds_within_and_is_put_back():
    with minires.precision("tf32"):
        with minires.precision("float32"):
            assert precision.current() == "float32"
        assert precision.current() == "tf32"
        with pytest.raises(ZeroDivisionError), minires.precision("float32"):
            raise ZeroDivisionError
        assert precision.current() == "tf32"
    assert precision.current() == "float32"


@pytest.mark.parametrize("name", ["float16", "TF32", "", None])
def test_another_name_gets_a_sentence(name):
    message = f"precision must be one of float32, tf32, bfloat16, but is {name!r}"
    with pytest.raises(ValueError, match=message), minires.precision(name):
        pass
