"""The reference itself, against plain loops and against its own transposes."""

import itertools

import numpy as np
from hypothesis import given
from minires.kernels import reference

from .suite import channels, generators, windows


def convolution_in_loops(x, weight, stride, padding):
    """Seven loops, straight from the definition."""
    n, height, width, depth = x.shape
    kh, kw, _, filters = weight.shape
    rows = (height + 2 * padding - kh) // stride + 1
    cols = (width + 2 * padding - kw) // stride + 1
    y = np.zeros((n, rows, cols, filters))
    for b, r, s, f, i, j in itertools.product(*map(range, (*y.shape, kh, kw))):
        row, col = r * stride + i - padding, s * stride + j - padding
        if 0 <= row < height and 0 <= col < width:
            for c in range(depth):
                y[b, r, s, f] += x[b, row, col, c] * weight[i, j, c, f]
    return y


def test_conv2d_in_loops(rng):
    for stride, padding, kernel in itertools.product(
        (1, 2, 3), (0, 1, 2), ((1, 1), (2, 3), (3, 3))
    ):
        x = rng.standard_normal((2, 5, 4, 2))
        weight = rng.standard_normal((*kernel, 2, 3))
        y = reference.conv2d(x, weight, stride=stride, padding=padding)
        expected = convolution_in_loops(x, weight, stride, padding)
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


def inner(a, b):
    assert a.shape == b.shape
    return np.sum(a * b)


@given(window=windows(), filters=channels, rng=generators)
def test_gradients_are_transposes(window, filters, rng):
    """<conv(x, w), dy> = <x, input_grad(dy, w)> = <w, weight_grad(dy, x)>: no derivative needed."""
    shape, kernel, stride, padding = window
    x = rng.standard_normal(shape)
    weight = rng.standard_normal((*kernel, shape[3], filters))
    settings = {"stride": stride, "padding": padding}
    y = reference.conv2d(x, weight, **settings)
    dy = rng.standard_normal(y.shape)
    dx = reference.conv2d_input_grad(dy, weight, x_shape=shape, **settings)
    dweight = reference.conv2d_weight_grad(dy, x, kernel_size=kernel, **settings)
    expected = inner(y, dy)
    tolerance = 1e-12 * inner(np.abs(y), np.abs(dy)) + 1e-11
    assert abs(inner(x, dx) - expected) <= tolerance
    assert abs(inner(weight, dweight) - expected) <= tolerance


@given(window=windows(), rng=generators)
def test_col2im_is_the_transpose_of_im2col(window, rng):
    shape, kernel, stride, padding = window
    settings = {"kernel_size": kernel, "stride": stride, "padding": padding}
    x = rng.integers(-9, 9, shape).astype(np.float64)
    columns = reference.im2col(x, **settings)
    other = rng.integers(-9, 9, columns.shape).astype(np.float64)
    assert inner(columns, other) == inner(x, reference.col2im(other, x_shape=shape, **settings))


def test_batch_norm_grad_is_the_derivative(rng):
    """A central difference along random directions, in float64."""
    x, gamma = rng.standard_normal((3, 4, 2, 5)), rng.standard_normal(5)
    beta, residual, dy = rng.standard_normal(5), rng.standard_normal(x.shape), 1.0
    dy = rng.standard_normal(x.shape)
    settings = {"eps": 1e-3}

    def loss(x, gamma, beta, residual):
        arguments = {"residual": residual, "relu": True, **settings}
        return inner(reference.batch_norm(x, gamma, beta, **arguments)[0], dy)

    y, mean, var = reference.batch_norm(x, gamma, beta, residual=residual, relu=True, **settings)
    dx, dgamma, dbeta, dresidual = reference.batch_norm_grad(
        dy, x, gamma, mean, var, y=y, **settings
    )
    at = [x, gamma, beta, residual]
    for i, grad in enumerate((dx, dgamma, dbeta, dresidual)):
        step = 1e-6 * rng.standard_normal(grad.shape)
        ahead, behind = [list(at), list(at)]
        ahead[i], behind[i] = at[i] + step, at[i] - step
        slope = (loss(*ahead) - loss(*behind)) / 2
        np.testing.assert_allclose(slope, inner(grad, step), rtol=1e-5, atol=1e-11)
