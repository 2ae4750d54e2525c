"""Operations fused into CUDA convolutions (see around.py), and how parts are combined."""

import itertools

import numpy as np
import pytest
from minires.kernels import cuda, reference
from minires.kernels.backward_link import BackwardLink, Links
from minires.kernels.cuda import convolution, fused, launch, source
from minires.kernels.cuda.batch_norm import gradient_sums
from minires.kernels.cuda.matmul import gemm
from minires.kernels.records import ConvNorm, SavedNorm
from minires.kernels.running import Running

from ..device import OnDevice, gpu, products_on
from .around import EPS, Bench, Layer, assert_moments, forced, same
from .suite import IMPLEMENTATIONS, assert_within, flat, wide

on_gpu = pytest.mark.cuda
ORDERS = itertools.cycle(range(4))
ARITHMETIC = {"tf32x3": (np.float32, 3), "float": (np.float32, None), "double": (np.float64, None)}


@pytest.fixture(params=ARITHMETIC)
def arithmetic(request):
    """What products run on."""
    with products_on(request.param != "float"):
        yield request.param


@pytest.fixture
def bench(arithmetic, rng):
    """Makes benches of a layer; threads run in another order each time."""
    dtype, products = ARITHMETIC[arithmetic]
    with gpu("check", order=next(ORDERS)) as cupy:
        yield lambda layer, offset=64: Bench(
            cupy, rng, layer, dtype, offset=offset, products=products
        )


LAYERS = [
    Layer((2, 7, 6, 8), 12),
    Layer((3, 9, 7, 16), 20, (3, 3), 2, 1),
    Layer((2, 8, 5, 5), 7, (3, 2), 3, 2),
    Layer((2, 6, 6, 36), 8, (1, 1), 2, 0),
    Layer((1, 5, 9, 3), 16, (5, 5), 1, 2),
]
layers = pytest.mark.parametrize("layer", LAYERS, ids=str)
offsets = pytest.mark.parametrize("offset", [64, 19])  # at a multiple of 16 bytes, or not


# ------------------------------------------------------------------------ pending


@on_gpu
@layers
@offsets
def test_a_pending_batch_norm_is_as_good_as_one_before(layer, offset, bench):
    made = bench(layer, offset)
    made.check_pending_result()
    made.check_pending_weight_grad()


@on_gpu
@pytest.mark.parametrize("filters", [6, 12])
def test_more_channels_than_may_be_pending(filters, bench, monkeypatch):
    """Then batch norm is a pass of its own: the same bits."""
    made = bench(Layer((2, 5, 6, 8), filters))
    block = block_of(made, [made.normal(filters) for _ in range(4)])

    def everything():
        y, saved = cuda.basic_block(*block, skip=False)
        grads = cuda.basic_block_grad(made.dy, *block, saved, skip=False)
        return (y, *saved[0][:3], *saved[1][:3], *grads)

    pending = everything()
    monkeypatch.setattr(fused, "MOST_PENDING", filters - 1)
    for ours, theirs in zip(pending, everything(), strict=True):
        same(ours, theirs)


@on_gpu
def test_as_many_channels_as_may_be_pending_fit_into_shared_memory(bench):
    made = bench(Layer((1, 2, 2, fused.MOST_PENDING), 4, (1, 1), 1, 0))
    made.check_pending_result()


# ------------------------------------------------------------------------ moments


@on_gpu
@layers
def test_moments_of_a_result(layer, bench):
    bench(layer).check_moments()


@on_gpu
@pytest.mark.parametrize("tiles", [1, 2, 33, 70])
@pytest.mark.parametrize("mean", [0, 10, 1000])
def test_moments_of_many_tiles_far_from_zero(tiles, mean, arithmetic, bench):
    """In groups of 32 tiles: one, or three, the last of few tiles; the last tile of 5 pixels."""
    engine = source.ARITHMETIC[arithmetic]("conv2d")[1][0]
    made = bench(Layer((1, 1, (tiles - 1) * engine.m + 5, 3), 5, (1, 1), 1, 0), offset=19)
    made.x = made.put(mean + made.x.get())
    made.weight = made.put(np.abs(made.weight.get()))
    with forced(engine):
        made.check_moments()


