"""Convolutions of maps in bfloat16 on the CPU: on tiles, by dots of pairs, and in float32."""

import numba
import numpy as np
import pytest
from hypothesis import assume, given
from minires.kernels import cpu, dispatch
from minires.kernels.backward_link import BackwardLink, Links
from minires.kernels.cpu import (
    amx,
    amx_convolution,
    amx_gradients,
    by_dtype,
    dots,
    rounding,
    simd,
)
from minires.kernels.cpu.batch_norm import moments_kernel, written, written_input
from minires.kernels.cpu.finish import NOTHING
from minires.kernels.cpu.operands import Input, OutputGrad
from minires.kernels.cpu.per_channel import combined
from minires.kernels.dtypes import bfloat16
from minires.kernels.records import ConvNorm, SavedNorm

import minires
from minires import kernels

from .rounding import rounded
from .suite import channels, generators, guarded, reference, wide, windows
from .test_bfloat16 import assert_rounded, hard_numbers, maps, same
from .ways import PAIRS, WAYS, by, choose_way

UNIT = 2.0**-24
in_pairs = pytest.mark.parametrize("way", PAIRS)
compiled = pytest.mark.parametrize("way", [*PAIRS, "widened"])


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    choose_way(request.param, monkeypatch)
    return request.param


def draw(rng, shape, kernel, filters, stride, padding):
    """(x, weight, dy) between NaNs."""
    x = guarded(maps(rng, *shape))
    weight = guarded(rng.standard_normal((*kernel, shape[3], filters), np.float32))
    y_shape = reference.conv2d(*wide(x, weight), stride=stride, padding=padding).shape
    return x, weight, guarded(maps(rng, *y_shape))


def assert_convolutions(x, weight, dy, stride, padding):
    """Each is the float64 one of rounded operands, to the roundings of its sums and its own."""
    geometry = {"stride": stride, "padding": padding}
    y = kernels.conv2d(x, weight, **geometry)
    dx = kernels.conv2d_input_grad(dy, weight, x_shape=x.shape, **geometry)
    dweight = kernels.conv2d_weight_grad(dy, x, kernel_size=weight.shape[:2], **geometry)
    assert y.dtype == dx.dtype == bfloat16()
    assert dweight.dtype == np.float32
    x, weight, dy = wide(x, rounded(weight), dy)
    back = {"x_shape": x.shape, **geometry}
    for ours, of, arrays, settings, terms in (
        (y, reference.conv2d, (x, weight), geometry, weight[..., 0].size),
        (dx, reference.conv2d_input_grad, (dy, weight), back, weight[:, :, 0].size),
    ):
        size = of(*map(np.abs, arrays), **settings)
        assert_rounded(ours, of(*arrays, **settings), (terms + 2) * UNIT * size)
    settings = {"kernel_size": weight.shape[:2], **geometry}
    exact = reference.conv2d_weight_grad(dy, x, **settings)
    size = reference.conv2d_weight_grad(np.abs(dy), np.abs(x), **settings)
    assert (np.abs(dweight - exact) <= (dy[..., 0].size + 2) * UNIT * size).all()


@in_pairs
@given(window=windows(), filters=channels, rng=generators)
def test_awkward_shapes_in_pairs(way, window, filters, rng):
    """Any number of channels, kernels that are no squares, strides, borders wider than kernels."""
    shape, kernel, stride, padding = window
    with by(way):
        assert_convolutions(*draw(rng, shape, kernel, filters, stride, padding), stride, padding)


