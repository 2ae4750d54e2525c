"""Every tile of the matrix products, at the channels of ResNets and maps that are not square.

Drawn shapes meet the wide tiles too rarely: these need channels in fours, on both sides, at
addresses in sixteens.
"""

import itertools

import numpy as np
import pytest
from minires.kernels import reference
from minires.kernels.cuda import source

from minires import kernels
from tests.device import gpu, is_real

from . import fake_cupy

LAYERS = [  # (channels in, channels out, kernel, stride)
    *((3, 16, 3, 1), (16, 12, 3, 1), (16, 16, 3, 2), (16, 32, 1, 2), (20, 32, 3, 1)),
    *((32, 32, 3, 2), (36, 64, 3, 1), (64, 64, 3, 1), (64, 68, 1, 1)),
]
ORDERS = itertools.cycle(range(4))


def close(actual, expected):
    """Within what rounding in float32 does to a sum."""
    scale = np.sqrt(np.mean(expected**2))
    np.testing.assert_allclose(actual.get(), expected, rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_convolution(layer, rng):
    channels, filters, kernel, stride = layer
    geometry = {"stride": stride, "padding": kernel // 2}
    x = rng.standard_normal((3, 7, 6, channels)).astype(np.float32)
    weight = rng.standard_normal((kernel, kernel, channels, filters)).astype(np.float32)
    y = reference.conv2d(x.astype(np.float64), weight, **geometry)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    with gpu("check", order=next(ORDERS)) as cupy:
        on_x, on_weight, on_dy = (cupy.asarray(a) for a in (x, weight, dy))
        close(kernels.conv2d(on_x, on_weight, **geometry), y)
        dx = reference.conv2d_input_grad(dy.astype(np.float64), weight, x_shape=x.shape, **geometry)
        close(kernels.conv2d_input_grad(on_dy, on_weight, x_shape=x.shape, **geometry), dx)
        size = {"kernel_size": (kernel, kernel)}
        dweight = reference.conv2d_weight_grad(dy.astype(np.float64), x, **size, **geometry)
        close(kernels.conv2d_weight_grad(on_dy, on_x, **size, **geometry), dweight)


@pytest.mark.parametrize("sizes", [(68, 64, 12), (36, 516, 64), (132, 20, 68)], ids=str)
@pytest.mark.parametrize("turned", ["", "a", "b"])
def test_matmul(sizes, turned, rng):
    m, k, n = sizes
    a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
    with gpu("check", order=next(ORDERS)) as cupy:
        on_a, on_b = (
            cupy.asarray(np.ascontiguousarray(x.T if name in turned else x).astype(np.float32))
            for name, x in (("a", a), ("b", b))
        )
        c = kernels.matmul(on_a.T if "a" in turned else on_a, on_b.T if "b" in turned else on_b)
        close(c, a @ b)


@pytest.mark.skipif(is_real(), reason="only the stand-in counts")
def test_these_are_all_tiles():
    """Else a tile of `source.py` would be tested nowhere."""
    with gpu("fast"):
        launched = fake_cupy.machine.counts.launches
        for layer in LAYERS:
            run_layer(*layer)
        wanted = {n for n in source.kernels_of("convolution") if n.split("<")[1][:5] == "float"}
        assert set(launched) - {"sum_parts<float>"} == wanted


def run_layer(channels, filters, kernel, stride):
    """A convolution and its gradients, of anything."""
    cupy = fake_cupy.modules.MODULES["cupy"]
    geometry = {"stride": stride, "padding": kernel // 2}
    x = cupy.ones((3, 7, 6, channels), np.float32)
    weight = cupy.ones((kernel, kernel, channels, filters), np.float32)
    y = kernels.conv2d(x, weight, **geometry)
    kernels.conv2d_input_grad(y, weight, x_shape=x.shape, **geometry)
    kernels.conv2d_weight_grad(y, x, kernel_size=(kernel, kernel), **geometry)
