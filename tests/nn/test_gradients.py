"""Gradients of every operation of a network, against differences, in float64."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minires import Tensor, gradcheck
from minires.nn import functional as F
from tests.helpers import away_from_zero, distinct, generators, leaf

sizes = st.integers(1, 6)


@st.composite
def convolutions(draw):
    """Shapes that are unlike along every axis, with strides that leave rows over."""
    height, width, kh, kw = draw(st.tuples(sizes, sizes, st.integers(1, 3), st.integers(1, 3)))
    stride, padding = draw(st.integers(1, 3)), draw(st.integers(0, 2))
    assume(height + 2 * padding >= kh)
    assume(width + 2 * padding >= kw)
    n, c_in, c_out = draw(st.tuples(*[st.integers(1, 2)] * 3))
    shapes = (n, height, width, c_in), (kh, kw, c_in, c_out)
    return *shapes, {"stride": stride, "padding": padding}


@given(convolution=convolutions(), rng=generators)
def test_convolution(convolution, rng):
    x_shape, weight_shape, geometry = convolution
    gradcheck(
        lambda x, weight: F.conv2d(x, weight, **geometry),
        rng.standard_normal(x_shape),
        rng.standard_normal(weight_shape),
        rng=rng,
        max_elements=10,
    )


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "stride", "padding"),
    [
        ((2, 5, 4, 2), (3, 3, 2, 3), 1, 1),
        ((2, 6, 5, 2), (3, 3, 2, 3), 2, 1),  # a row is left over, as in the paper's networks
        ((2, 6, 5, 2), (3, 2, 2, 3), 2, 0),
        ((2, 5, 7, 1), (1, 1, 1, 2), 2, 0),
        ((3, 7, 4, 2), (3, 1, 2, 2), 3, 2),
    ],
    ids=str,
)
def test_convolutions_of_the_kinds_that_go_wrong(x_shape, weight_shape, stride, padding, rng):
    gradcheck(
        lambda x, weight: F.conv2d(x, weight, stride=stride, padding=padding),
        rng.standard_normal(x_shape),
        rng.standard_normal(weight_shape),
        rng=rng,
    )


OTHERS = {
    "two strides, two paddings": (
        (2, 5, 6, 2),
        (2, 3, 2, 3),
        {"stride": (4, 2), "padding": (2, 1)},
    ),
    "dilation": ((1, 6, 5, 2), (3, 2, 2, 2), {"dilation": (1, 3), "padding": 1, "stride": 2}),
    "groups": ((2, 4, 4, 6), (3, 3, 2, 3), {"groups": 3, "padding": 1}),
}


@pytest.mark.parametrize(("x_shape", "weight_shape", "options"), OTHERS.values(), ids=OTHERS)
def test_convolutions_of_other_kinds(x_shape, weight_shape, options, rng):
    gradcheck(
        lambda x, weight, bias: F.conv2d(x, weight, bias, **options),
        rng.standard_normal(x_shape),
        rng.standard_normal(weight_shape),
        rng.standard_normal(weight_shape[3]),
        rng=rng,
    )


X, WEIGHT = Tensor(np.zeros((1, 4, 4, 4))), Tensor(np.zeros((3, 3, 2, 4)))
MISFITS = {
    "too many groups": ({"groups": 4}, "4 groups of a weight .* take 8 channels"),
    "no dilation": ({"dilation": 0}, "dilation must be a whole number, at least 1, or two"),
    "an algorithm": ({"groups": 2, "algorithm": "winograd"}, "is for plain convolutions alone"),
    "a bias too short": (
        {"groups": 2, "bias": Tensor(np.zeros(2))},
        r"shape \(4,\), but has \(2,\)",
    ),
    "a stride of 0": ({"stride": (0, 2)}, "stride must be a whole number, at least 1, or two"),
    "no groups": ({"groups": 0}, "groups must be at least 1, but is 0"),
}


@pytest.mark.parametrize(("options", "sentence"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit_other_convolutions_is_refused(options, sentence):
    with pytest.raises((ValueError, TypeError), match=f"conv2d: .*{sentence}"):
        F.conv2d(X, WEIGHT, **options)


def test_a_convolution_by_hand():
    """Seven loops and no trick."""
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((2, 5, 6, 3)), rng.standard_normal((3, 2, 3, 4))
    stride, padding = 2, 1
    expected = np.zeros((2, 3, 4, 4))
    for n, i, j, c in np.ndindex(expected.shape):
        for di, dj, k in np.ndindex(weight.shape[:3]):
            row, column = i * stride + di - padding, j * stride + dj - padding
            if 0 <= row < 5 and 0 <= column < 6:
                expected[n, i, j, c] += x[n, row, column, k] * weight[di, dj, k, c]
    actual = F.conv2d(Tensor(x), Tensor(weight), stride=stride, padding=padding)
    np.testing.assert_allclose(actual.data, expected, rtol=1e-12, atol=1e-12)


def test_an_image_gets_no_gradient_and_costs_none():
    x, weight = Tensor(np.ones((1, 3, 3, 1))), leaf(np.ones((3, 3, 1, 1)))
    F.conv2d(x, weight).backward(np.ones((1, 1, 1, 1)))
    assert x.grad is None
    assert weight.grad is not None


image_shapes = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(2, 3), st.integers(1, 3))


@given(shape=image_shapes, rng=generators)
def test_batch_norm_in_training(shape, rng):
    channels = shape[3]
    gradcheck(
        lambda x, gamma, beta: F.batch_norm(x, gamma, beta)[0],
        rng.permutation(int(np.prod(shape))).reshape(shape) / 5.0,
        rng.uniform(0.5, 2, channels),
        rng.standard_normal(channels),
        rng=rng,
        max_elements=20,
    )


@given(shape=image_shapes, rng=generators)
def test_batch_norm_in_evaluation(shape, rng):
    channels = shape[3]
    mean, var = rng.standard_normal(channels), rng.uniform(0.5, 2, channels)
    gradcheck(
        lambda x, gamma, beta: F.batch_norm_eval(x, gamma, beta, mean=mean, var=var),
        rng.standard_normal(shape),
        rng.uniform(0.5, 2, channels),
        rng.standard_normal(channels),
        rng=rng,
        max_elements=20,
    )


@given(shape=image_shapes, rng=generators)
def test_relu(shape, rng):
    gradcheck(F.relu, away_from_zero(rng, shape), rng=rng)


def test_the_gradient_of_relu_at_zero_is_zero():
    """As in PyTorch: a unit that is exactly off does not learn."""
    x = leaf([-1.0, -0.0, 0.0, 1.0])
    F.relu(x).backward(np.ones(4))
    np.testing.assert_array_equal(x.grad, [0, 0, 0, 1])


def test_relu_leaves_its_input_alone():
    x = leaf([-1.0, 2.0])
    F.relu(x)
    np.testing.assert_array_equal(x.data, [-1, 2])


@st.composite
def pools(draw):
    """Windows that overlap, touch or leave gaps, on maps that are not square."""
    size = draw(st.integers(1, 3))
    padding = draw(st.integers(0, size // 2))
    height, width = (draw(st.integers(max(1, size - 2 * padding), 6)) for _ in range(2))
    shape = draw(st.integers(1, 2)), height, width, draw(st.integers(1, 2))
    return shape, {"size": size, "stride": draw(st.integers(1, 3)), "padding": padding}


@given(pool=pools(), rng=generators)
def test_max_pool(pool, rng):
    shape, geometry = pool
    gradcheck(lambda x: F.max_pool(x, **geometry), distinct(rng, shape), rng=rng, max_elements=20)


@given(pool=pools(), rng=generators)
def test_average_pool(pool, rng):
    shape, geometry = pool
    gradcheck(
        lambda x: F.avg_pool(x, **geometry), rng.standard_normal(shape), rng=rng, max_elements=20
    )


@given(shape=image_shapes, rng=generators)
def test_global_average_pool(shape, rng):
    x = rng.standard_normal(shape)
    mean = np.einsum("nhwc->nc", x) / (shape[1] * shape[2])
    np.testing.assert_allclose(F.global_avg_pool(Tensor(x)).data, mean, rtol=1e-12, atol=1e-14)
    gradcheck(F.global_avg_pool, x, rng=rng)


@given(shape=image_shapes, stride=st.integers(1, 3), more=st.integers(0, 3), rng=generators)
def test_the_shortcut_without_parameters(shape, stride, more, rng):
    channels = shape[3] + more
    x = rng.standard_normal(shape)
    y = F.subsample_and_pad(Tensor(x), channels=channels, stride=stride)
    np.testing.assert_array_equal(y.data[..., : shape[3]], x[:, ::stride, ::stride])
    assert not y.data[..., shape[3] :].any()
    gradcheck(lambda x: F.subsample_and_pad(x, channels=channels, stride=stride), x, rng=rng)


@given(n=st.integers(1, 5), classes=st.integers(1, 5), rng=generators)
def test_softmax_cross_entropy(n, classes, rng):
    labels = rng.integers(0, classes, n)
    gradcheck(lambda x: F.cross_entropy(x, labels), rng.standard_normal((n, classes)), rng=rng)


def test_the_loss_of_a_uniform_guess_is_the_log_of_the_number_of_classes():
    loss = F.cross_entropy(Tensor(np.zeros((4, 10))), np.arange(4))
    assert loss.shape == ()
    assert loss.item() == pytest.approx(np.log(10), rel=1e-15)


def test_the_loss_is_exact_where_exponentials_would_overflow():
    logits = leaf([[1e4, 0.0], [0.0, 1e4]])
    loss = F.cross_entropy(logits, np.array([0, 0]))
    loss.backward()
    assert loss.item() == 5e3
    np.testing.assert_array_equal(logits.grad, [[0, 0], [-0.5, 0.5]])


def test_the_gradient_of_the_loss_sums_to_zero_and_is_a_mean(rng):
    logits, labels = leaf(rng.standard_normal((4, 3))), np.array([0, 1, 2, 0])
    F.cross_entropy(logits, labels).backward()
    alone = leaf(logits.data[1:2])
    F.cross_entropy(alone, labels[1:2]).backward()
    np.testing.assert_allclose(logits.grad.sum(1), 0, atol=1e-16)
    np.testing.assert_allclose(logits.grad[1:2], alone.grad / 4, rtol=1e-13)
