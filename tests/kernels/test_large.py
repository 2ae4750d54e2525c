"""The engines for large products, each compiled alone: several tiles, the last partly empty.

`test_tiles.py` tries them too, with all their module's kernels, which takes long to compile.
"""

from contextlib import contextmanager

import numpy as np
import pytest
from minires.kernels.cuda import launch, source
from minires.kernels.dtypes import bfloat16

from ..device import gpu
from .around import Bench, Layer, forced

pytestmark = pytest.mark.cuda
CASES = [
    *(
        pytest.param(kernel, engine, np.float32, 4, id=f"{kernel}-{engine.n}")
        for kernel in source.LAYOUTS
        for engine in source.large_engines(kernel)
    ),
    *(
        pytest.param(kernel, engine, bfloat16(), 8, id=f"{kernel}-{engine.n}-bfloat16")
        for kernel in source.LAYOUTS
        for engine in source.large_of_bfloat16(kernel)
    ),
]


@contextmanager
def alone(kernel):
    """A context in which only this kernel of its module is compiled."""
    kernels_of = source.kernels_of

    def names(module, variant):
        return (kernel,) if module == "convolution" else kernels_of(module, variant)

    caches = launch.module, launch.function
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "kernels_of", names)
        for cache in caches:
            cache.cache_clear()
        yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize("order", [0, 2])
@pytest.mark.parametrize(("kernel", "engine", "dtype", "pack"), CASES)
def test_a_large_engine(kernel, engine, dtype, pack, order, rng):
    layer = Layer((2, 10, 11, engine.n + pack), engine.n + pack, (1, 2))
    with (
        gpu("check", order=order) as cupy,
        alone(source.product(kernel, engine, pack)),
        forced(engine),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("minires.kernels.cuda.convolution.SHORTEST_PART", 90)
        bench = Bench(cupy, rng, layer, dtype, products=1)
        CHECKS[kernel](bench)


def check_result(bench):
    """Alone, with batch norm pending before it, and with moments behind it."""
    bench.check_result()
    bench.check_pending_result()
    bench.check_moments()


def check_input_grad(bench):
    bench.check_input_grad()
    bench.check_addend(1, 0)


CHECKS = {
    "conv2d": check_result,
    "conv2d_input_grad": check_input_grad,
    "conv2d_weight_grad": Bench.check_weight_grad,
}
