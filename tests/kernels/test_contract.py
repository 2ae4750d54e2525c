"""Every implementation of every kernel except convolutions, against the reference in float64."""

from inspect import signature

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from minires.kernels import cpu, cuda, reference, reference_bfloat16
from minires.kernels.records import Epoch

from minires import kernels as contract

from .suite import (
    IMPLEMENTATIONS,
    UNIT,
    assert_within,
    generators,
    guarded,
    images,
    normal,
    roundings,
    wide,
    windows,
)

implementations = pytest.mark.parametrize(
    ("kernels", "dtype"), IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS
)
EPS = 1e-3


def test_every_name_of_the_contract_is_there():
    names = set(contract.__all__) - {"report"}
    assert names == set(cpu.__all__) - {"warm_up"}
    assert all(callable(getattr(reference, name)) for name in names)


@pytest.mark.parametrize("module", [reference, reference_bfloat16, cpu, cuda])
@pytest.mark.parametrize("name", sorted(set(contract.__all__) - {"report"}))
def test_an_implementation_has_the_contracts_defaults(name, module):
    """A kernel hands on only what it was given, so the implementation's defaults decide."""
    stated = signature(getattr(contract, name)).parameters
    own = signature(getattr(module, name)).parameters.values()
    named = [p for p in own if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    assert {p.name: p.default for p in named} == {p.name: stated[p.name].default for p in named}


@implementations
@given(window=windows(), rng=generators)
def test_im2col_and_col2im(kernels, dtype, window, rng):
    """Copies, and sums of whole numbers: exact."""
    shape, kernel, stride, padding = window
    settings = {"kernel_size": kernel, "stride": stride, "padding": padding}
    x = guarded(rng.integers(-9, 9, shape).astype(dtype))
    columns = kernels.im2col(x, **settings)
    assert_within(columns, reference.im2col(x.astype(np.float64), **settings), 0, dtype)
    settings["x_shape"] = shape
    back = kernels.col2im(guarded(columns), **settings)
    assert_within(back, reference.col2im(columns.astype(np.float64), **settings), 0, dtype)


# ------------------------------------------------------------------------ batch norm


@st.composite
def batches(draw):
    """`(x_shape, offset, has_residual, relu)`, with more than one value a channel."""
    shape = draw(images())
    assume(shape[0] * shape[1] * shape[2] > 1)
    return shape, draw(st.sampled_from([0, 3, 1000])), draw(st.booleans()), draw(st.booleans())


def draw_batch(case, rng, dtype):
    shape, offset, has_residual, relu = case
    x = guarded(normal(rng, dtype, *shape) + dtype(offset))
    gamma, beta = normal(rng, dtype, shape[3]), normal(rng, dtype, shape[3])
    residual = normal(rng, dtype, *shape) if has_residual else None
    return x, gamma, beta, {"residual": residual, "relu": relu, "eps": EPS}


def terms(x, gamma, beta, mean, var, residual):
    """Absolute values of what is added up to y."""
    sizes = np.abs(x - mean) * np.abs(gamma) / np.sqrt(var + EPS) + np.abs(beta)
    return sizes if residual is None else sizes + np.abs(residual)


@implementations
@given(case=batches(), rng=generators)
def test_batch_norm(kernels, dtype, case, rng):
    x, gamma, beta, settings = draw_batch(case, rng, dtype)
    y, mean, var = kernels.batch_norm(x, gamma, beta, **settings)
    x, gamma, beta, residual = wide(x, gamma, beta, settings.pop("residual"))
    count = x[..., 0].size
    y_, mean_, var_ = reference.batch_norm(x, gamma, beta, residual=residual, **settings)
    assert_within(mean, mean_, (count + 2) * np.abs(x).mean((0, 1, 2)), dtype)
    # a mean that is off by d adds d to every distance, and d² to the variance
    off = count * np.abs(x).max()
    assert_within(var, var_, (count + 8) * (var_ + UNIT[dtype] * off**2), dtype)
    sizes = terms(x, gamma, beta, mean_, var_, residual)
    sizes += (count + 2) / (count + 12) * np.abs(x).max() * np.abs(gamma) / np.sqrt(var_ + EPS)
    assert_within(y, y_, (count + 12) * sizes, dtype)


@implementations
@given(case=batches(), rng=generators)
def test_batch_norm_eval(kernels, dtype, case, rng):
    x, gamma, beta, settings = draw_batch(case, rng, dtype)
    mean, var = normal(rng, dtype, len(gamma)), np.abs(normal(rng, dtype, len(gamma)))
    y = kernels.batch_norm_eval(x, gamma, beta, mean, var, **settings)
    x, gamma, beta, mean, var = wide(x, gamma, beta, mean, var)
    (residual,) = wide(settings.pop("residual"))
    expected = reference.batch_norm_eval(x, gamma, beta, mean, var, residual=residual, **settings)
    sizes = terms(x, gamma, beta, mean, var, residual)
    assert_within(y, expected, 8 * sizes, dtype)


@implementations
@pytest.mark.parametrize("name", ["batch_norm_grad", "batch_norm_eval_grad"])
@given(case=batches(), rng=generators)
def test_batch_norm_grad(kernels, dtype, name, case, rng):
    x, gamma, beta, settings = draw_batch(case, rng, dtype)
    y, mean, var = kernels.batch_norm(x, gamma, beta, **settings)
    y = guarded(y) if settings["relu"] else None
    dy = normal(rng, dtype, *x.shape)
    results = getattr(kernels, name)(dy, x, gamma, mean, var, eps=EPS, y=y)
    dy, x, gamma, mean, var, y = wide(dy, x, gamma, mean, var, y)
    expected = getattr(reference, name)(dy, x, gamma, mean, var, eps=EPS, y=y)
    count, std = x[..., 0].size, np.sqrt(var + EPS)
    dz, x_hat = np.abs(expected[3]), np.abs(x - mean) / std
    dgamma, dbeta = (dz * x_hat).sum((0, 1, 2)), dz.sum((0, 1, 2))
    dx = np.abs(gamma) / std * (dz + dbeta / count + x_hat * dgamma / count)
    rounds = count + 12
    for result, right, size in zip(results, expected, (dx, dgamma, dbeta, 0), strict=True):
        assert_within(result, right, rounds * size, dtype)


def test_batch_norm_grad_hands_dy_on_where_nothing_is_cut(rng):
    x, dy = rng.standard_normal((2, 2, 3, 3, 8), np.float32)
    ones = np.ones(8, np.float32)
    for kernels in (reference, cpu):
        assert kernels.batch_norm_grad(dy, x, ones, ones, ones, eps=EPS)[3] is dy


@pytest.mark.parametrize("offset", [0, 10, 1000, 1e5])
def test_variance_far_from_zero(offset, rng):
    """E[x²] - E[x]² would have no right digit left; 3 * sqrt(chunk) roundings are allowed."""
    x = (offset + rng.standard_normal((16, 32, 32, 24))).astype(np.float32)
    ones = np.ones(24, np.float32)
    _, mean, var = cpu.batch_norm(x, ones, ones, eps=EPS)
    x = x.astype(np.float64)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=2**-23, atol=1e-7)
    np.testing.assert_allclose(var, x.var((0, 1, 2)), rtol=1e-5)


