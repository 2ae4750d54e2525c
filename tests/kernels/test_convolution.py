"""Convolutions of every shape, by every algorithm, against the reference in float64."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from minires.kernels import cpu, reference
from minires.kernels.cpu import tile

from minires import kernels

from .suite import (
    CONVOLUTIONS,
    assert_within,
    channels,
    generators,
    images,
    normal,
    roundings,
    wide,
    windows,
    winograd_only,
)

implementations = pytest.mark.parametrize(
    ("kernels", "dtype"), CONVOLUTIONS.values(), ids=CONVOLUTIONS
)


def absolute(*arrays):
    return [np.abs(array) for array in arrays]


@implementations
@given(window=windows(), filters=channels, rng=generators)
def test_conv2d(kernels, dtype, window, filters, rng):
    shape, kernel, stride, padding = window
    x = normal(rng, dtype, *shape)
    weight = normal(rng, dtype, *kernel, shape[3], filters)
    y = kernels.conv2d(x, weight, stride=stride, padding=padding)
    x, weight = wide(x, weight)
    expected = reference.conv2d(x, weight, stride=stride, padding=padding)
    size = reference.conv2d(*absolute(x, weight), stride=stride, padding=padding)
    assert_within(y, expected, roundings(kernels, dtype, weight[..., 0].size) * size, dtype)


@implementations
@given(window=windows(), filters=channels, rng=generators)
def test_conv2d_input_grad(kernels, dtype, window, filters, rng):
    shape, kernel, stride, padding = window
    weight = normal(rng, dtype, *kernel, shape[3], filters)
    outputs = reference.output_shape(shape, kernel, stride, padding)
    dy = normal(rng, dtype, shape[0], *outputs, filters)
    settings = {"x_shape": shape, "stride": stride, "padding": padding}
    dx = kernels.conv2d_input_grad(dy, weight, **settings)
    dy, weight = wide(dy, weight)
    expected = reference.conv2d_input_grad(dy, weight, **settings)
    size = reference.conv2d_input_grad(*absolute(dy, weight), **settings)
    assert_within(dx, expected, roundings(kernels, dtype, weight[:, :, 0].size) * size, dtype)


@implementations
@given(window=windows(), filters=channels, rng=generators)
def test_conv2d_weight_grad(kernels, dtype, window, filters, rng):
    shape, kernel, stride, padding = window
    x = normal(rng, dtype, *shape)
    outputs = reference.output_shape(shape, kernel, stride, padding)
    dy = normal(rng, dtype, shape[0], *outputs, filters)
    settings = {"kernel_size": kernel, "stride": stride, "padding": padding}
    dweight = kernels.conv2d_weight_grad(dy, x, **settings)
    dy, x = wide(dy, x)
    expected = reference.conv2d_weight_grad(dy, x, **settings)
    size = reference.conv2d_weight_grad(*absolute(dy, x), **settings)
    assert_within(dweight, expected, roundings(kernels, dtype, dy[..., 0].size) * size, dtype)


@pytest.mark.parametrize(
    ("algorithm", "shape"),
    [
        *itertools.product(
            ["im2col", "direct", "winograd"], [(9, 18, 17, 16), (2, 41, 40, 32), (70, 5, 4, 64)]
        ),
        *itertools.product(["im2col", "direct"], [(1, 7, 6, 200)]),
    ],
)
def test_many_blocks_give_what_one_gives(algorithm, shape, rng):
    """Several blocks of every loop, of pixels or of channels, and a remainder; small errors."""
    x, dy = rng.standard_normal((2, *shape), np.float32)
    weight = rng.standard_normal((3, 3, shape[3], shape[3]), np.float32)
    x_, dy_, weight_ = wide(x, dy, weight)
    settings = {"padding": 1, "algorithm": algorithm}
    y = cpu.conv2d(x, weight, **settings)
    assert rms_error(y, reference.conv2d(x_, weight_, padding=1)) < 2e-6
    dx = cpu.conv2d_input_grad(dy, weight, x_shape=shape, **settings)
    expected = reference.conv2d_input_grad(dy_, weight_, x_shape=shape, padding=1)
    assert rms_error(dx, expected) < 2e-6
    dweight = cpu.conv2d_weight_grad(dy, x, kernel_size=(3, 3), **settings)
    expected = reference.conv2d_weight_grad(dy_, x_, kernel_size=(3, 3), padding=1)
    assert rms_error(dweight, expected) < 3e-6


@pytest.mark.skipif(tile.WIDE_COLUMNS == tile.COLUMNS, reason="with AVX2 all tiles are narrow")
def test_wide_tiles_give_what_narrow_ones_give(rng):
    test_many_blocks_give_what_one_gives("im2col", (70, 5, 4, 64), rng)


def rms_error(actual, expected):
    """Root of the mean square error, relative to the values' own."""
    return np.sqrt(np.mean((actual - expected) ** 2) / np.mean(expected**2))


