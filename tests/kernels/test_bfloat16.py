"""Maps in bfloat16: rounded once where they are stored, and never in between.

The products of convolutions, with what is fused into them, are in test_tiles.py and
test_cuda_fused.py for a GPU, in test_bfloat16_on_cpu.py for the CPU.
"""

import itertools

import numpy as np
import pytest
from minires.kernels import dispatch, reference
from minires.kernels.dtypes import bfloat16
from minires.kernels.records import ConvNorm
from minires.kernels.running import Running

import minires
from minires import kernels

from ..device import gpu, place, to_host
from .around import assert_moments
from .rounding import rounded, rounding_reference
from .suite import flat, guarded_all, wide
from .ways import WAYS, choose_way

ORDERS = itertools.cycle(range(4))
on_gpu = pytest.mark.cuda
HALF = 2.0**-8  # the largest relative error of a rounding to 8 bits
CHANNELS = (8, 24, 5)  # moved eight at a time, or one by one


@pytest.fixture
def cupy():
    with gpu("check", order=next(ORDERS)) as found:
        yield found


@pytest.fixture(params=[pytest.param("gpu", marks=on_gpu), *WAYS])
def machine(request, monkeypatch):
    """A GPU, as its CuPy, or the CPU."""
    if request.param == "gpu":
        yield request.getfixturevalue("cupy")
    else:
        choose_way(request.param, monkeypatch)
        yield "cpu"


def maps(rng, *shape):
    return rng.standard_normal(shape).astype(bfloat16())


def run(cupy, name, *arrays, **settings):
    """A kernel on the machine, its results on the host."""
    if cupy == "cpu":
        arrays = tuple(map(guarded_all, arrays))
        return getattr(kernels, name)(*arrays, **settings)
    offset = 64 if arrays[0].shape[-1] % 8 == 0 else 19
    moved = [place(cupy, a, offset) for a in arrays]
    settings = {key: place(cupy, a, offset) for key, a in settings.items()}
    return to_host(getattr(kernels, name)(*moved, **settings))


def assert_rounded(actual, exact, slack=0.0):
    """A map, off by one rounding, and by `slack` of what is computed in float32."""
    assert actual.dtype == bfloat16()
    error = np.abs(actual.astype(np.float64) - exact)
    assert (error <= HALF * np.abs(exact) + (1 + HALF) * slack).all(), error.max()


def same(actual, expected):
    """NumPy takes NaNs of bfloat16 for unequal."""
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual.astype(np.float32), expected.astype(np.float32))


# ------------------------------------------------------------------------ the numbers


def hard_numbers(rng):
    """Floats at, and around, the middle between two neighbours; and the ends of the range."""
    bits = rng.integers(0, 2**16, (3, 333), np.uint32) << 16 | np.uint32(0x8000)
    bits = np.concatenate([bits[0] - 1, bits[1], bits[2] + 1, rng.integers(0, 2**32, 333)])
    numbers = bits.astype(np.uint32).view(np.float32)
    ends = np.float32([0, -0.0, np.inf, -np.inf, np.nan, 3.4e38, -3.4e38, 1.2e-38])
    every_bit = np.uint32([0x7FFFFFFF]).view(np.float32)  # a NaN, as GPUs make it
    numbers = np.concatenate([every_bit, numbers, ends])
    normal = ~(np.abs(numbers) < 2**-126)  # GPUs take smaller ones as zeros
    return numbers[normal | (numbers == 0)]


