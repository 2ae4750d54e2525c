"""What only the CUDA kernels have: packs of four, tiles, parts, and how they are launched."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from minires.kernels import cuda as kernels
from minires.kernels import reference
from minires.kernels.cuda import convolution, launch, source
from minires.kernels.cuda.batch_norm import MOST_CHUNKS, chunk_length, width_for
from minires.kernels.records import ConvNorm

from ..device import OnDevice, gpu
from .suite import assert_convolution, assert_within, flat, generators, normal, roundings, wide
from .test_contract import stored_transposed
from .test_fused import assert_alike, blocks, check_block, parameters

pytestmark = pytest.mark.cuda
cuda = OnDevice()
EPS = 1e-3

fours = st.sampled_from([4, 8, 12, 16, 20, 32, 36, 64, 68])
sizes = st.integers(1, 9)


@st.composite
def windows(draw):
    """`(x_shape, kernel_size, stride, padding)`, channels in fours, for whole packs."""
    shape = draw(st.integers(1, 3)), draw(sizes), draw(sizes), draw(fours)
    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    stride, padding = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    return shape, kernel, stride, padding


@pytest.mark.parametrize("algorithm", ["direct", "im2col"])
@given(window=windows(), filters=fours, rng=generators)
def test_convolutions_in_packs_of_four(algorithm, window, filters, rng):
    shape, kernel, stride, padding = window
    x = normal(rng, np.float32, *shape)
    weight = normal(rng, np.float32, *kernel, shape[3], filters)
    geometry = {"stride": stride, "padding": padding}
    choice = geometry | {"algorithm": algorithm}
    y = cuda.conv2d(x, weight, **choice)
    dy = normal(rng, np.float32, *y.shape)
    dx = cuda.conv2d_input_grad(dy, weight, x_shape=shape, **choice)
    dweight = cuda.conv2d_weight_grad(dy, x, kernel_size=kernel, **choice)
    terms = weight[..., 0].size, weight[:, :, 0].size + dy[0, ..., 0].size, dy[..., 0].size
    bounds = [roundings(cuda, np.float32, count) for count in terms]
    assert_convolution((y, dx, dweight), (x, weight, dy), bounds, geometry)


@pytest.mark.parametrize(
    ("shape", "filters", "kernel", "stride"),
    [
        ((5, 13, 11, 3), 16, 3, 1),  # several blocks of pixels, several parts of the sum
        ((5, 13, 11, 16), 16, 3, 1),
        ((3, 17, 15, 32), 32, 3, 1),
        ((3, 17, 15, 16), 132, 3, 2),  # three tiles of filters, the last one mostly empty
        ((3, 17, 15, 68), 32, 1, 2),
    ],
)
def test_many_tiles_give_what_one_gives(shape, filters, kernel, stride, rng):
    x = rng.standard_normal(shape, np.float32)
    weight = rng.standard_normal((kernel, kernel, shape[3], filters), np.float32)
    geometry = {"stride": stride, "padding": kernel // 2}
    y = cuda.conv2d(x, weight, **geometry)
    dy = rng.standard_normal(y.shape, np.float32)
    x_, weight_, dy_ = wide(x, weight, dy)
    assert_alike([y], [reference.conv2d(x_, weight_, **geometry)], "y")
    dx = cuda.conv2d_input_grad(dy, weight, x_shape=shape, **geometry)
    expected = reference.conv2d_input_grad(dy_, weight_, x_shape=shape, **geometry)
    assert_alike([dx], [expected], "dx")
    settings = geometry | {"kernel_size": (kernel, kernel)}
    dweight = cuda.conv2d_weight_grad(dy, x, **settings)
    expected = reference.conv2d_weight_grad(dy_, x_, **settings)
    assert_alike([dweight], [expected], "dweight")


small = st.integers(1, 5)


block_shapes = st.tuples(small, st.integers(9, 13), small, st.sampled_from([4, 16, 36]))


@given(case=blocks(block_shapes), needs_dx=st.booleans(), rng=generators)
def test_basic_block(case, needs_dx, rng):
    check_block(cuda, case, needs_dx, rng)


@pytest.mark.parametrize("filters", [4, 8])
def test_shortcut_of_a_block_that_strides(filters, rng):
    check_block(cuda, ((2, 9, 11, 4), filters, 2, True), True, rng)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("residual", [True, False])
def test_convolution_and_batch_norm(relu, residual, rng):
    x = rng.standard_normal((3, 9, 7, 8), np.float32)
    weight = rng.standard_normal((3, 3, 8, 12), np.float32)
    gamma, beta = parameters(rng, 12)
    layer = ConvNorm(weight, gamma, beta, EPS, 2, 1)
    more = rng.standard_normal((3, 5, 4, 12), np.float32) if residual else None
    y, saved = cuda.conv2d_batch_norm(x, layer, residual=more, relu=relu)
    wide_x, wide_layer, wide_more = wide(x, layer, more)
    expected = reference.conv2d_batch_norm(wide_x, wide_layer, residual=wide_more, relu=relu)
    assert_alike(flat((y, saved)), flat(expected), "y z mean var")
    assert (saved.y is None) == (not relu)
    arrays = (rng.standard_normal(y.shape, np.float32), x, layer, saved)
    for needs_dresidual in (True, False):
        needs = {"needs_dresidual": needs_dresidual, "needs_dx": not residual}
        grads = cuda.conv2d_batch_norm_grad(*arrays, **needs)
        expected = reference.conv2d_batch_norm_grad(*wide(*arrays), **needs)
        assert_alike(grads, expected, "dx dweight dgamma dbeta dresidual")
    arrays = (x, layer, saved.mean, saved.var)
    y = cuda.conv2d_batch_norm_eval(*arrays, residual=more, relu=relu)
    *wide_arrays, wide_more = wide(*arrays, more)
    expected = reference.conv2d_batch_norm_eval(*wide_arrays, residual=wide_more, relu=relu)
    assert_alike([y], [expected], "y")


# ------------------------------------------------------------------------ batch norm


@pytest.mark.parametrize("shape", [(3, 40, 41, 3), (2, 40, 31, 68), (1, 23, 29, 16)])
def test_statistics_of_many_chunks(shape, rng):
    x = (5 + rng.standard_normal(shape)).astype(np.float32)
    ones = np.ones(shape[3], np.float32)
    y, mean, var = cuda.batch_norm(x, ones, ones, eps=EPS)
    y_, mean_, var_ = reference.batch_norm(*wide(x, ones, ones), eps=EPS)
    np.testing.assert_allclose(mean, mean_, rtol=1e-6)
    np.testing.assert_allclose(var, var_, rtol=1e-5)
    np.testing.assert_allclose(y, y_, atol=1e-4)
    dy = rng.standard_normal(shape, np.float32)
    arrays = (dy, x, ones, mean, var)
    grads = cuda.batch_norm_grad(*arrays, eps=EPS)
    expected = reference.batch_norm_grad(*wide(*arrays), eps=EPS)
    assert_alike(grads, expected, "dx dgamma dbeta dresidual")


def roundings_of_a_mean(x):
    """How far the kernels' mean of each channel may be from the true one, in units of rounding.

    A mean of some values lies in their range, which is `spread` wide. So does every mean on the way
    to the last, once the first pixel is subtracted from all (one rounding of at most `spread`). To
    merge two means the kernel takes their distance, times a share of at most 1, and adds it to the
    first: four roundings (distance, share, product, sum) of numbers no larger than `spread`.
    Merging is averaging: errors that both means had before don't grow. So each merge on a value's
    way adds four roundings at most: those of its thread, 5 shuffles and 7 other warps of its block,
    and the same once more where chunks are combined. At last the first pixel is added: a rounding
    of the mean.
    """
    pixels, channels = x[..., 0].size, x.shape[-1]
    width = width_for(channels)
    down, chunk = launch.THREADS // width, chunk_length(pixels, width)
    merges = -(-chunk // down) + 12 + -(-pixels // (chunk * down)) + 12
    spread = x.max((0, 1, 2)) - x.min((0, 1, 2))
    return np.abs(x.mean((0, 1, 2))) + (1 + 4 * merges) * spread


@pytest.mark.parametrize("offset", [0, 10, 1000, 1e5])
def test_variance_far_from_zero(offset, rng):
    """E[x²] - E[x]² would have no right digit left."""
    x = (offset + rng.standard_normal((4, 16, 16, 24))).astype(np.float32)
    ones = np.ones(24, np.float32)
    _, mean, var = cuda.batch_norm(x, ones, ones, eps=EPS)
    x = x.astype(np.float64)
    assert_within(mean, x.mean((0, 1, 2)), roundings_of_a_mean(x), np.float32)
    np.testing.assert_allclose(var, x.var((0, 1, 2)), rtol=1e-5)


def test_variance_where_the_first_pixel_is_far_from_all_others(rng):
    """Distances are taken from the first pixel: its value must not matter."""
    x = rng.standard_normal((4, 16, 16, 8)).astype(np.float32)
    x[0, 0, 0] = 1e4
    ones = np.ones(8, np.float32)
    rest = x.reshape(-1, 8)[1:].astype(np.float64)
    _, _, var = cuda.batch_norm(x, ones, ones, eps=EPS)
    np.testing.assert_allclose(var, x.astype(np.float64).var((0, 1, 2)), rtol=1e-5)
    assert rest.var() < 2


# ------------------------------------------------------------------------ launches


@given(pixels=st.integers(1, 10**7), wanted=st.integers(0, 500))
def test_parts_of_a_sum_are_whole_steps_and_not_too_many(pixels, wanted):
    part = convolution.pixels_of_a_part(pixels, wanted, 16)
    assert part % 16 == 0
    parts = -(-pixels // part)
    assert 1 <= parts <= max(1, wanted)


@given(pixels=st.integers(1, 10**7), channels=st.integers(1, 3000))
def test_chunks_of_batch_norm(pixels, channels):
    width = width_for(channels)
    assert width in (1, 2, 4, 8, 16, 32)
    assert width >= min(channels, 32)
    chunk = chunk_length(pixels, width)
    assert -(-pixels // chunk) <= MOST_CHUNKS


@pytest.mark.parametrize("labels", [[2, 3], [-1, 2], [2**40, 2]])
def test_a_label_that_is_no_class_is_wrong_and_never_followed_into_memory(labels):
    logits = np.array([[0, 1, 2], [0, 1, 2]], np.float32)
    totals = np.zeros(2)
    cuda.tally(totals, np.asarray(0.5, np.float32), logits, np.array(labels))
    np.testing.assert_array_equal(totals, [1, 1])


@pytest.mark.parametrize("algorithm", ["direct", "im2col"])
def test_the_gradients_of_no_images_are_zeros(algorithm):
    """As in NumPy: the empty sum."""
    none, ones = np.ones((0, 4, 5, 3), np.float32), np.ones(3, np.float32)
    dweight = cuda.conv2d_weight_grad(
        none, none, kernel_size=(3, 3), padding=1, algorithm=algorithm
    )
    np.testing.assert_array_equal(dweight, np.zeros((3, 3, 3, 3)))
    for name in ("batch_norm_grad", "batch_norm_eval_grad"):
        dx, *sums, _ = getattr(cuda, name)(none, none, ones, ones, ones, eps=EPS)
        assert dx.shape == none.shape
        np.testing.assert_array_equal(sums, np.zeros((2, 3)))


def test_every_kernel_that_is_launched_is_declared():
    """A launch of what is not compiled would fail at its first use: narrowest and widest tiles."""
    names = set(source.all_kernels())
    for kernel in ("conv2d", "conv2d_input_grad", "conv2d_weight_grad", "gemm"):
        rest = ("false, true",) if kernel == "gemm" else ()
        for arithmetic in source.ARITHMETIC_OF["gemm" if rest else "convolution"]:
            for vector in source.ARITHMETIC[arithmetic](kernel):
                for lines, columns in itertools.product((1, 10**6), (1, 16, 17, 32, 33, 64, 500)):
                    engine = source.choose_engine(kernel, arithmetic, vector, lines, columns)
                    assert source.product(kernel, engine, vector, *rest) in names


@pytest.mark.parametrize("channels", [8, 6])
def test_max_pool_of_packs(channels, rng):
    """Four channels at once, or one: exact, for values and gradients are whole numbers."""
    x = rng.integers(-4, 4, (2, 5, 7, channels)).astype(np.float32)
    window = {"size": 3, "stride": 2, "padding": 1}
    with gpu("check") as cupy:
        y, argmax = kernels.max_pool(cupy.asarray(x), **window)
        dy = rng.integers(-9, 9, y.shape).astype(np.float32)
        dx = kernels.max_pool_grad(cupy.asarray(dy), argmax, x_shape=x.shape, **window).get()
        y, argmax = y.get(), argmax.get()
    expected, winners = reference.max_pool(x, **window)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(argmax, winners)
    expected = reference.max_pool_grad(dy, winners, x_shape=x.shape, **window)
    np.testing.assert_array_equal(dx, expected)


LARGE = ((50176, 128), (25088, 256), (200704, 64))  # pixels and columns in ResNet-50, 64 images


def test_large_products_have_large_engines():
    """Those of ResNet-50, if their tiles fill the GPU; none of the paper's for CIFAR-10."""
    for kernel in ("conv2d", "conv2d_input_grad", "gradient_sums"):
        assert all(is_large(kernel, *size) for size in LARGE)
        assert not is_large(kernel, 128 * 64, 64)
        assert not is_large(kernel, 128 * 2**16, 64)  # beyond a grid's second side
        assert not is_large(kernel, *LARGE[0], arithmetic="tf32x3")  # measured: not faster
        assert all(is_large(kernel, *size, arithmetic="bfloat16") for size in LARGE)
    assert is_large("conv2d_weight_grad", 9 * 128, 128, 50176)
    assert not is_large("conv2d_weight_grad", 64, 64, 10**6)
    assert not is_large("conv2d_weight_grad", 9 * 64, 64, 128 * 64)


