"""Fused kernels give what the kernels that they replace give, one after the other.

Every algorithm of the convolution is forced, whatever the shape: by itself the choice would leave
Winograd's out for maps as small as these.
"""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from minires.kernels import cpu, reference
from minires.kernels.cpu import convolution

from .suite import channels, generators, images, normal, wide, windows

EPS = 1e-3
FLOAT32 = 3e-5  # of the result's root mean square; Winograd's convolutions and small variances


@pytest.fixture(params=["im2col", "direct", "winograd"], autouse=True, scope="module")
def algorithm(request):
    """What the convolutions of a test run on, where it is possible at all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "worthwhile", lambda *_: request.param == "winograd")
        patch.setattr(convolution, "columns_cost_most", lambda _: request.param == "direct")
        yield


def parameters(rng, *filters):
    """gamma and beta, positive and of either sign, for each number of channels."""
    return [
        array.astype(np.float32)
        for count in filters
        for array in (rng.uniform(0.5, 2, count), rng.standard_normal(count))
    ]


def size_of_sums(shape, gamma, var):
    """What a sum over all pixels comes to if its terms, of size gamma / std, do not cancel."""
    return np.sqrt(np.prod(shape[:3])) * np.max(gamma / np.sqrt(var + EPS))


def assert_alike(results, expected, names, size=1.0):
    """Compare; `size` is that of sums over pixels, which batch norm may make zero by right."""
    for name, ours, theirs in zip(names.split(), results, expected, strict=True):
        if theirs is None:
            assert ours is None, name
        else:
            assert ours.dtype == np.float32, name
            assert ours.shape == theirs.shape, name
            floor = 0.1 * (size if name.startswith(("dw", "dg", "db")) else 1.0)
            error = np.sqrt(np.mean((ours - theirs) ** 2))
            assert error <= FLOAT32 * max(np.sqrt(np.mean(theirs**2)), floor), name


@st.composite
def convolutions(draw):
    """`(x_shape, kernel, stride, padding, filters)` with at least eight values a channel."""
    shape, kernel, stride, padding = draw(windows())
    if draw(st.booleans()):
        kernel, stride, padding = (3, 3), 1, draw(st.integers(0, 2))
    assume(
        min(size + 2 * padding - side for size, side in zip(shape[1:], kernel, strict=False)) >= 0
    )
    rows, cols = reference.output_shape(shape, kernel, stride, padding)
    assume(shape[0] * rows * cols >= 8)
    return shape, kernel, stride, padding, draw(channels)


def draw_convolution(case, rng):
    shape, kernel, stride, padding, filters = case
    x = normal(rng, np.float32, *shape)
    weight = normal(rng, np.float32, *kernel, shape[3], filters)
    return x, weight, *parameters(rng, filters), {"stride": stride, "padding": padding}


@given(case=convolutions(), residual=st.booleans(), relu=st.booleans(), rng=generators)
def test_convolution_and_batch_norm(case, residual, relu, rng):
    x, weight, gamma, beta, geometry = draw_convolution(case, rng)
    shape = reference.conv2d(x, weight, **geometry).shape
    residual = normal(rng, np.float32, *shape) if residual else None
    settings = {"eps": EPS, "relu": relu, **geometry}
    results = cpu.conv2d_batch_norm(x, weight, gamma, beta, residual=residual, **settings)
    x_, weight_, gamma_, beta_, residual_ = wide(x, weight, gamma, beta, residual)
    expected = reference.conv2d_batch_norm(
        x_, weight_, gamma_, beta_, residual=residual_, **settings
    )
    assert_alike(results, expected, "y z mean var")
    y, z, mean, var = results
    dy = normal(rng, np.float32, *shape)
    needs = {"needs_dx": bool(rng.integers(2)), "needs_dresidual": residual is not None}
    arrays = (dy, x, weight, z, gamma, mean, var)
    settings = {"eps": EPS, **geometry, **needs}
    grads = cpu.conv2d_batch_norm_grad(*arrays, y=y if relu else None, **settings)
    y_ = y.astype(np.float64) if relu else None
    expected = reference.conv2d_batch_norm_grad(*wide(*arrays), y=y_, **settings)
    size = max(1.0, size_of_sums(shape, gamma, var))
    assert_alike(grads, expected, "dx dweight dgamma dbeta dresidual", size)


@given(case=convolutions(), residual=st.booleans(), relu=st.booleans(), rng=generators)
def test_convolution_and_batch_norm_in_evaluation(case, residual, relu, rng):
    x, weight, gamma, beta, geometry = draw_convolution(case, rng)
    shape = reference.conv2d(x, weight, **geometry).shape
    residual = normal(rng, np.float32, *shape) if residual else None
    mean, var = parameters(rng, weight.shape[3])[::-1]
    arrays = (x, weight, gamma, beta, mean, var)
    settings = {"eps": EPS, "relu": relu, **geometry}
    y = cpu.conv2d_batch_norm_eval(*arrays, residual=residual, **settings)
    *arrays_, residual_ = wide(*arrays, residual)
    expected = reference.conv2d_batch_norm_eval(*arrays_, residual=residual_, **settings)
    assert_alike([y], [expected], "y")


@given(shape=images(), skip=st.booleans(), needs_dx=st.booleans(), rng=generators)
def test_basic_block(shape, skip, needs_dx, rng):
    assume(np.prod(shape[:3]) >= 8)
    x = normal(rng, np.float32, *shape)
    weights = normal(rng, np.float32, 2, 3, 3, shape[3], shape[3])
    affine = parameters(rng, shape[3], shape[3])
    arrays = (x, weights[0], *affine[:2], weights[1], *affine[2:])
    settings = {"eps": EPS, "skip": skip}
    results = cpu.basic_block(*arrays, **settings)
    expected = reference.basic_block(*wide(*arrays), **settings)
    assert_alike(results, expected, "y z1 mean1 var1 z2 mean2 var2")
    dy = normal(rng, np.float32, *shape)
    settings["needs_dx"] = needs_dx
    grads = cpu.basic_block_grad(dy, *arrays, *results, **settings)
    expected = reference.basic_block_grad(*wide(dy, *arrays, *results), **settings)
    (gamma1, _, gamma2, _), (var1, var2) = affine, (results[3], results[6])
    size = max(1.0, size_of_sums(shape, gamma1, var1), size_of_sums(shape, gamma2, var2))
    assert_alike(grads, expected, "dx dweight1 dgamma1 dbeta1 dweight2 dgamma2 dbeta2", size)


@pytest.mark.parametrize("shape", [(70, 9, 10, 16), (3, 33, 40, 24), (40, 8, 8, 64)])
def test_many_chunks_give_what_one_gives(shape, rng):
    """Several chunks of every loop, with remainders, and moments combined over them."""
    x, dy = rng.standard_normal((2, *shape), np.float32)
    weights = rng.standard_normal((2, 3, 3, shape[3], shape[3]), np.float32)
    affine = parameters(rng, shape[3], shape[3])
    arrays = (x, weights[0], *affine[:2], weights[1], *affine[2:])
    results = cpu.basic_block(*arrays, eps=EPS, skip=True)
    expected = reference.basic_block(*wide(*arrays), eps=EPS, skip=True)
    assert_alike(results, expected, "y z1 mean1 var1 z2 mean2 var2")
    grads = cpu.basic_block_grad(dy, *arrays, *results, eps=EPS, skip=True)
    expected = reference.basic_block_grad(*wide(dy, *arrays, *results), eps=EPS, skip=True)
    assert_alike(grads, expected, "dx dweight1 dgamma1 dbeta1 dweight2 dgamma2 dbeta2")
