"""What CUDA kernels do on the way of a convolution (see around.py), and how parts are combined."""

import itertools

import numpy as np
import pytest
from minires.kernels import cuda, reference
from minires.kernels.cuda import convolution, fused, launch, source
from minires.kernels.cuda.batch_norm import gradient_sums
from minires.kernels.cuda.matmul import gemm
from minires.kernels.handover import Handover
from minires.kernels.running import Running

from ..device import OnDevice, gpu, products_on
from .around import EPS, Bench, Layer, assert_moments, forced, same
from .suite import IMPLEMENTATIONS, assert_within, wide

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
    affine = [made.normal(filters) for _ in range(4)]
    second = made.normal(3, 3, filters, filters)
    arrays = (made.x, made.weight, *affine[:2], second, *affine[2:])
    settings = {"eps": EPS, "stride": 1, "skip": False}

    def everything():
        results = cuda.basic_block(*arrays, **settings)
        return (*results, *cuda.basic_block_grad(made.dy, *arrays, *results, **settings))

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
    weight, second = rng.standard_normal((2, 3, 3, 8, 8)).astype(dtype)
    affine = [a.astype(dtype) for a in rng.standard_normal((4, 8))]
    running = [Running(*rng.uniform(1, 2, (2, 8)).astype(dtype), 0.3) for _ in range(2)]
    expected = [wide(*r[:2]) for r in running]
    moved = running if name == "basic_block" else running[:1]
    settings = {"eps": EPS, "running": tuple(moved) if len(moved) == 2 else moved[0]}
    arrays = {
        "batch_norm": (x, *affine[:2]),
        "conv2d_batch_norm": (x, weight, *affine[:2]),
        "basic_block": (x, weight, *affine[:2], second, *affine[2:]),
    }[name]
    more = {"skip": True} if name == "basic_block" else {}
    results = getattr(kernels, name)(*arrays, **settings, **more)
    statistics = (results[2:4], results[5:7]) if name == "basic_block" else (results[-2:],)
    count = results[0].size // 8
    for (mean, var), after, before in zip(statistics, moved, expected, strict=False):
        reference.update_running_statistics(*before, *wide(mean, var), momentum=0.3, count=count)
        for ours, right in zip(after[:2], before, strict=True):
            assert_within(ours, right, 5 * np.abs(right) + 5, dtype)


# ------------------------------------------------------------------------ addend and gate


@on_gpu
@layers
@pytest.mark.parametrize(("stride", "more"), [(1, 0), (2, 0), (2, 4), (3, 5)])
def test_a_shortcuts_gradient_is_added(layer, stride, more, bench):
    bench(layer).check_addend(stride, more)


@on_gpu
@layers
@pytest.mark.parametrize("by_norm", [False, True])
@pytest.mark.parametrize("addend", [None, (1, 0), (2, 4)], ids=str)
def test_a_gradient_is_cut_and_summed(layer, by_norm, addend, bench):
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
    """As `relu_grad` has it: only where the result is positive."""
    made = bench(LAYERS[0])
    z = made.normal(*made.layer.shape)
    result = made.put(np.full(z.shape, np.nan))
    mean = made.normal(z.shape[3])
    gate = convolution.Gate(z, mean, launch.empty((2, z.shape[3]), z), result=result)
    assert not made.input_grad(gate=gate).get().any()
    assert not gate.sums.get().any()
    assert not gradient_sums(z, z, result, mean).get().any()


# ------------------------------------------------------------------------ handing over


@on_gpu
@pytest.mark.parametrize(("stride", "left"), [(1, True), (2, False)])
def test_a_gradient_is_left_where_the_convolution_does_not_stride(stride, left, bench):
    """Else it would be summed in another order than without a handover."""
    made = bench(Layer((2, 7, 6, 8), 8, (3, 3), stride, 1))
    norm = made.norm(made.x)
    z, mean, var = made.normal(*made.layer.result), *(made.put(np.ones(8)) for _ in range(2))
    before = Handover(made.x, norm.mean)
    arrays = (made.dy, made.x, made.weight, z, norm.gamma, mean, var)
    settings = {"eps": EPS, **made.layer.geometry}
    whole, *others = cuda.conv2d_batch_norm_grad(*arrays, **settings)
    dx, *again = cuda.conv2d_batch_norm_grad(*arrays, **settings, before=before)
    for ours, theirs in zip(again[:3], others[:3], strict=True):
        same(ours, theirs)
    sums = before.take(dx)
    assert (sums is not None) == left
    same(dx, np.where(made.x.get() > 0, whole.get(), 0) if left else whole)