def is_large(kernel, *sizes, arithmetic="tf32"):
    pack = 8 if arithmetic == "bfloat16" else 4
    return isinstance(source.choose_engine(kernel, arithmetic, pack, *sizes), source.Large)


@pytest.mark.parametrize(
    ("x_shape", "y_shape", "lines"),
    [
        ((1, 2**16, 2**13, 4), (1, 2**16, 2**13, 4), 128),  # one image
        ((2**20, 64, 64, 1), (2**20, 64, 64, 1), 128),  # all pixels
        ((2**12, 512, 512, 4), (2**12, 256, 256, 4), 2**28),  # the images of a part
    ],
)
def test_maps_beyond_32_bits_get_a_sentence(x_shape, y_shape, lines):
    convolution.refuse_too_large((64, 224, 224, 64), (64, 224, 224, 64), 2**16)
    with pytest.raises(ValueError, match=r"too large for the kernels on cuda.*cut the batch"):
        convolution.refuse_too_large(x_shape, y_shape, lines)


def test_nothing_is_launched_for_nothing():
    with gpu() as cupy:
        empty = cupy.empty((0, 3), np.float32)
        assert launch.vector(empty) in (1, 4)
        assert kernels.relu(empty).shape == (0, 3)
        assert kernels.matmul(empty, cupy.zeros((3, 4), np.float32)).shape == (0, 4)
        product = kernels.matmul(cupy.zeros((2, 0), np.float32), cupy.zeros((0, 4), np.float32))
        np.testing.assert_array_equal(product.get(), np.zeros((2, 4)))