@pytest.mark.parametrize(("kernels", "dtype"), IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS)
@pytest.mark.parametrize("name", ["batch_norm", "conv2d_batch_norm", "basic_block"])
def test_running_statistics_move(kernels, dtype, name, rng):
    """As `update_running_statistics` moves them, wherever the batch's are taken."""
    x = (3 + rng.standard_normal((3, 5, 6, 8))).astype(dtype)
    weights = rng.standard_normal((2, 3, 3, 8, 8)).astype(dtype)
    affine = rng.standard_normal((2, 2, 8)).astype(dtype)
    layers = [ConvNorm(w, *a, EPS, padding=1) for w, a in zip(weights, affine, strict=True)]
    running = [Running(*rng.uniform(1, 2, (2, 8)).astype(dtype), 0.3) for _ in range(2)]
    expected = [wide(*r[:2]) for r in running]
    moved = running if name == "basic_block" else running[:1]
    arrays, settings = {
        "batch_norm": ((x, *affine[0]), {"eps": EPS, "running": moved[0]}),
        "conv2d_batch_norm": ((x, layers[0]), {"running": moved[0]}),
        "basic_block": ((x, *layers), {"running": tuple(moved), "skip": True}),
    }[name]
    y, *results = flat(getattr(kernels, name)(*arrays, **settings))
    statistics = (results[1:3], results[4:6]) if name == "basic_block" else (results[-2:],)
    count = y.size // 8
    for (mean, var), after, before in zip(statistics, moved, expected, strict=False):
        reference.update_running_statistics(*before, *wide(mean, var), momentum=0.3, count=count)
        for ours, right in zip(after[:2], before, strict=True):
            assert_within(ours, right, 5 * np.abs(right) + 5, dtype)


# ------------------------------------------------------------------------ shortcut and mask


@on_gpu
@layers
@pytest.mark.parametrize(("stride", "more"), [(1, 0), (2, 0), (2, 4), (3, 5)])
def test_a_shortcuts_gradient_is_added(layer, stride, more, bench):
    bench(layer).check_addend(stride, more)


@on_gpu
@layers
@pytest.mark.parametrize("by_norm", [False, True])
@pytest.mark.parametrize("addend", [None, (1, 0), (2, 4)], ids=str)
def test_a_gradient_is_masked_and_summed(layer, by_norm, addend, bench):
    bench(layer).check_sums_again(by_norm, addend)


@on_gpu
@pytest.mark.parametrize("tiles", [2, 33, 70])
def test_sums_of_many_tiles(tiles, arithmetic, bench):
    engine = source.ARITHMETIC[arithmetic]("conv2d_input_grad")[1][0]
    made = bench(Layer((1, 1, (tiles - 1) * engine.m + 5, 5), 3, (1, 1), 1, 0), offset=19)
    with forced(engine):
        made.check_sums_again()


@on_gpu
def test_a_nan_behind_a_relu_lets_nothing_through(bench):
    """As in `relu_grad`: only where the result is positive."""
    made = bench(LAYERS[0])
    z = made.normal(*made.layer.shape)
    result = made.put(np.full(z.shape, np.nan))
    mean = made.normal(z.shape[3])
    mask = convolution.MaskAndSum(z, mean, launch.empty((2, z.shape[3]), z), y=result)
    assert not made.input_grad(mask=mask).get().any()
    assert not mask.sums.get().any()
    assert not gradient_sums(z, z, result, mean).get().any()


# ------------------------------------------------------------------------ three channels


@on_gpu
@pytest.mark.parametrize("filters", [8, 6])
def test_channels_of_large_images_are_widened_to_whole_packs(filters, bench, monkeypatch):
    """If filters come in packs as well; the result is the same, and so are bounds."""
    monkeypatch.setattr(convolution, "LARGE_MAP", 1)
    widened = []
    real = convolution.with_packs
    monkeypatch.setattr(convolution, "with_packs", lambda *a: widened.append(a) or real(*a))
    made = bench(Layer((2, 9, 8, 3), filters, (5, 5), 2, 2))
    made.check_result()
    made.check_moments()
    made.check_weight_grad()
    same(
        made.weight_grad(made.x, grad_buffer=made.put(made.weight.get())), made.weight_grad(made.x)
    )
    assert bool(widened) == (filters == 8 and made.dtype != np.float64)


# ------------------------------------------------------------------------ links