# ------------------------------------------------------------------------ Winograd

B_T = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
A_T = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
TRANSFORMS = 24  # roundings on the longest way through three two-dimensional transforms


def largest_sums(x, weight, padding):
    """Winograd's convolution of absolute values: what its roundings are relative to.

    The matrices are Lavin & Gray's, written down a second time. Cut off at whole tiles.
    """
    x = np.pad(np.abs(x), ((0, 0), (padding, padding + 3), (padding, padding + 3), (0, 0)))
    tiles = np.lib.stride_tricks.sliding_window_view(x, (6, 6), (1, 2))[:, ::4, ::4]
    v = np.einsum("ai,bj,nyxcij->nyxcab", abs(B_T), abs(B_T), tiles, optimize=True)
    u = np.einsum("ai,bj,ijcd->cdab", abs(G), abs(G), abs(weight), optimize=True)
    m = np.einsum("nyxcab,cdab->nyxdab", v, u, optimize=True)
    y = np.einsum("ia,jb,nyxdab->nyixjd", abs(A_T), abs(A_T), m, optimize=True)
    return y.reshape(len(y), 4 * y.shape[1], 4 * y.shape[3], -1)


@st.composite
def winograd_shapes(draw):
    """`(x_shape, filters, padding)` with room for the kernel."""
    shape, padding = draw(images(13)), draw(st.integers(0, 2))
    assume(min(shape[1:3]) + 2 * padding >= 3)
    return shape, draw(channels), padding


def winograd_bound(x, weight, padding, like):
    sums = largest_sums(x, weight, padding)[:, : like.shape[1], : like.shape[2]]
    return (weight.shape[2] + TRANSFORMS) * sums


@given(case=winograd_shapes(), rng=generators)
def test_winograd(case, rng):
    shape, filters, padding = case
    x = normal(rng, np.float32, *shape)
    weight = normal(rng, np.float32, 3, 3, shape[3], filters)
    y = winograd_only.conv2d(x, weight, padding=padding)
    x, weight = wide(x, weight)
    expected = reference.conv2d(x, weight, padding=padding)
    assert_within(y, expected, winograd_bound(x, weight, padding, expected), np.float32)