# ------------------------------------------------------------------------ relu and pools


@implementations
@given(shape=st.lists(st.integers(0, 9), max_size=4).map(tuple), rng=generators)
def test_relu(kernels, dtype, shape, rng):
    x, dy = rng.integers(-1, 2, shape).astype(dtype), normal(rng, dtype, *shape)
    y = kernels.relu(x)
    assert_within(y, np.maximum(x, 0), 0, dtype)
    assert_within(kernels.relu_grad(dy, y), np.where(x > 0, dy, 0), 0, dtype)


@implementations
def test_relu_of_a_nan_is_a_nan(kernels, dtype):
    x = np.array([np.nan, -np.inf, np.inf, -1, 1] * 5, dtype)
    np.testing.assert_array_equal(kernels.relu(x), [np.nan, 0, np.inf, 0, 1] * 5)
    x, one, zero = x.reshape(1, 5, 5, 1), np.ones(1, dtype), np.zeros(1, dtype)
    y = kernels.batch_norm_eval(x, one, zero, zero, one, eps=0.0, relu=True)
    np.testing.assert_array_equal(y.ravel(), [np.nan, 0, np.inf, 0, 1] * 5)


@st.composite
def pools(draw):
    shape, (size, _), stride, padding = draw(windows(square=True))
    assume(2 * padding <= size)
    return shape, {"size": size, "stride": stride, "padding": padding}


@implementations
@given(case=pools(), ties=st.booleans(), rng=generators)
def test_max_pool(kernels, dtype, case, ties, rng):
    """Exact: the values are copies, the gradient a sum of few whole numbers."""
    shape, settings = case
    x = guarded(rng.integers(-2, 3, shape).astype(dtype)) if ties else normal(rng, dtype, *shape)
    if ties:
        x[rng.random(shape) < 0.1] = np.nan
        x[rng.random(shape) < 0.1] = -np.inf
    y, argmax = kernels.max_pool(x, **settings)
    y_, argmax_ = reference.max_pool(x.astype(np.float64), **settings)
    assert y.dtype == dtype
    assert argmax.dtype == np.int32
    np.testing.assert_array_equal(y, y_)
    np.testing.assert_array_equal(argmax, argmax_)
    dy = guarded(rng.integers(-9, 9, y.shape).astype(dtype))
    dx = kernels.max_pool_grad(dy, argmax, x_shape=shape, **settings)
    expected = reference.max_pool_grad(*wide(dy), argmax, x_shape=shape, **settings)
    assert_within(dx, expected, 0, dtype)