def test_cublas_is_used_only_where_it_is_asked_for(monkeypatch, rng):
    a, b = rng.standard_normal((3, 4)), rng.standard_normal((4, 5))
    expected = cuda.matmul(a, b)
    np.testing.assert_allclose(expected, a @ b, rtol=1e-13)
    monkeypatch.setenv("MINIRES_CUBLAS", "1")
    with gpu() as cupy, monkeypatch.context() as patch:
        asked = []
        patch.setattr(cupy, "matmul", lambda *arrays: asked.append(arrays))
        kernels.matmul(cupy.asarray(a), cupy.asarray(b))
        assert len(asked) == 1


@pytest.mark.parametrize(("k", "m"), [(513, 10), (1300, 8), (1537, 40)])
def test_a_long_sum_is_cut_into_parts(k, m, rng):
    """What the gradients of a linear layer and of columns in memory take."""
    a, b = rng.standard_normal((k, m), np.float32), rng.standard_normal((k, 12), np.float32)
    product = cuda.matmul(stored_transposed(np.ascontiguousarray(a.T)), b)
    assert_within(product, *bounded(a.T, b), np.float32)
    one = cuda.matmul(a.T.astype(np.float64), b.astype(np.float64))
    np.testing.assert_allclose(one, a.T.astype(np.float64) @ b, rtol=1e-12, atol=1e-12)


