"""Every engine of the matrix products in `source.py`, with the operations fused into it.

The size of a product decides its engine, and the widest engines need large products. So each is
forced here, at shapes with several tiles of it on both sides, the last ones partly empty.
"""

import itertools

import numpy as np
import pytest
from minires.kernels.cuda import source
from minires.kernels.cuda.matmul import gemm
from minires.kernels.dtypes import bfloat16

from ..cuda import fake_cupy
from ..device import gpu, is_real, place
from .around import Bench, Layer, forced, forced_run, forced_weight_run, roundings
from .suite import assert_within

pytestmark = pytest.mark.cuda
ORDERS = itertools.cycle(range(4))
PRODUCTS = {"tf32x3": 3, "tf32": 1}
DTYPES = {"double": np.float64, "bfloat16": bfloat16()}  # of maps, else float32
CONVOLUTIONS = ("conv2d", "conv2d_input_grad", "conv2d_weight_grad", "gradient_sums")


def engines(kernel):
    """Every `(arithmetic, values moved at once, engine)` of a product, once."""
    cases = {}
    for arithmetic, engines_for in source.ARITHMETIC.items():
        for vector, engines in engines_for(kernel).items():
            for engine in engines:
                name = source.product(kernel, engine, vector)
                products = None if "MultiplyAdds" in name else PRODUCTS.get(arithmetic)
                dtype = DTYPES.get(arithmetic, np.float32)
                cases.setdefault(name, (engine, vector, products, dtype))
    return [pytest.param(*case, id=name) for name, case in cases.items()]


def layer_for(engine, vector, stride=1, kernel=(2, 3)):
    """More than one tile of pixels, of filters and of channels, in whole packs or not."""
    size = engine.n + (vector if vector > 1 else 3)
    rows = 2 * engine.m // 33 + 1
    return Layer((3, rows * stride, 11 * stride, size), size, kernel, stride, 1)


def offset_for(vector):
    return 64 if vector > 1 else 19


@pytest.fixture
def bench(rng):
    """Makes benches of a layer on a GPU whose threads run in some order; sums come in parts."""
    with gpu("check", order=next(ORDERS)) as cupy, pytest.MonkeyPatch.context() as patch:
        patch.setattr("minires.kernels.cuda.convolution.SHORTEST_PART", 24)
        patch.setattr("minires.kernels.cuda.runs.choose_run", lambda *_: None)
        yield lambda *arguments, **settings: Bench(cupy, rng, *arguments, **settings)


def launched(kernel, engine, vector):
    """Whether it was this very kernel."""
    name = source.product(kernel, engine, vector)
    return is_real() or fake_cupy.machine.counts.launches[name] > 0


@pytest.mark.parametrize(("engine", "vector", "products", "dtype"), engines("conv2d"))
def test_convolution(engine, vector, products, dtype, bench):
    layer = layer_for(engine, vector)
    made = bench(layer, dtype, offset=offset_for(vector), products=products)
    with forced(engine):
        made.check_result()
        made.check_pending_result()
        made.check_moments()
        assert launched("conv2d", engine, vector)


@pytest.mark.parametrize(("engine", "vector", "products", "dtype"), engines("conv2d_input_grad"))
def test_input_gradient(engine, vector, products, dtype, bench):
    for stride in (1, 2):
        layer = layer_for(engine, vector, stride, (2, 2))
        made = bench(layer, dtype, offset=offset_for(vector), products=products)
        with forced(engine):
            made.check_input_grad()
            made.check_mask(by_norm=stride == 1, addend=(stride, max(4, vector)))
            assert launched("conv2d_input_grad", engine, vector)


@pytest.mark.parametrize(("engine", "vector", "products", "dtype"), engines("gradient_sums"))
def test_sums_of_a_gradient(engine, vector, products, dtype, bench):
    made = bench(layer_for(engine, vector, kernel=(1, 1)), dtype, offset=offset_for(vector))
    with forced(engine):
        made.check_sums_again()
        assert launched("gradient_sums", engine, vector)


@pytest.mark.parametrize(("engine", "vector", "products", "dtype"), engines("conv2d_weight_grad"))
def test_weight_gradient(engine, vector, products, dtype, bench):
    size = (2, 5, 7, engine.n + (vector if vector > 1 else 3))
    made = bench(Layer(size, size[3]), dtype, offset=offset_for(vector), products=products)
    with forced(engine):
        made.check_weight_grad()
        made.check_pending_weight_grad()
        assert launched("conv2d_weight_grad", engine, vector)


RUNS = [
    (run, PRODUCTS.get(a), DTYPES.get(a, np.float32))
    for a in source.variants("runs")
    for run in source.runs(a)
]