@implementations
@given(case=pools(), rng=generators)
def test_avg_pool(kernels, dtype, case, rng):
    shape, settings = case
    x, area = normal(rng, dtype, *shape), settings["size"] ** 2
    y = kernels.avg_pool(x, **settings)
    (x,) = wide(x)
    size = reference.avg_pool(np.abs(x), **settings)
    assert_within(y, reference.avg_pool(x, **settings), (area + 2) * size, dtype)
    dy = normal(rng, dtype, *y.shape)
    dx = kernels.avg_pool_grad(dy, x_shape=shape, **settings)
    (dy,) = wide(dy)
    expected = reference.avg_pool_grad(dy, x_shape=shape, **settings)
    size = reference.avg_pool_grad(np.abs(dy), x_shape=shape, **settings)
    assert_within(dx, expected, (area + 2) * size, dtype)


@implementations
@given(shape=images(), rng=generators)
def test_global_avg_pool(kernels, dtype, shape, rng):
    x, area = normal(rng, dtype, *shape), shape[1] * shape[2]
    y = kernels.global_avg_pool(x)
    (x,) = wide(x)
    size = reference.global_avg_pool(np.abs(x))
    assert_within(y, reference.global_avg_pool(x), (area + 2) * size, dtype)
    dy = normal(rng, dtype, *y.shape)
    dx = kernels.global_avg_pool_grad(dy, x_shape=shape)
    expected = reference.global_avg_pool_grad(*wide(dy), x_shape=shape)
    assert_within(dx, expected, 2 * np.abs(expected), dtype)


@implementations
@given(
    shape=images(), stride=st.integers(1, 4), more=st.sampled_from([0, 1, 16, 21]), rng=generators
)
def test_subsample_and_pad(kernels, dtype, shape, stride, more, rng):
    """Copies: exact."""
    x, channels = normal(rng, dtype, *shape), shape[3] + more
    y = kernels.subsample_and_pad(x, channels=channels, stride=stride)
    expected = reference.subsample_and_pad(*wide(x), channels=channels, stride=stride)
    assert_within(y, expected, 0, dtype)
    dy = normal(rng, dtype, *y.shape)
    dx = kernels.subsample_and_pad_grad(dy, x_shape=shape, stride=stride)
    expected = reference.subsample_and_pad_grad(*wide(dy), x_shape=shape, stride=stride)
    assert_within(dx, expected, 0, dtype)


stacks = st.sampled_from([((), ()), ((3,), (3,)), ((2, 1), (1, 3)), ((2,), ()), ((), (2, 2))])
sides = st.sampled_from([1, 3, 4, 8, 12, 17, 33, 64, 68])


@implementations
@given(stacks=stacks, m=sides, n=sides, k=sides, transposed=st.tuples(*[st.booleans()] * 2),
       rng=generators)  # fmt: skip
def test_matmul(kernels, dtype, stacks, m, n, k, transposed, rng):
    a, b = normal(rng, dtype, *stacks[0], m, k), normal(rng, dtype, *stacks[1], k, n)
    given_a, given_b = (
        stored_transposed(x) if turn else x for x, turn in zip((a, b), transposed, strict=True)
    )
    c = kernels.matmul(given_a, given_b)
    a, b = wide(a, b)
    assert_within(c, a @ b, roundings(kernels, dtype, k) * (np.abs(a) @ np.abs(b)), dtype)


def stored_transposed(x):
    """The same matrices, as a view of their transposes: what backward passes."""
    return np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2)


# ------------------------------------------------------------------------ loss, step, images


@implementations
@pytest.mark.parametrize("scale", [1, 1000])
@given(n=st.integers(1, 9), classes=st.integers(1, 12), rng=generators)
def test_softmax_cross_entropy(kernels, dtype, scale, n, classes, rng):
    logits = guarded((scale * rng.standard_normal((n, classes))).astype(dtype))
    labels = rng.integers(0, classes, n)
    loss, probabilities = kernels.softmax_cross_entropy(logits, labels)
    grad = kernels.softmax_cross_entropy_grad(probabilities, labels)
    loss_, probabilities_ = reference.softmax_cross_entropy(*wide(logits), labels)
    spread = np.ptp(logits.astype(np.float64)) + classes + n + 4  # exp(a) is off by |a| roundings
    assert loss.shape == ()
    assert_within(loss, loss_, spread * (1 + abs(loss_)), dtype)
    assert_within(probabilities, probabilities_, spread * probabilities_ + 1e-30, dtype)
    expected = reference.softmax_cross_entropy_grad(probabilities_, labels)
    assert_within(grad, expected, (spread + 2) / n, dtype)