def bounded(a, b):
    """The product in float64, and how far from it one in float32 may be, in roundings."""
    a, b = wide(a, b)
    return a @ b, roundings(cuda, np.float32, a.shape[1]) * (np.abs(a) @ np.abs(b))


def test_more_products_than_a_launch_may_count(monkeypatch, rng):
    monkeypatch.setitem(kernels.matmul.__globals__, "MOST_AT_ONCE", 3)
    a, b = rng.standard_normal((7, 2, 3)), rng.standard_normal((3, 4))
    np.testing.assert_allclose(cuda.matmul(a, b), a @ b, rtol=1e-13)
    a, b = rng.standard_normal((4, 3)), rng.standard_normal((2, 4, 3, 5))
    np.testing.assert_allclose(cuda.matmul(a, b), a @ b, rtol=1e-13)


TAKE = """
extern "C" __global__ void split(const index_t* index, const index_t* size, index_t* result) {
    index_t left = index[threadIdx.x];
    result[2 * threadIdx.x + 1] = take(left, size[threadIdx.x]);
    result[2 * threadIdx.x] = left;
}
"""


def test_an_index_may_be_larger_than_32_bits():
    pairs = [(7, 3), (2**32 - 1, 2**32 - 1), (2**32, 3), (5, 2**40), (2**62 + 12345, 9973)]
    common = (source.FOLDER / "common.cuh").read_text()
    with gpu("check") as cupy:
        kernel = cupy.RawModule(code=common + TAKE, options=source.OPTIONS).get_function("split")
        index, size = (cupy.asarray(np.array(column)) for column in zip(*pairs, strict=True))
        result = cupy.zeros((len(pairs), 2), np.int64)
        kernel((1,), (len(pairs),), (index, size, result))
        assert result.get().tolist() == [list(divmod(*pair)) for pair in pairs]


def test_shapes_that_do_not_fit_are_refused(rng):
    with gpu() as cupy, pytest.raises(ValueError, match="inner sizes differ"):
        kernels.matmul(cupy.zeros((2, 3), np.float32), cupy.zeros((2, 3), np.float32))