@in_pairs
@given(window=windows(square=True), filters=channels, rng=generators)
def test_kernels_that_keep_the_size_in_pairs(way, window, filters, rng):
    """Both gradients are made from one strip."""
    shape, (side, _), _, _ = window
    assume(side % 2 and min(shape[1:3]) >= 1)
    with by(way):
        assert amx_gradients.makes_both((side, side, shape[3], filters), 1, side // 2)
        assert_convolutions(*draw(rng, shape, (side, side), filters, 1, side // 2), 1, side // 2)


@in_pairs
@pytest.mark.parametrize(
    ("shape", "side", "filters", "stride", "padding"),
    [
        ((70, 5, 4, 64), 3, 64, 1, 1),  # several images in a strip, and a last one with fewer
        ((2, 41, 40, 32), 3, 48, 1, 1),  # several parts of an image
        ((1, 130, 120, 8), 3, 24, 2, 1),
        ((1, 65, 63, 3), 7, 64, 2, 3),
        ((5, 14, 14, 72), 1, 40, 1, 0),
    ],
    ids=["images", "parts", "stride", "stem", "pointwise"],
)
def test_many_strips(way, shape, side, filters, stride, padding, rng):
    x, weight, dy = draw(rng, shape, (side, side), filters, stride, padding)
    with by(way):
        assert_convolutions(x, weight, dy, stride, padding)


def test_without_pairs_it_is_float32_rounded(monkeypatch, rng):
    """Bit for bit, by every algorithm."""
    choose_way("widened", monkeypatch)
    x, weight, dy = draw(rng, (9, 18, 17, 16), (3, 3), 24, 1, 1)
    x_, weight_, dy_ = x.astype(np.float32), rounded(weight), dy.astype(np.float32)
    for algorithm in ("auto", "im2col", "direct", "winograd"):
        settings = {"padding": 1, "algorithm": algorithm}
        y = kernels.conv2d(x, weight, **settings)
        expected = cpu.conv2d(x_, weight_, **settings).astype(bfloat16())
        np.testing.assert_array_equal(y, expected)
        dx = kernels.conv2d_input_grad(dy, weight, x_shape=x.shape, **settings)
        expected = cpu.conv2d_input_grad(dy_, weight_, x_shape=x.shape, **settings)
        np.testing.assert_array_equal(dx, expected.astype(bfloat16()))
        dweight = kernels.conv2d_weight_grad(dy, x, kernel_size=(3, 3), **settings)
        expected = cpu.conv2d_weight_grad(dy_, x_, kernel_size=(3, 3), **settings)
        np.testing.assert_array_equal(dweight, expected)


@pytest.mark.parametrize("instruction", [False, *[True] * rounding.has_instruction()])
def test_rounding_by_the_instruction_and_by_whole_numbers(instruction, rng, monkeypatch):
    """Only numbers below 2**-126 differ: `hard_numbers` has none."""
    monkeypatch.setattr(rounding, "BY_INSTRUCTION", instruction)
    numbers = hard_numbers(rng)
    numbers = numbers[: numbers.size // simd.LANES * simd.LANES].copy()
    bits = np.zeros(numbers.size, np.uint16)

    @numba.njit
    def narrow(x, y):
        for i in range(0, len(x), simd.LANES):
            simd.store(simd.load(simd.pointer(x), i), simd.pointer(y), i)

    narrow(numbers, bits)
    same(bits.view(bfloat16()), numbers.astype(bfloat16()))


@pytest.mark.parametrize("low", [-9, 0, 1, 5])
@pytest.mark.parametrize("high", [-1, 0, 3, simd.LANES, 40])
def test_parts_of_a_vector(low, high, rng):
    """The other lanes are zeros when they are loaded, and are not stored."""
    lanes, here = simd.LANES, slice(max(low, 0), max(low, 0, min(high, simd.LANES)))
    x, y = (np.zeros(lanes, np.uint16) for _ in range(2))
    x[:] = maps(rng, lanes).view(np.uint16)

    @numba.njit
    def copy(x, y, z, low, high):
        part = simd.load_inside(simd.pointer(x), 0, low, high)
        simd.store(part, simd.pointer(z), 0)
        simd.store_inside(simd.load(simd.pointer(x), 0), simd.pointer(y), 0, low, high)

    z, expected = np.ones(lanes, np.float32), np.zeros(lanes, np.uint16)
    copy(x, y, z, low, high)
    expected[here] = x[here]
    np.testing.assert_array_equal(y, expected)
    same(z.astype(bfloat16()), expected.view(bfloat16()))


# ------------------------------------------------------------------------ what is fused


LAYERS = [
    ((40, 16, 16, 16), 16, 3, 1),
    ((9, 17, 15, 13), 24, 3, 2),
    ((33, 7, 9, 32), 40, 1, 1),
    ((70, 5, 4, 8), 8, 3, 1),  # several images in a strip
]


def layer_of(rng, shape, filters, side, stride):
    weight = rng.standard_normal((side, side, shape[3], filters), np.float32) / side
    gamma, beta = rng.uniform(0.5, 1.5, (2, filters)).astype(np.float32)
    return ConvNorm(weight, gamma, beta, 1e-3, stride, side // 2)


@pytest.mark.parametrize(("shape", "filters", "side", "stride"), LAYERS)
def test_moments_are_those_of_the_stored_map(way, shape, filters, side, stride, rng):
    """Their parts come from strips: see `test_batch_norm` for the bound."""
    x, layer = maps(rng, *shape), layer_of(rng, shape, filters, side, stride)
    _, (z, mean, var, _) = kernels.conv2d_batch_norm(x, layer, relu=True)
    values, count = wide(z)[0], z[..., 0].size
    size = np.abs(values).max((0, 1, 2))
    assert (np.abs(mean - values.mean((0, 1, 2))) <= (count + 2) * UNIT * size).all()
    assert (np.abs(var - values.var((0, 1, 2))) <= (count + 8) * UNIT * 4 * size**2).all()


@compiled
@pytest.mark.parametrize(("shape", "filters", "side", "stride"), LAYERS)
def test_gathered_moments_have_the_bits_of_a_pass_of_their_own(
    way, shape, filters, side, stride, rng, monkeypatch
):
    choose_way(way, monkeypatch)
    x, layer = maps(rng, *shape), layer_of(rng, shape, filters, side, stride)
    _, (z, mean, var, _) = kernels.conv2d_batch_norm(x, layer, relu=True)
    starts = by_dtype.chunk_starts(x, layer.weight.shape, stride, layer.padding)
    means, squares = np.empty((2, len(starts) - 1, filters))
    moments_kernel(z.reshape(-1).view(np.uint16), filters, starts, means, squares)
    for ours, expected in zip((mean, var), combined(means, squares, starts), strict=True):
        np.testing.assert_array_equal(ours, expected)


@compiled
@pytest.mark.parametrize(("shape", "filters", "side", "stride"), LAYERS)
def test_what_is_pending_is_multiplied_as_if_it_were_a_map(
    way, shape, filters, side, stride, rng, monkeypatch
):
    choose_way(way, monkeypatch)
    layer, terms = (
        layer_of(rng, shape, filters, side, stride),
        rng.random((3, shape[3]), np.float32),
    )
    pending = Input(maps(rng, *shape), True, *terms)
    written_x = Input(written_input(pending))
    geometry = (layer.weight, stride, layer.padding, NOTHING)
    z, expected = (by_dtype.finished(one, *geometry) for one in (pending, written_x))
    same(z, expected)
    mean, scale, slope, shift = rng.random((4, filters), np.float32)
    settings = {"norm_pending": True, "mean": mean, "scale": scale, "slope": slope, "shift": shift}
    grad = OutputGrad(maps(rng, *z.shape), True, maps(rng, *z.shape), z=z, **settings)
    cases = ((grad, pending), (OutputGrad(written(grad)), written_x))
    ours, expected = (by_dtype.conv2d_grads(*case, layer) for case in cases)
    same(ours[0], expected[0])
    np.testing.assert_array_equal(ours[1], expected[1])


@pytest.mark.parametrize(
    ("shape", "filters", "stride"),
    [
        ((40, 16, 16, 16), 16, 1),
        ((3, 9, 8, 24), 24, 1),
        ((9, 17, 15, 13), 24, 2),
        ((5, 6, 7, 8), 9, 1),
    ],
    ids=["winograd", "columns", "stride", "more channels"],
)
def test_a_shortcuts_gradient_is_added_before_the_only_rounding(
    shape, filters, stride, rng, monkeypatch
):
    """Bit for bit what float32 gives."""
    choose_way("widened", monkeypatch)
    x, layer = maps(rng, *shape), layer_of(rng, shape, filters, 3, stride)
    y_shape = kernels.conv2d(x, layer.weight, **layer.geometry).shape
    dy, around = maps(rng, *y_shape), maps(rng, *y_shape)
    geometry = {"x_shape": shape, **layer.geometry}
    exact = cpu.conv2d_input_grad(dy.astype(np.float32), rounded(layer.weight), **geometry)
    exact += reference.subsample_and_pad_grad(wide(around)[0], x_shape=shape, stride=stride)
    dx, _ = by_dtype.conv2d_grads(OutputGrad(dy), Input(x), layer, from_shortcut=around.copy())
    same(dx, exact.astype(bfloat16()))


@pytest.mark.parametrize(("shape", "filters", "side", "stride"), LAYERS)
def test_given_statistics_are_applied_before_the_only_rounding(
    way, shape, filters, side, stride, rng
):
    x, layer = maps(rng, *shape), layer_of(rng, shape, filters, side, stride)
    mean, var = rng.standard_normal(filters, np.float32), layer.gamma
    residual = maps(rng, *kernels.conv2d(x, layer.weight, **layer.geometry).shape)
    settings = {"residual": residual, "relu": True}
    y = kernels.conv2d_batch_norm_eval(x, layer, mean, var, **settings)
    layer = layer._replace(weight=rounded(layer.weight))
    arrays, settings = wide(x, layer, mean, var), {"residual": wide(residual)[0], "relu": True}
    exact = reference.conv2d_batch_norm_eval(*arrays, **settings)
    largest = reference.conv2d(*map(np.abs, wide(x, layer.weight)), **layer.geometry).max()
    assert_rounded(y, exact, 40 * layer.weight[..., 0].size * UNIT * largest)


@compiled
@pytest.mark.parametrize("shape", [(40, 16, 16, 16), (9, 17, 15, 13), (130, 4, 4, 24)])
def test_gathered_sums_have_the_bits_of_a_pass_of_their_own(way, shape, rng, monkeypatch):
    choose_way(way, monkeypatch)
    x, z, dy = (maps(rng, *shape) for _ in range(3))
    first, second = layer_of(rng, shape, shape[3], 3, 1), layer_of(rng, shape, shape[3], 3, 1)
    mean, var = rng.standard_normal((2, shape[3]), np.float32) ** 2
    between = kernels.relu(x)
    saved = kernels.basic_block(between, first, second, skip=True)[1]
    link = BackwardLink(z, mean)
    settings = {"skip": True, "links": Links(of_input=link)}
    dx, *grads = kernels.basic_block_grad(dy, between, first, second, saved, **settings)
    plain, *same = kernels.basic_block_grad(dy, between, first, second, saved, skip=True)
    for ours, expected in zip(grads, same, strict=True):
        np.testing.assert_array_equal(ours, expected)
    np.testing.assert_array_equal(dx, kernels.relu_grad(plain, between))
    before, norm = SavedNorm(z, mean, var, between), layer_of(rng, shape, shape[3], 3, 1)
    results = [
        kernels.conv2d_batch_norm_grad(grad, x, norm, before, links=Links(of_result=one))
        for grad, one in ((dx, link), (plain, None))
    ]
    for linked, single in zip(*results, strict=True):
        np.testing.assert_array_equal(linked, single)


# ------------------------------------------------------------------------ what is chosen


@pytest.mark.parametrize(
    ("way", "products"),
    [
        ("tiles", "on AMX tiles"),
        ("dots", "by AVX512-BF16, because this processor has no AMX"),
        (
            "widened",
            "in float32, because this processor has no AMX, and this processor has no AVX512-BF16",
        ),
    ],
)
def test_info_says_which_products_run(way, products, monkeypatch):
    for unit in (amx, dots):
        monkeypatch.setattr(unit, "why_not", lambda: "")
    choose_way(way, monkeypatch)
    assert dispatch.report()["bfloat16"] == f"cpu (Numba), products {products}"
    assert "kernels for bfloat16" in minires.info()


@pytest.mark.parametrize(
    ("environment", "features", "lanes", "grants", "reason"),
    [
        ({"MINIRES_AMX": "0"}, True, 16, True, "MINIRES_AMX=0 is set"),
        ({}, False, 16, True, "this processor has no AMX"),
        ({}, True, 8, True, "AMX goes with 16 lanes, but MINIRES_LANES=8 is set"),
        ({}, True, 16, False, "the system grants no AMX tiles"),
        ({}, True, 16, True, ""),
    ],
)
def test_tiles_are_used_where_they_can_be(
    environment, features, lanes, grants, reason, monkeypatch
):
    monkeypatch.delenv("MINIRES_AMX", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(amx.llvm, "get_host_cpu_features", lambda: {"amx-bf16": features})
    monkeypatch.setattr(amx, "LANES", lanes)
    monkeypatch.setattr(amx, "granted", lambda: grants)
    assert amx.why_not.__wrapped__() == reason


@pytest.mark.parametrize(
    ("wish", "features", "name", "lanes", "reason"),
    [
        ("0", True, "znver4", 16, "MINIRES_AVX512_BF16=0 is set"),
        ("1", False, "znver3", 8, "this processor has no AVX512-BF16"),
        ("", True, "znver4", 8, "AVX512-BF16 goes with 16 lanes, but MINIRES_LANES=8 is set"),
        ("", True, "graniterapids", 16, "AVX512-BF16 is not known to be fast on this processor"),
        ("1", True, "graniterapids", 16, ""),
        ("", True, "znver5", 16, ""),
    ],
)
def test_dots_are_used_where_they_are_fast(wish, features, name, lanes, reason, monkeypatch):
    monkeypatch.setenv("MINIRES_AVX512_BF16", wish)
    monkeypatch.setattr(dots.llvm, "get_host_cpu_features", lambda: {"avx512bf16": features})
    monkeypatch.setattr(dots.llvm, "get_host_cpu_name", lambda: name)
    monkeypatch.setattr(dots, "LANES", lanes)
    assert dots.why_not.__wrapped__() == reason


@pytest.mark.parametrize(
    ("weight_shape", "stride", "fastest"),
    [
        ((3, 3, 16, 32), 1, True),
        ((3, 3, 64, 64), 1, False),  # by Winograd's algorithm
        ((3, 3, 64, 64), 2, True),
        ((1, 1, 256, 64), 1, True),
    ],
)
def test_dots_are_used_for_these_layers(weight_shape, stride, fastest, monkeypatch):
    monkeypatch.setattr(amx, "why_not", lambda: "this processor has no AMX")
    monkeypatch.setattr(dots, "why_not", lambda: "")
    padding = weight_shape[0] // 2
    assert amx_convolution.possible(weight_shape, stride, padding) == fastest
    assert amx_gradients.makes_both(weight_shape, stride, padding) == (fastest and stride == 1)