@implementations
@given(n=st.integers(1, 9), classes=st.integers(1, 40), rng=generators)
def test_tally(kernels, dtype, n, classes, rng):
    """Ties go to the first class, and a NaN is the largest, as in NumPy's argmax."""
    logits = guarded(rng.integers(0, 4, (n, classes)).astype(dtype))
    logits[rng.random(logits.shape) < 0.05] = np.nan
    labels = rng.integers(0, classes, n)
    totals, loss = np.array([7.0, 3.0]), np.asarray(rng.standard_normal(), dtype)
    kernels.tally(totals, loss, logits, labels)
    wrong = (logits.argmax(1) != labels).sum()
    np.testing.assert_allclose(totals, [7 + float(loss) * n, 3 + wrong], rtol=1e-15)


@implementations
@given(channels=st.integers(1, 40), momentum=st.floats(0, 1), rng=generators)
def test_update_running_statistics(kernels, dtype, channels, momentum, rng):
    arrays = [normal(rng, dtype, channels) for _ in range(4)]
    expected = wide(*arrays)
    settings = {"momentum": momentum, "count": int(rng.integers(2, 99))}
    kernels.update_running_statistics(*arrays, **settings)
    reference.update_running_statistics(*expected, **settings)
    size = 2 * sum(map(np.abs, wide(*arrays[2:]))) + sum(map(np.abs, expected[:2]))
    for array, right in zip(arrays[:2], expected[:2], strict=True):
        assert_within(array, right, 8 * (size + 1), dtype)


@implementations
@given(
    size=st.sampled_from([1, 7, 100, 20000]),
    lr=st.floats(0, 1),
    momentum=st.floats(0, 0.99),
    weight_decay=st.floats(0, 0.1),
    rng=generators,
)
def test_sgd_step(kernels, dtype, size, lr, momentum, weight_decay, rng):
    settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
    parameter, grad, velocity = (normal(rng, dtype, size) for _ in range(3))
    expected = wide(parameter, grad, velocity)
    new_velocity = (
        np.abs(expected[2]) * momentum + np.abs(expected[1]) + weight_decay * np.abs(expected[0])
    )
    new_parameter = np.abs(expected[0]) + lr * new_velocity
    before = grad.copy()
    kernels.sgd_step(parameter, grad, velocity, **settings)
    reference.sgd_step(*expected, **settings)
    assert_within(velocity, expected[2], 8 * new_velocity, dtype)
    assert_within(parameter, expected[0], 12 * new_parameter, dtype)
    np.testing.assert_array_equal(grad, before)


@implementations
@given(shape=images(), padding=st.integers(0, 4), rng=generators)
def test_crop_flip(kernels, dtype, shape, padding, rng):
    pixels = rng.integers(0, 256, shape).astype(np.uint8)
    offsets = rng.integers(0, 2 * padding + 1, (shape[0], 2))
    flips = rng.random(shape[0]) < 0.5
    mean = guarded((100 * rng.random(shape[1:])).astype(dtype))
    scale = guarded(rng.random(shape[3]).astype(dtype))
    batch = kernels.crop_flip(pixels, offsets, flips, mean, scale, padding=padding)
    expected = reference.crop_flip(pixels, offsets, flips, *wide(mean, scale), padding=padding)
    assert_within(batch, expected, 4 * 256, dtype)


@implementations
@given(shape=images(), padding=st.integers(0, 4), place=st.integers(0, 2), rng=generators)
def test_epoch_batch(kernels, dtype, shape, padding, place, rng):
    """Computed by hand: the images of the batch, cropped and mirrored, and their labels."""
    size, count = int(rng.integers(1, 4)), shape[0] + 1
    pixels = rng.integers(0, 256, (count, *shape[1:])).astype(np.uint8)
    labels, order = rng.integers(0, 99, count), rng.integers(0, count, 3 * size + 1)
    offsets = rng.integers(0, 2 * padding + 1, (len(order), 2))
    flips, position = rng.random(len(order)) < 0.5, np.array(place)
    mean = (100 * rng.random(shape[1:])).astype(dtype)
    scale = rng.random(shape[3]).astype(dtype)
    settings = {"batch_size": size, "padding": padding}
    epoch = Epoch(pixels, labels, order, offsets, flips)
    batch, classes = kernels.epoch_batch(epoch, position, mean, scale, **settings)
    due = range(place * size, (place + 1) * size)
    chosen, moments = order[due], wide(mean, scale)
    crops = reference.crop_flip(pixels[chosen], offsets[due], flips[due], *moments, padding=padding)
    assert_within(batch, crops, 4 * 256, dtype)
    np.testing.assert_array_equal(classes, labels[chosen])
