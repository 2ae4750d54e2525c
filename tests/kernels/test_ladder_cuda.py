"""The rungs in CUDA C compute what the reference does, and each moves less than the one below."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from minires.kernels import ladder, reference
from minires.kernels.ladder.cuda import CUDA

from ..cuda.traffic import by_kernel, recorded
from ..device import gpu, is_real, place
from .suite import assert_within, channels, generators, images, normal, wide

pytestmark = pytest.mark.cuda
ORDERS = itertools.cycle(range(4))
rungs = pytest.mark.parametrize("rung", CUDA, ids=lambda rung: rung.file)


@rungs
@given(shape=images(largest=7), filters=channels, rng=generators)
def test_a_convolution_is_the_references(rung, shape, filters, rng):
    check(rung, shape, filters, rng)


@rungs
@pytest.mark.parametrize(("shape", "filters"), [((1, 9, 8, 5), 66), ((2, 3, 7, 2), 17)])
def test_several_tiles(rung, shape, filters, rng):
    """More than one of pixels and of filters, the last ones partly empty."""
    check(rung, shape, filters, rng)


def check(rung, shape, filters, rng):
    x, weight = normal(rng, np.float32, *shape), normal(rng, np.float32, 3, 3, shape[3], filters)
    with gpu("check", order=next(ORDERS)) as cupy:
        y = rung.conv2d(cupy, place(cupy, x, 19), place(cupy, weight, 19)).get()
    x, weight = wide(x, weight)
    size = reference.conv2d(np.abs(x), np.abs(weight), padding=1)
    bound = (9 * shape[3] + 2) * size
    assert_within(y, reference.conv2d(x, weight, padding=1), bound, np.float32)


def traffic(rung):
    """Sectors read, and passes over the banks of shared memory, of whole tiles."""
    x, weight = np.ones((1, 8, 8, 16), np.float32), np.ones((3, 3, 16, 64), np.float32)
    with gpu("check") as cupy, recorded() as report:
        rung.conv2d(cupy, cupy.asarray(x), cupy.asarray(weight))
    counts = {kind: line.parts for (_, kind), line in by_kernel(report).items()}
    return counts["read"], counts.get("shared", 0), counts["write"]


@pytest.mark.skipif(is_real(), reason="the stand-in counts, a GPU does not")
def test_each_rung_moves_fewer_bytes_than_the_one_below():
    (read1, _, write1), (read2, shared2, write2), (read3, shared3, write3) = map(traffic, CUDA)
    assert read1 > 7 * read2 > 7 * 3.5 * read3
    assert shared2 > 3.5 * shared3
    assert write1 == write2 == write3 == 8 * 8 * 64 // 8


def test_the_head_of_the_package_names_every_rung():
    for number, rung in enumerate(CUDA, 1):
        assert f"{rung.file}.cu" in ladder.__doc__
        assert f"// Convolution on a GPU, rung {number}:" in rung.text()
