"""Every rung of the ladder computes what the reference does, over awkward shapes."""

import importlib

import numpy as np
import pytest
from hypothesis import assume, given
from minires.kernels import ladder, reference
from minires.kernels.ladder import BATCH_NORMS, CONVOLUTIONS

from .suite import UNIT, assert_within, channels, generators, images, normal, wide

EPS = 1e-3
WINOGRAD = (
    12  # times the roundings of a plain sum: three additions each way, of numbers that cancel
)
convolutions = pytest.mark.parametrize("rung", CONVOLUTIONS, ids=lambda rung: rung.file)
batch_norms = pytest.mark.parametrize("rung", BATCH_NORMS, ids=lambda rung: rung.file)


@convolutions
@given(shape=images(), filters=channels, rng=generators)
def test_a_convolution_is_the_references(rung, shape, filters, rng):
    check_convolution(rung, shape, filters, rng)


@convolutions
@pytest.mark.parametrize(("shape", "filters"), [((1, 5, 12, 33), 40), ((3, 4, 3, 2), 65)])
def test_a_convolution_of_several_tiles(rung, shape, filters, rng):
    """More than one tile of pixels and of filters; the last ones partly empty."""
    check_convolution(rung, shape, filters, rng)


def check_convolution(rung, shape, filters, rng):
    x, weight = normal(rng, np.float32, *shape), normal(rng, np.float32, 3, 3, shape[3], filters)
    y = rung.kernel()(x, weight)
    assert y.flags.c_contiguous
    x, weight = wide(x, weight)
    size = reference.conv2d(np.abs(x), np.abs(weight), padding=1)
    roundings = 9 * shape[3] + 2
    if rung.file == "conv6_winograd":
        roundings, size = WINOGRAD * roundings, size.max()  # a square's results share their errors
    assert_within(y, reference.conv2d(x, weight, padding=1), roundings * size, np.float32)


def test_winograd_is_exact_for_whole_numbers(rng):
    """Halves and quarters of small whole numbers are exact: no bound hides a wrong transform."""
    for shape, filters in (((2, 5, 7, 3), 5), ((1, 1, 1, 1), 1), ((1, 2, 18, 17), 33)):
        x = rng.integers(-4, 5, shape).astype(np.float32)
        weight = 4 * rng.integers(-4, 5, (3, 3, shape[3], filters)).astype(np.float32)
        y = CONVOLUTIONS[-1].kernel()(x, weight)
        np.testing.assert_array_equal(y, reference.conv2d(x, weight, padding=1))


def test_packing_changes_no_bit(rng):
    x, weight = normal(rng, np.float32, 2, 5, 6, 17), normal(rng, np.float32, 3, 3, 17, 35)
    tile, panels = (rung.kernel()(x, weight) for rung in CONVOLUTIONS[3:5])
    np.testing.assert_array_equal(tile, panels)


@batch_norms
@given(shape=images(), rng=generators)
def test_a_batch_norm_is_the_references(rung, shape, rng):
    assume(shape[0] * shape[1] * shape[2] > 1)
    check_batch_norm(rung, shape, rng)


@batch_norms
@pytest.mark.parametrize("shape", [(3, 7, 13, 5), (1, 16, 8, 17), (2, 9, 11, 33)])
def test_a_batch_norm_of_several_chunks(rung, shape, rng):
    """The last chunk is a short one, a whole one, one that is no multiple of four pixels."""
    check_batch_norm(rung, shape, rng)


def check_batch_norm(rung, shape, rng):
    x = normal(rng, np.float32, *shape) + np.float32(rng.choice([0, 3, 1000]))
    gamma, beta = normal(rng, np.float32, shape[3]), normal(rng, np.float32, shape[3])
    y, mean, var = rung.kernel()(x, gamma, beta, eps=EPS)
    x, gamma, beta = wide(x, gamma, beta)
    y_, mean_, var_ = reference.batch_norm(x, gamma, beta, eps=EPS, relu=True)
    count, off = x[..., 0].size, np.abs(x).max()
    assert_within(mean, mean_, (count + 2) * np.abs(x).mean((0, 1, 2)), np.float32)
    # as in test_contract.py: what the mean is off by adds to every distance
    moved = UNIT[np.float32] * (count * off) ** 2
    assert_within(var, var_, (count + 8) * (var_ + moved), np.float32)
    scale = np.abs(gamma) / np.sqrt(var_ + EPS)
    sizes = np.abs(x - mean_) * scale + np.abs(beta) + off * scale
    assert_within(y, y_, (count + 12) * sizes, np.float32)


@batch_norms
def test_a_variance_far_from_zero_keeps_its_digits(rung, rng):
    """The average of x² minus the square of the average would have none left."""
    x = (1000 + rng.standard_normal((8, 16, 16, 8))).astype(np.float32)
    x[:4] += 3  # chunks differ in their means
    _, mean, var = rung.kernel()(x, np.ones(8, np.float32), np.ones(8, np.float32), eps=EPS)
    x = x.astype(np.float64)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(var, x.var((0, 1, 2)), rtol=1e-4)


@batch_norms
def test_what_is_not_a_number_is_not_hidden_by_the_relu(rung):
    x = np.full((1, 2, 2, 8), np.nan, np.float32)
    assert np.isnan(rung.kernel()(x, *np.ones((2, 8), np.float32), eps=EPS)[0]).all()


@pytest.mark.parametrize("rungs", [CONVOLUTIONS, BATCH_NORMS], ids=["conv", "norm"])
def test_the_head_of_the_package_names_every_rung(rungs):
    for number, rung in enumerate(rungs, 1):
        assert f"{rung.file}.py" in ladder.__doc__
        opening = importlib.import_module(f"{ladder.__name__}.{rung.file}").__doc__
        assert f"rung {number}:" in opening.splitlines()[0]


def test_no_rung_of_batch_norm_moves_more_than_the_one_before():
    shape = (2, 4, 4, 8)
    moved = [rung.bytes(shape, 0) / np.prod(shape) for rung in BATCH_NORMS]
    assert moved == [24, 20, 12]


def test_only_the_columns_in_memory_move_many_bytes():
    least, columns, *others = (rung.bytes((4, 8, 8, 16), 16) for rung in CONVOLUTIONS)
    assert columns == least + 2 * 9 * 4 * 4 * 8 * 8 * 16
    assert all(least <= moved < columns for moved in others)