@pytest.mark.parametrize("pack", [1, 8])
def test_storing_rounds_to_the_nearest_and_to_even(pack, machine, rng):
    """NaN and infinity stay what they are; what is too large becomes infinity."""
    numbers = hard_numbers(rng)
    beta = numbers[: numbers.size // 8 * 8 - (pack == 1)]
    zeros, ones = np.zeros_like(beta), np.ones_like(beta)
    x = np.zeros((1, 1, 1, beta.size), bfloat16())
    y = run(machine, "batch_norm_eval", x, ones, beta, zeros, ones, eps=0.0)
    same(y.ravel(), beta.astype(bfloat16()))


@pytest.mark.parametrize("channels", [8, 5])
def test_weights_are_rounded_to_the_nearest_and_to_even(channels, machine, rng):
    """A sum of one product is that product."""
    numbers = hard_numbers(rng)
    size = (16, channels)
    weight = np.zeros((1, 1, *size), np.float32)
    chosen = numbers[np.isfinite(numbers) & (np.abs(numbers) < 3e38)]
    weight[0, 0] = chosen[: weight.size].reshape(size)
    x, dy = np.eye(16, dtype=bfloat16()), np.eye(channels, dtype=bfloat16())
    y = run(machine, "conv2d", x.reshape(16, 1, 1, 16), weight)
    np.testing.assert_array_equal(y.reshape(size), weight[0, 0].astype(bfloat16()))
    dy, x_shape = dy.reshape(channels, 1, 1, channels), (channels, 1, 1, 16)
    dx = run(machine, "conv2d_input_grad", dy, weight, x_shape=x_shape)
    np.testing.assert_array_equal(dx.reshape(channels, 16).T, weight[0, 0].astype(bfloat16()))


# ------------------------------------------------------------------------ passes over maps


@pytest.mark.parametrize("channels", CHANNELS)
def test_batch_norm(channels, machine, rng):
    """Moments are those of the stored map; the result is rounded once, after the addition."""
    x, residual = (maps(rng, 3, 5, 4, channels) for _ in range(2))
    gamma, beta = rng.standard_normal((2, channels), np.float32)
    running = Running(*rng.uniform(1, 2, (2, channels)).astype(np.float32), 0.3)
    settings = {"eps": 1e-3, "residual": residual, "relu": True, "running": running}
    y, mean, var = run(machine, "batch_norm", x, gamma, beta, **settings)
    assert_moments(x.astype(np.float32), mean, var)
    exact = reference.batch_norm_eval(*wide(x, gamma, beta, mean, var), eps=1e-3)
    size = np.abs(exact) + np.abs(beta) + np.abs(wide(residual)[0])
    exact = np.maximum(exact + wide(residual)[0], 0)
    assert_rounded(y, exact, 8 * 2.0**-24 * (size + 8 * np.abs(gamma)))


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("kernel", ["batch_norm_grad", "batch_norm_eval_grad"])
def test_gradients_of_batch_norm(kernel, channels, machine, rng):
    """Sums are those of the stored gradient; the result is rounded once."""
    dy, x, y = (maps(rng, 3, 5, 4, channels) for _ in range(3))
    gamma, mean = rng.standard_normal((2, channels), np.float32)
    var = rng.uniform(0.5, 2, channels).astype(np.float32)
    arrays = (dy, x, gamma, mean, var)
    dx, dgamma, dbeta, dresidual = run(machine, kernel, *arrays, eps=1e-3, y=y)
    exact = getattr(reference, kernel)(*wide(*arrays), eps=1e-3, y=wide(y)[0])
    np.testing.assert_array_equal(dresidual, exact[3])
    assert dresidual.dtype == bfloat16()
    terms = x.size // channels + 16
    size = np.abs(wide(dy)[0]).sum((0, 1, 2)) * (2 + np.abs(wide(x)[0]).max())
    for ours, right in ((dgamma, exact[1]), (dbeta, exact[2])):
        assert ours.dtype == np.float32
        assert (np.abs(ours - right) <= 2 * terms * 2.0**-24 * size).all()
    assert_rounded(dx, exact[0], 4 * terms * 2.0**-24 * size * np.abs(gamma))


@pytest.mark.parametrize("channels", CHANNELS)
def test_relu_and_its_gradient(channels, machine, rng):
    """Nothing is rounded."""
    x, dy = maps(rng, 3, 5, 3, channels), maps(rng, 3, 5, 3, channels)
    x[0, 0, 0, 0] = np.nan
    y = run(machine, "relu", x)
    same(y, np.maximum(x, 0))
    dx = run(machine, "relu_grad", dy, y)
    np.testing.assert_array_equal(dx, np.where(y > 0, dy, 0))
    assert y.dtype == dx.dtype == bfloat16()


def test_pooling(machine, rng):
    """Windows overlap: sums of gradients are rounded once."""
    x, window = maps(rng, 2, 7, 6, 5), {"size": 3, "stride": 2, "padding": 1}
    exact = wide(x)[0]
    y, argmax = run(machine, "max_pool", x, **window)
    dy = maps(rng, *y.shape)
    expected, places = reference.max_pool(exact, **window)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(argmax, places)
    slack = 9 * 2.0**-24 * 9 * np.abs(exact).max()
    dx = run(machine, "max_pool_grad", dy, argmax, x_shape=x.shape, **window)
    right = reference.max_pool_grad(wide(dy)[0], places, x_shape=x.shape, **window)
    assert_rounded(dx, right, slack)
    assert_rounded(
        run(machine, "avg_pool", x, **window), reference.avg_pool(exact, **window), slack
    )
    dx = run(machine, "avg_pool_grad", dy, x_shape=x.shape, **window)
    assert_rounded(dx, reference.avg_pool_grad(wide(dy)[0], x_shape=x.shape, **window), slack)


def test_averages_of_maps_are_float32(machine, rng):
    x = maps(rng, 3, 7, 6, 5)
    y = run(machine, "global_avg_pool", x)
    assert y.dtype == np.float32
    size = np.abs(wide(x)[0]).mean((1, 2))
    assert (np.abs(y - wide(x)[0].mean((1, 2))) <= 44 * 2.0**-24 * size).all()
    dy = maps(rng, 3, 5)
    dx = run(machine, "global_avg_pool_grad", dy, x_shape=x.shape)
    exact = reference.global_avg_pool_grad(wide(dy)[0], x_shape=x.shape)
    assert_rounded(dx, exact, 2.0**-24 * np.abs(exact))


def test_shortcut_a(machine, rng):
    x = maps(rng, 2, 5, 6, 3)
    y = run(machine, "subsample_and_pad", x, channels=8, stride=2)
    np.testing.assert_array_equal(y, reference.subsample_and_pad(x, channels=8, stride=2))
    dx = run(machine, "subsample_and_pad_grad", y, x_shape=x.shape, stride=2)
    expected = reference.subsample_and_pad_grad(y, x_shape=x.shape, stride=2)
    np.testing.assert_array_equal(dx, expected)
    assert y.dtype == dx.dtype == bfloat16()


# ------------------------------------------------------------------------ a whole block


@pytest.mark.parametrize(("channels", "stride"), [((16, 16), 1), ((8, 24), 2), ((5, 6), 1)])
def test_a_block_rounds_where_its_parts_do(channels, stride, machine, rng, monkeypatch):
    """It is far closer to the reference that rounds there than to the exact one.

    They differ by values that float32 brings to the other side of a rounding.
    """
    x = maps(rng, 2, 7, 6, channels[0])
    weights = [
        (rng.standard_normal((3, 3, c, channels[1])) / (3 * c**0.5)).astype(np.float32)
        for c in channels
    ]
    affine = rng.uniform(0.5, 1.5, (2, 2, channels[1])).astype(np.float32)
    strides = (stride, 1)
    layers = [ConvNorm(w, *a, 1e-3, s, 1) for w, a, s in zip(weights, affine, strides, strict=True)]
    y, saved = run(machine, "basic_block", x, *layers, skip=True)
    dy = maps(rng, *y.shape)
    grads = run(machine, "basic_block_grad", dy, x, *layers, saved, skip=True)

    def both():
        results = reference.basic_block(*wide(x, *layers), skip=True)
        arrays = wide(dy, x, *layers, saved)
        return [*flat(results), *reference.basic_block_grad(*arrays, skip=True)]

    exact = both()
    rounding_reference(monkeypatch)
    for ours, right, near in zip([*flat((y, saved)), *grads], exact, both(), strict=True):
        allowed = distance(near, right) / 100 + 2.0**-20 * distance(right, 0)
        assert distance(ours, near) <= allowed


def distance(a, b):
    return np.sqrt(np.mean((a.astype(np.float64) - b) ** 2))


# ------------------------------------------------------------------------ sentences


@on_gpu
def test_what_is_not_there_in_bfloat16_gets_a_sentence(cupy, rng):
    x, weight = maps(rng, 1, 20, 20, 4), np.ones((3, 3, 4, 8), np.float32)
    with pytest.raises(ValueError, match=r'im2col takes no bfloat16.*algorithm "auto"'):
        run(cupy, "conv2d", x, weight, algorithm="im2col")
    with pytest.raises(ValueError, match="at most 15 x 15 taps"):
        run(cupy, "conv2d", x, np.ones((16, 1, 4, 8), np.float32))
    with pytest.raises(ValueError, match="a matrix product takes no bfloat16"):
        run(cupy, "matmul", x[0, 0], x[0, 0].T.copy())


def test_mixtures_get_a_sentence(machine, rng):
    x, weight = maps(rng, 1, 6, 6, 4), np.ones((3, 3, 4, 8), np.float32)
    with pytest.raises(TypeError, match="parameters must be float32, but are bfloat16"):
        run(machine, "conv2d", x, weight.astype(bfloat16()))
    with pytest.raises(TypeError, match="must share a dtype"):
        run(machine, "conv2d", x.astype(np.float32), weight.astype(bfloat16()))
    with pytest.raises(TypeError, match="must share a dtype"):
        run(machine, "relu_grad", x, x.astype(np.float32))


@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_there_on_the_cpu_gets_a_sentence(way, rng, monkeypatch):
    choose_way(way, monkeypatch)
    x, boxes = maps(rng, 2, 6, 6, 4), maps(rng, 3, 4)
    calls = {
        "matmul": lambda: kernels.matmul(boxes, boxes.T.copy()),
        "im2col": lambda: kernels.im2col(x, kernel_size=(3, 3)),
        "nms": lambda: kernels.nms(boxes, threshold=0.5),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match=rf"{name} takes no bfloat16 on the cpu: convert"):
            call()
    assert dispatch.shared_dtype((maps(rng, 3),)) == bfloat16()


@on_gpu
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_linear_layers_compute_with_float32(precision, cupy, rng):
    a, b = rng.standard_normal((8, 64), np.float32), rng.standard_normal((64, 12), np.float32)
    with minires.precision(precision):
        c = run(cupy, "matmul", a, b)
    with minires.precision("float32" if precision == "float32" else "tf32"):
        np.testing.assert_array_equal(c, run(cupy, "matmul", a, b))
    assert rounded(a).dtype == c.dtype == np.float32