@on_gpu
@pytest.mark.parametrize(("stride", "gathers"), [(1, True), (2, False)])
def test_sums_are_gathered_where_the_convolution_does_not_stride(stride, gathers, bench):
    """Else they would be summed in another order than without a link."""
    made = bench(Layer((2, 7, 6, 8), 8, (3, 3), stride, 1))
    norm = made.norm(made.x)
    z, mean, var = made.normal(*made.layer.result), *(made.put(np.ones(8)) for _ in range(2))
    link = BackwardLink(made.x, norm.mean)
    layer = ConvNorm(made.weight, norm.gamma, norm.beta, EPS, **made.layer.geometry)
    arrays = (made.dy, made.x, layer, SavedNorm(z, mean, var))
    whole, *others = cuda.conv2d_batch_norm_grad(*arrays)
    dx, *again = cuda.conv2d_batch_norm_grad(*arrays, links=Links(of_input=link))
    for ours, theirs in zip(again[:3], others[:3], strict=True):
        same(ours, theirs)
    sums = link.take(dx)
    assert (sums is not None) == gathers
    same(dx, np.where(made.x.get() > 0, whole.get(), 0) if gathers else whole)


@on_gpu
@pytest.mark.parametrize("stride", [1, 2])
def test_gathered_sums_give_the_same_bits_as_own_ones(stride, bench):
    """A whole gradient, or one that came masked with its sums."""
    made = bench(Layer((2, 7, 6, 8), 8, (3, 3), stride, 1))
    norm, shape = made.norm(made.x), made.layer.result
    z, y, dy = made.normal(*shape), made.normal(*shape), made.normal(*shape)
    sums = gradient_sums(dy, z, y, norm.mean)
    masked = made.put(np.where(y.get() > 0, dy.get(), 0))
    link = BackwardLink(z, norm.mean)
    link.put(masked, sums)
    layer = ConvNorm(made.weight, norm.gamma, norm.beta, EPS, **made.layer.geometry)
    arrays = (made.x, layer, SavedNorm(z, norm.mean, norm.var, y))
    ours = cuda.conv2d_batch_norm_grad(masked, *arrays, links=Links(of_result=link))
    theirs = cuda.conv2d_batch_norm_grad(dy, *arrays)
    for a, b in zip(ours, theirs, strict=True):
        same(a, b)


@on_gpu
def test_gradients_are_written_in_place(bench):
    """Into the very arrays that are passed in, if there are any."""
    made = bench(Layer((2, 5, 6, 8), 8))
    block = block_of(made, [made.put(made.rng.uniform(0.5, 2, 8)) for _ in range(4)])
    _, saved = cuda.basic_block(*block, skip=True)
    _, *grads = cuda.basic_block_grad(made.dy, *block, saved, skip=True)
    for lent in (range(6), (0, 4)):
        buffers = tuple(
            made.put(np.full(g.shape, np.nan)) if i in lent else None for i, g in enumerate(grads)
        )
        links = Links(grad_buffers=buffers)
        _, *ours = cuda.basic_block_grad(made.dy, *block, saved, skip=True, links=links)
        for i, (a, b) in enumerate(zip(ours, grads, strict=True)):
            assert (a is buffers[i]) == (i in lent)
            same(a, b)


def block_of(made, affine):
    """x of a bench, and two layers."""
    first = ConvNorm(made.weight, *affine[:2], EPS, padding=1)
    filters = made.layer.filters
    second = ConvNorm(made.normal(3, 3, filters, filters), *affine[2:], EPS, padding=1)
    return made.x, first, second


# ------------------------------------------------------------------------ parts of a sum


@on_gpu
@pytest.mark.parametrize("parts", [1, 2, 16, 17, 33, 257])
def test_a_weights_gradient_in_so_many_parts(parts, arithmetic, bench, monkeypatch):
    """Parts are added in groups of 16: one part, some, and as many as there may be.

    The last part has 3 pixels. There are several tiles, except with the most parts.
    """
    engine = source.ARITHMETIC[arithmetic]("conv2d_weight_grad")[1][0]
    monkeypatch.setattr(convolution, "SHORTEST_PART", engine.k)
    monkeypatch.setattr(convolution, "resident_blocks", lambda engine: 10**6)
    channels = engine.m + 3 if parts < 100 else 3
    shape = (1, 1, (parts - 1) * engine.k + 3, channels)
    made = bench(Layer(shape, engine.n + 3, (1, 1), 1, 0), offset=19)
    with forced(engine):
        made.check_weight_grad()