def largest_grad_sums(dy, weight, padding, x_shape):
    """Winograd's input gradient of absolute values: tiles of 6 x 6 that overlap and are added."""
    n, rows, cols, _ = dy.shape
    down, across = -(-rows // 4), -(-cols // 4)
    dy = np.pad(np.abs(dy), ((0, 0), (0, 4 * down - rows), (0, 4 * across - cols), (0, 0)))
    tiles = dy.reshape(n, down, 4, across, 4, -1)
    m = np.einsum("ia,jb,nyixjd->nyxabd", abs(A_T), abs(A_T), tiles, optimize=True)
    u = np.einsum("ai,bj,ijcd->cdab", abs(G), abs(G), abs(weight), optimize=True)
    v = np.einsum("nyxabd,cdab->nyxabc", m, u, optimize=True)
    x = np.einsum("ai,bj,nyxabc->nyxijc", abs(B_T), abs(B_T), v, optimize=True)
    total = np.zeros((n, 4 * down + 2, 4 * across + 2, x.shape[-1]))
    for i, j in np.ndindex(down, across):
        total[:, 4 * i : 4 * i + 6, 4 * j : 4 * j + 6] += x[:, i, j]
    return total[:, padding : padding + x_shape[1], padding : padding + x_shape[2]]


@given(case=winograd_shapes(), rng=generators)
def test_winograd_input_grad(case, rng):
    shape, filters, padding = case
    weight = normal(rng, np.float32, 3, 3, shape[3], filters)
    outputs = reference.output_shape(shape, (3, 3), 1, padding)
    dy = normal(rng, np.float32, shape[0], *outputs, filters)
    dx = winograd_only.conv2d_input_grad(dy, weight, x_shape=shape, padding=padding)
    dy, weight = wide(dy, weight)
    expected = reference.conv2d_input_grad(dy, weight, x_shape=shape, padding=padding)
    overlaps = 3  # up to four tiles are added
    bound = (filters + TRANSFORMS + overlaps) * largest_grad_sums(dy, weight, padding, shape)
    assert_within(dx, expected, bound, np.float32)


@given(case=winograd_shapes(), rng=generators)
def test_winograd_weight_grad(case, rng):
    """The largest sums here are those of all tiles: bounded by the largest entries."""
    shape, filters, padding = case
    x = normal(rng, np.float32, *shape)
    outputs = reference.output_shape(shape, (3, 3), 1, padding)
    dy = normal(rng, np.float32, shape[0], *outputs, filters)
    dweight = winograd_only.conv2d_weight_grad(dy, x, kernel_size=(3, 3), padding=padding)
    dy, x = wide(dy, x)
    expected = reference.conv2d_weight_grad(dy, x, kernel_size=(3, 3), padding=padding)
    count = outputs[0] * outputs[1] * shape[0]
    growth = abs(G).T @ (abs(B_T).sum(1) * abs(A_T).sum(0))  # of a row of ones, in one dimension
    bound = (count + TRANSFORMS) * growth.max() ** 2 * abs(x).max() * np.abs(dy).max()
    tiles = shape[0] * -(-outputs[0] // 4) * -(-outputs[1] // 4)
    assert_within(dweight, expected, bound * tiles, np.float32)
    assert rms_error(dweight, expected) < 1e-4


def test_winograd_loses_little(rng):
    """The documented price: one decimal digit and a half beside a plain float32 sum."""
    x = rng.standard_normal((4, 32, 32, 16), np.float32)
    weight = rng.standard_normal((3, 3, 16, 16), np.float32)
    expected = reference.conv2d(*wide(x, weight), padding=1)
    plain = rms_error(cpu.conv2d(x, weight, padding=1, algorithm="im2col"), expected)
    fast = rms_error(cpu.conv2d(x, weight, padding=1, algorithm="winograd"), expected)
    assert plain < 3e-7
    assert fast < 30 * plain


def test_an_impossible_wish_is_refused():
    x, weight = np.ones((1, 5, 5, 8), np.float32), np.ones((3, 3, 8, 8), np.float32)
    with pytest.raises(ValueError, match="winograd needs a 3 x 3 kernel, stride 1"):
        kernels.conv2d(x, weight, stride=2, padding=1, algorithm="winograd")
    with pytest.raises(ValueError, match="one of auto, im2col, direct, winograd, but is 'fft'"):
        kernels.conv2d(x, weight, algorithm="fft")


@pytest.mark.parametrize(
    ("shape", "weight_shape", "stride", "algorithm"),
    [
        ((8, 32, 32, 16), (3, 3, 16, 16), 1, "winograd"),
        ((8, 32, 32, 3), (3, 3, 3, 16), 1, "direct"),
        ((8, 32, 32, 16), (3, 3, 16, 32), 2, "im2col"),
        ((8, 32, 32, 16), (1, 1, 16, 32), 1, "im2col"),
        ((1, 7, 7, 512), (3, 3, 512, 512), 1, "im2col"),
    ],
)
def test_auto_is_one_of_the_others(shape, weight_shape, stride, algorithm, rng):
    x = rng.standard_normal(shape, np.float32)
    weight = rng.standard_normal(weight_shape, np.float32)
    settings = {"stride": stride, "padding": weight_shape[0] // 2}
    np.testing.assert_array_equal(
        kernels.conv2d(x, weight, **settings),
        kernels.conv2d(x, weight, **settings, algorithm=algorithm),
    )


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("view", [False, True])
@pytest.mark.parametrize("algorithm", ["im2col", "direct", "winograd"])
def test_a_weight_that_may_change_is_read_anew(algorithm, view, read_only, rng):
    """What is made of a weight is kept only if nothing can change it, whatever its flag says."""
    x = rng.standard_normal((2, 9, 9, 16), np.float32)
    weight = rng.standard_normal((3, 3, 16, 16), np.float32)
    given = weight[:] if view else weight
    given.flags.writeable = not read_only
    before = kernels.conv2d(x, given, algorithm=algorithm)
    weight.flags.writeable = True
    weight *= 2
    weight.flags.writeable = read_only
    np.testing.assert_array_equal(kernels.conv2d(x, given, algorithm=algorithm), 2 * before)