@on_gpu
@pytest.mark.parametrize("stride", [1, 2])
def test_what_was_left_gives_the_same_bits_as_what_was_not(stride, bench):
    """A whole gradient, or one that came cut with its sums."""
    made = bench(Layer((2, 7, 6, 8), 8, (3, 3), stride, 1))
    norm, shape = made.norm(made.x), made.layer.result
    z, y, dy = made.normal(*shape), made.normal(*shape), made.normal(*shape)
    sums = gradient_sums(dy, z, y, norm.mean)
    cut = made.put(np.where(y.get() > 0, dy.get(), 0))
    handover = Handover(z, norm.mean)
    handover.leave(cut, sums)
    arrays = (made.x, made.weight, z, norm.gamma, norm.mean, norm.var)
    settings = {"eps": EPS, "y": y, **made.layer.geometry}
    ours = cuda.conv2d_batch_norm_grad(cut, *arrays, **settings, handover=handover)
    theirs = cuda.conv2d_batch_norm_grad(dy, *arrays, **settings)
    for a, b in zip(ours, theirs, strict=True):
        same(a, b)


@on_gpu
def test_gradients_are_written_home(bench):
    """Into the very arrays that are lent, where there are any."""
    made = bench(Layer((2, 5, 6, 8), 8))
    affine = [made.put(made.rng.uniform(0.5, 2, 8)) for _ in range(4)]
    arrays = (made.x, made.weight, *affine[:2], made.normal(3, 3, 8, 8), *affine[2:])
    settings = {"eps": EPS, "stride": 1, "skip": True}
    results = cuda.basic_block(*arrays, **settings)
    _, *grads = cuda.basic_block_grad(made.dy, *arrays, *results, **settings)
    for lent in (range(6), (0, 4)):
        homes = tuple(
            made.put(np.full(g.shape, np.nan)) if i in lent else None for i, g in enumerate(grads)
        )
        _, *ours = cuda.basic_block_grad(made.dy, *arrays, *results, **settings, homes=homes)
        for i, (a, b) in enumerate(zip(ours, grads, strict=True)):
            assert (a is homes[i]) == (i in lent)
            same(a, b)


# ------------------------------------------------------------------------ parts of a sum


@on_gpu
@pytest.mark.parametrize("parts", [1, 2, 16, 17, 33, 257])
def test_a_weights_gradient_in_so_many_parts(parts, arithmetic, bench, monkeypatch):
    """In groups of 16: one, some, and as many as there may be; the last part of 3 pixels.

    Of several tiles, but for the most parts.
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
    dx, dweight, dgamma, dbeta, _ = kernels.conv2d_batch_norm_grad(
        none, none, weight, none, ones, ones, ones, eps=EPS, padding=1, y=none
    )
    assert dx.shape == none.shape
    assert not any(a.any() for a in (dweight, dgamma, dbeta))


@pytest.mark.parametrize(("kernels", "dtype"), IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS)
@pytest.mark.parametrize("size", [(15, 2), (2, 15), (16, 1), (1, 17), (33, 1)], ids=str)
def test_large_kernels_with_batch_norm(kernels, dtype, size, rng):
    """On a GPU those of 16 taps and more, which have no mask, go by columns in memory."""
    x = rng.standard_normal((1, 33, 18, 4)).astype(dtype)
    weight = (rng.standard_normal((*size, 4, 4)) / 8).astype(dtype)
    gamma, beta = rng.uniform(0.5, 2, (2, 4)).astype(dtype)
    settings = {"eps": EPS, "padding": 1}
    arrays = (x, weight, gamma, beta)
    y, z, mean, var = kernels.conv2d_batch_norm(*arrays, **settings)
    terms = 2 * (weight[..., 0].size + 8)
    size_of_z = reference.conv2d(*map(np.abs, wide(x, weight)), padding=1)
    assert_within(z, reference.conv2d(*wide(x, weight), padding=1), terms * size_of_z, dtype)
    assert_moments(z, mean, var)
    dy = rng.standard_normal(y.shape).astype(dtype)
    arrays = (dy, x, weight, z, gamma, mean, var)
    dx, dweight, *_ = kernels.conv2d_batch_norm_grad(*arrays, **settings)
    expected = reference.conv2d_batch_norm_grad(*wide(*arrays), **settings)
    for ours, right in zip((dx, dweight), expected, strict=False):
        np.testing.assert_allclose(ours, right, rtol=0, atol=1e-5 * np.abs(right).max())


# ------------------------------------------------------------------------ counters


@on_gpu
def test_counters_are_zero_after_a_launch(bench):
    """So that the next launch finds them at zero; whoever runs twice gets the same twice."""
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