@pytest.mark.parametrize(("engine", "products", "dtype"), RUNS, ids=str)
@pytest.mark.parametrize("size", [(4, 3), (1, 1), (3, 17)], ids=str)
def test_runs(engine, products, dtype, size, bench):
    """Several tiles, some of all zeros' rows; maps of one pixel, and as wide as a run holds."""
    width = min(size[1], (engine.longest - engine.m) // 2 - 2)
    assert engine.holds(width)
    images = 2 * engine.m // ((size[0] + 1) * (width + 1)) + 1
    more = 4 if products else 8
    made = bench(Layer((images, size[0], width, 32), engine.n + more), dtype, products=products)
    with forced_run(engine):
        made.check_result()
        made.check_pending_result()
        made.check_moments()
        assert launched_run("conv3x3", engine)
    turned = Layer((images, size[0], width, engine.n + more), 32)
    made = bench(turned, dtype, products=products)
    with forced_run(engine):
        made.check_mask_of_run()
        assert launched_run("conv3x3_input_grad", engine)


def launched_run(kernel, engine):
    return is_real() or fake_cupy.machine.counts.launches[f"{kernel}<{engine}>"] > 0


WEIGHT_RUNS = [
    (run, PRODUCTS.get(a), DTYPES.get(a, np.float32)) for a, run in source.WEIGHT_RUNS.items()
]


@pytest.mark.parametrize(("engine", "products", "dtype"), WEIGHT_RUNS, ids=str)
@pytest.mark.parametrize("size", [(5, 7), (1, 1), (3, 17), (7, 32)], ids=str)
def test_weight_runs(engine, products, dtype, size, bench):
    """Several chunks and parts, the last ones partly empty; maps as wide as a run holds."""
    assert engine.holds(32)
    chunk = engine.warps * engine.of_a_warp
    images = 3 * chunk // ((size[0] + 1) * (size[1] + 1)) + 1
    for parts in (1, 2):
        layer = Layer((images, *size, 32 // parts), 16 * parts)  # two slices of x, or of dy
        made = bench(layer, dtype, products=products)
        with forced_weight_run(engine, 2 * parts):
            made.check_weight_grad()
            made.check_pending_weight_grad()
            assert launched_run("conv3x3_weight_grad", engine)


@pytest.mark.parametrize(
    "layer",
    [
        Layer((2, 4, 5, 16), 16, (2, 3)),
        Layer((2, 4, 5, 16), 16, stride=2),
        Layer((2, 4, 5, 16), 16, padding=0),
        Layer((2, 4, 5, 16), 24),
        Layer((2, 4, 5, 24), 16),
        Layer((1, 3, 33, 16), 16),
        Layer((1, 2, 2, 16), 80),
    ],
    ids=str,
)
def test_other_weight_gradients_go_by_windows(layer, bench):
    made = bench(layer, products=3)
    made.check_weight_grad()
    assert is_real() or not any("conv3x3" in name for name in fake_cupy.machine.counts.launches)


TURNED = list(itertools.product((False, True), repeat=2))[:3]  # of a and b; never both


@pytest.mark.parametrize("turned", TURNED, ids=["a @ b", "a @ b.T", "a.T @ b"])
@pytest.mark.parametrize(("engine", "vector", "products", "dtype"), engines("gemm"))
def test_matmul(engine, vector, products, dtype, turned, rng):
    more = 4 if vector == 4 else 3
    m, k, n = engine.m + more, 516 + more, engine.n + more
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    stored = (np.ascontiguousarray(x.T) if t else x for x, t in zip((a, b), turned, strict=True))
    with gpu("check", order=next(ORDERS)) as cupy, forced(engine):
        on_a, on_b = (cupy.asarray(x)[None] for x in stored)
        c = gemm(on_a, on_b, *turned)[0].get()
        flags = ", ".join(str(t).lower() for t in turned)
        name = source.product("gemm", engine, vector, flags)
        assert is_real() or set(fake_cupy.machine.counts.launches) == {name}
    a, b = a.astype(np.float64), b.astype(np.float64)
    assert_within(c, a @ b, roundings(products, k) * (np.abs(a) @ np.abs(b)), dtype)


@pytest.mark.parametrize(("engine", "vector", "products", "dtype"), engines("gemm"))
def test_a_product_of_one_term(engine, vector, products, dtype, rng):
    """Nothing hides how numbers are split: cutting these off leaves nearly a whole unit of TF32."""
    a, b = rng.uniform(1, 1.1, (2, 64)).astype(np.float32)
    a, b = ((x.view(np.int32) | 0x1FF0).view(np.float32).astype(dtype) for x in (a, b))
    left, right = np.zeros((1, 64, 4), dtype), np.zeros((1, 4, 64), dtype)
    left[0, :, 1], right[0, 1] = a, b
    with gpu("check", order=next(ORDERS)) as cupy, forced(engine):
        c = gemm(place(cupy, left, offset_for(vector)), place(cupy, right, offset_for(vector)))
        c = c[0].get()
    exact = np.outer(a.astype(np.float64), b)
    assert_within(c, exact, roundings(products, 1) * exact, dtype)


def test_these_are_all_engines():
    """Otherwise an engine of `source.py` could be tested nowhere."""
    names = {p.id for kernel in CONVOLUTIONS for p in engines(kernel)}
    names |= {
        source.product("gemm", p.values[0], p.values[1], rest)
        for p in engines("gemm")
        for rest in source.TRANSPOSED
    }
    names |= {
        f"{kernel}<{run}>" for kernel in ("conv3x3", "conv3x3_input_grad") for run, *_ in RUNS
    }
    names |= {f"conv3x3_weight_grad<{run}>" for run, *_ in WEIGHT_RUNS}
    modules = source.ARITHMETIC_OF
    products = [(module, v) for module in modules for v in source.variants(module)]
    assert names == {n for pair in products for n in source.kernels_of(*pair)}