@on_gpu
@pytest.mark.parametrize("parts", [17, 40])
def test_a_product_in_so_many_parts(parts, arithmetic, bench, monkeypatch):
    monkeypatch.setitem(gemm.__globals__, "LONGEST_PART", 16)
    made = bench(LAYERS[0])
    a, b = made.normal(1, 16 * parts - 5, 7), made.normal(1, 16 * parts - 5, 9)

    def product(a, b):
        return a[0].T @ b[0]

    made.compare(gemm(a, b, a_transposed=True)[0], product, a, b, a.shape[1])


@on_gpu
def test_a_batch_of_no_images(arithmetic):
    """Sums of nothing are zero."""
    dtype = ARITHMETIC[arithmetic][0]
    none, weight = np.ones((0, 4, 5, 3), dtype), np.ones((3, 3, 3, 3), dtype)
    ones = np.ones(3, dtype)
    kernels = OnDevice(tensor_cores=arithmetic == "tf32x3")
    layer, saved = ConvNorm(weight, ones, ones, EPS, padding=1), SavedNorm(none, ones, ones, none)
    dx, dweight, dgamma, dbeta, _ = kernels.conv2d_batch_norm_grad(none, none, layer, saved)
    assert dx.shape == none.shape
    assert not any(a.any() for a in (dweight, dgamma, dbeta))


@pytest.mark.parametrize(("kernels", "dtype"), IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS)
@pytest.mark.parametrize("size", [(15, 2), (2, 15), (16, 1), (1, 17), (33, 1)], ids=str)
def test_large_kernels_with_batch_norm(kernels, dtype, size, rng):
    """On a GPU those of 16 taps and more, which have no mask, go by columns in memory."""
    x = rng.standard_normal((1, 33, 18, 4)).astype(dtype)
    weight = (rng.standard_normal((*size, 4, 4)) / 8).astype(dtype)
    gamma, beta = rng.uniform(0.5, 2, (2, 4)).astype(dtype)
    layer = ConvNorm(weight, gamma, beta, EPS, padding=1)
    y, saved = kernels.conv2d_batch_norm(x, layer)
    z, mean, var, _ = saved
    terms = 2 * (weight[..., 0].size + 8)
    size_of_z = reference.conv2d(*map(np.abs, wide(x, weight)), padding=1)
    assert_within(z, reference.conv2d(*wide(x, weight), padding=1), terms * size_of_z, dtype)
    assert_moments(z, mean, var)
    dy = rng.standard_normal(y.shape).astype(dtype)
    arrays = (dy, x, layer, saved)
    dx, dweight, *_ = kernels.conv2d_batch_norm_grad(*arrays)
    expected = reference.conv2d_batch_norm_grad(*wide(*arrays))
    for ours, right in zip((dx, dweight), expected, strict=False):
        np.testing.assert_allclose(ours, right, rtol=0, atol=1e-5 * np.abs(right).max())


# ------------------------------------------------------------------------ counters


@on_gpu
def test_counters_are_zero_after_a_launch(bench):
    """The next launch must find the counters at zero; two runs give the same."""
    made = bench(Layer((2, 9, 40, 4), 20, (1, 1), 1, 0))
    for _ in range(2):
        made.check_moments()
        made.check_sums_again()
        made.check_weight_grad()
        counters = launch.counters(made.x, sums=1, parts=1)
        assert counters.size == launch.COUNTERS
        assert not counters.get().any()


@on_gpu
def test_streams_have_counters_of_their_own():
    """Their kernels may run at the same time."""
    with gpu() as cupy:
        x = cupy.zeros(3, np.float32)
        own, streams = [launch.counters(x, 1, 1)], [cupy.cuda.Stream() for _ in range(2)]
        for stream in streams:
            with stream:
                own += [launch.counters(x, 1, 1), launch.counters(x, 2, 70)]
        assert [a is b for a, b in itertools.pairwise(own)] == [False, True, False, True]


@on_gpu
def test_very_many_sums_have_counters_of_their_own():
    with gpu() as cupy:
        counters = launch.counters(cupy.zeros(3, np.float32), sums=launch.COUNTERS, parts=1)
        assert counters.size == 2 * launch.COUNTERS
        assert not counters.get().any()
