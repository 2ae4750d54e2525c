"""`tensor.cuh` as it runs on a GPU: on the stand-in, or with `pytest -m gpu` on a real one."""

import numpy as np
import pytest

from ..cuda.fragments import (
    accumulators,
    bf16,
    fragments_of_bf16,
    fragments_of_tf32,
    text,
    tf32,
)
from ..device import gpu

pytestmark = pytest.mark.cuda
NAMES = ("fragments<false>", "fragments<true>", "staged<NONE>", "matrices<4>")


def run(name, threads, results, *arguments, shared=0):
    """The results, of a shape, that one block leaves behind the arguments."""
    with gpu("check") as cupy:
        if int(cupy.cuda.Device().compute_capability) < 80:
            pytest.skip("tensor cores with tf32 and bf16 need compute capability 8.0")
        module = cupy.RawModule(code=text(), options=("-std=c++17",), name_expressions=NAMES)
        sizes = [a for a in arguments if not isinstance(a, np.ndarray)]
        arrays = [cupy.asarray(a) for a in arguments if isinstance(a, np.ndarray)]
        d = cupy.zeros(results, np.float32)
        module.get_function(name)((1,), (threads,), (*arrays, d, *sizes), shared_mem=shared)
        return d.get()


def assert_near(d, a, b, c):
    """As near to c + a @ b as 20 bits of the largest terms: the hardware says no more."""
    a, b, c = (x.astype(np.float64) for x in (a, b, c))
    assert (abs(d - (c + a @ b)) <= 2.0**-20 * (abs(c) + abs(a) @ abs(b))).all()


@pytest.mark.parametrize(
    ("name", "k", "rounded", "fragments"),
    [
        ("fragments<false>", 8, tf32, fragments_of_tf32),
        ("fragments<true>", 16, bf16, fragments_of_bf16),
    ],
)
def test_a_product_of_a_warp(rng, name, k, rounded, fragments):
    a, b = (rounded(rng.normal(size=shape)) for shape in ((16, k), (k, 8)))
    c = rng.normal(size=(16, 8)).astype(np.float32)
    d = run(name, 32, (32, 4), *fragments(a, b), np.ascontiguousarray(accumulators(c)))
    whole = np.zeros((16, 8), np.float32)
    lane, i = np.arange(32)[:, None], np.arange(4)
    whole[lane // 4 + 8 * (i // 2), lane % 4 * 2 + i % 2] = d
    assert_near(whole, a, b, c)


def test_matrices_are_handed_out_as_fragments(rng):
    x = rng.normal(size=(32, 4)).astype(np.float32)
    y = run("matrices<4>", 32, (32, 4), x, np.int32(-1), shared=512)
    np.testing.assert_array_equal(y.reshape(8, 4, 4), x.reshape(4, 8, 4).transpose(1, 2, 0))


@pytest.mark.parametrize("size", [4, 20, 256])
def test_a_product_in_stages(rng, size):
    a, b = (rng.normal(size=shape).astype(np.float32) for shape in ((32, size), (size, 8)))
    d = run("staged<NONE>", 64, (32, 8), a, b, np.int32(size))
    assert_near(d, tf32(a), tf32(b), np.zeros((32, 8)))
