"""Fused kernels give the same as the kernels that they replace.

Every algorithm of the convolution is forced for every shape: the automatic choice would never use
Winograd's for maps as small as these.
"""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from minires.kernels import cpu, reference
from minires.kernels.cpu import convolution
from minires.kernels.records import ConvNorm

from .suite import channels, flat, forget_choices, generators, images, normal, wide, windows

EPS = 1e-3
FLOAT32 = 3e-5  # of the result's root mean square; Winograd's convolutions and small variances


@pytest.fixture(params=["im2col", "direct", "winograd"], autouse=True, scope="module")
def algorithm(request):
    """What the convolutions of a test run on, where it is possible at all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "worthwhile", lambda *_: request.param == "winograd")
        patch.setattr(convolution, "columns_cost_most", lambda _: request.param == "direct")
        forget_choices()
        yield
    forget_choices()


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
    return x, ConvNorm(weight, *parameters(rng, filters), EPS, stride, padding)


@given(case=convolutions(), residual=st.booleans(), relu=st.booleans(), rng=generators)
def test_convolution_and_batch_norm(case, residual, relu, rng):
    x, layer = draw_convolution(case, rng)
    shape = reference.conv2d(x, layer.weight, **layer.geometry).shape
    residual = normal(rng, np.float32, *shape) if residual else None
    y, saved = cpu.conv2d_batch_norm(x, layer, residual=residual, relu=relu)
    x_, layer_, residual_ = wide(x, layer, residual)
    expected = reference.conv2d_batch_norm(x_, layer_, residual=residual_, relu=relu)
    assert_alike(flat((y, saved)), flat(expected), "y z mean var")
    assert saved.y is (y if relu else None)
    needs = {"needs_dx": bool(rng.integers(2)), "needs_dresidual": residual is not None}
    arrays = (normal(rng, np.float32, *shape), x, layer, saved)
    grads = cpu.conv2d_batch_norm_grad(*arrays, **needs)
    expected = reference.conv2d_batch_norm_grad(*wide(*arrays), **needs)
    size = max(1.0, size_of_sums(shape, layer.gamma, saved.var))
    assert_alike(grads, expected, "dx dweight dgamma dbeta dresidual", size)


@given(case=convolutions(), residual=st.booleans(), relu=st.booleans(), rng=generators)
def test_convolution_and_batch_norm_in_evaluation(case, residual, relu, rng):
    x, layer = draw_convolution(case, rng)
    shape = reference.conv2d(x, layer.weight, **layer.geometry).shape
    residual = normal(rng, np.float32, *shape) if residual else None
    mean, var = parameters(rng, shape[3])[::-1]
    arrays = (x, layer, mean, var)
    y = cpu.conv2d_batch_norm_eval(*arrays, residual=residual, relu=relu)
    *arrays_, residual_ = wide(*arrays, residual)
    expected = reference.conv2d_batch_norm_eval(*arrays_, residual=residual_, relu=relu)
    assert_alike([y], [expected], "y")


@st.composite
def blocks(draw, shapes=None):
    """`(x_shape, filters, stride, skip)`, half of them with maps all alike."""
    shapes = images() if shapes is None else shapes
    shape, skip = draw(shapes), draw(st.booleans())
    filters, stride = shape[3], 1
    if draw(st.booleans()):
        filters, stride = filters + draw(st.sampled_from([0, 1, 4, 16])), draw(st.integers(1, 3))
    rows, cols = reference.output_shape(shape, (3, 3), stride, 1)
    assume(shape[0] * rows * cols >= 8)
    return shape, filters, stride, skip


def draw_block(case, rng):
    shape, filters, stride, skip = case
    x = normal(rng, np.float32, *shape)
    weight1 = normal(rng, np.float32, 3, 3, shape[3], filters)
    weight2 = normal(rng, np.float32, 3, 3, filters, filters)
    affine = parameters(rng, filters, filters)
    first = ConvNorm(weight1, *affine[:2], EPS, stride, 1)
    return (x, first, ConvNorm(weight2, *affine[2:], EPS, padding=1)), {"skip": skip}


def check_block(kernels, case, needs_dx, rng):
    """A block and its gradients against the reference in float64."""
    arrays, settings = draw_block(case, rng)
    y, saved = kernels.basic_block(*arrays, **settings)
    expected = reference.basic_block(*wide(*arrays), **settings)
    assert_alike(flat((y, saved)), flat(expected), "y z1 mean1 var1 z2 mean2 var2")
    np.testing.assert_array_equal(saved[1].y, y)
    assert saved[0].y is None
    dy = normal(rng, np.float32, *y.shape)
    settings["needs_dx"] = needs_dx
    grads = kernels.basic_block_grad(dy, *arrays, saved, **settings)
    expected = reference.basic_block_grad(*wide(dy, *arrays, saved), **settings)
    sizes = (size_of_sums(y.shape, a.gamma, b.var) for a, b in zip(arrays[1:], saved, strict=True))
    size = max(1.0, *sizes)
    assert_alike(grads, expected, "dx dweight1 dgamma1 dbeta1 dweight2 dgamma2 dbeta2", size)


@given(case=blocks(), needs_dx=st.booleans(), rng=generators)
def test_basic_block(case, needs_dx, rng):
    check_block(cpu, case, needs_dx, rng)


@pytest.mark.parametrize(
    "case",
    [
        ((70, 9, 10, 16), 16, 1, True),
        ((3, 33, 40, 24), 24, 1, True),
        ((40, 8, 8, 64), 64, 1, True),
        ((40, 17, 16, 16), 32, 2, True),
        ((40, 8, 8, 16), 32, 1, True),
    ],
)
def test_many_chunks_give_what_one_gives(case, rng):
    """Several chunks of every loop, with remainders, and moments combined over them."""
    check_block(cpu, case, True, rng)
