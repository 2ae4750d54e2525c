"""What only the CUDA kernels of regions have: the CPU's bits, groups of boxes, bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from minires.kernels import cpu, reference, reference_regions
from minires.kernels import cuda as kernels
from minires.kernels.cuda import launch

from ..device import OnDevice, gpu
from .suite import normal
from .test_regions import cases

pytestmark = pytest.mark.cuda
cuda = OnDevice()
SETTINGS = {"size": (2, 3), "scale": 0.5}


@given(case=cases(), sampling=st.integers(0, 3), aligned=st.booleans())
def test_roi_align_has_the_bits_of_the_cpu(case, sampling, aligned):
    """The same weights, and the same sums in the same order; gradients as well."""
    shape, boxes, images, size, scale, rng = case
    x = normal(rng, np.float32, *shape)
    settings = {"scale": scale, "sampling": sampling, "aligned": aligned}
    y = cuda.roi_align(x, boxes, images, size=size, **settings)
    np.testing.assert_array_equal(y, cpu.roi_align(x, boxes, images, size=size, **settings))
    dy = normal(rng, np.float32, *y.shape)
    dx = cuda.roi_align_grad(dy, boxes, images, x_shape=shape, **settings)
    right = cpu.roi_align_grad(dy, boxes, images, x_shape=shape, **settings)
    np.testing.assert_array_equal(dx, right)


def whole_numbers():
    """A bin has as many samples as it is long in pixels, and one more if it is a bit longer."""
    first, last = np.mgrid[-8:-2, 1:90].reshape(2, -1)
    return np.stack([first, first, last, last], axis=1), {"size": (3, 3), "scale": 0.2}


def centres_on_the_edge():
    """The middle one of 7 samples lies on the map's edge, where a bit more is outside."""
    half = np.arange(1, 31)[:, None]
    boxes = np.concatenate([40 - half, 40 - half, 40 + half, 40 + half], axis=1)
    return boxes, {"size": (7, 7), "scale": 1.0, "sampling": 1, "aligned": False}


@pytest.mark.parametrize("case", [whole_numbers, centres_on_the_edge])
def test_samples_lie_where_the_cpu_has_them(case, rng):
    """Where the last bit decides. The stand-in fuses where it is fast, as a GPU does."""
    x = rng.standard_normal((1, 40, 40, 1)).astype(np.float32)
    boxes, settings = case()
    where = boxes.astype(np.float32), np.zeros(len(boxes), np.int64)
    with gpu() as cupy:
        y = kernels.roi_align(*map(cupy.asarray, (x, *where)), **settings).get()
    np.testing.assert_array_equal(y, cpu.roi_align(x, *where, **settings))


@given(case=cases())
def test_roi_max_pool_has_the_bits_of_the_cpu(case):
    """Regions overlap, so that the gradient is a sum, whose order matters."""
    shape, boxes, images, size, scale, rng = case
    x = normal(rng, np.float32, *shape)
    y, argmax = cuda.roi_max_pool(x, boxes, images, size=size, scale=scale)
    dy = normal(rng, np.float32, *y.shape)
    dx = cuda.roi_max_pool_grad(dy, argmax, images, x_shape=shape)
    np.testing.assert_array_equal(dx, cpu.roi_max_pool_grad(dy, argmax, images, x_shape=shape))


def test_an_overlap_that_is_the_threshold_itself_is_not_above_it(rng):
    """A product fused with an addition would be off by its rounding, and decide otherwise.

    The stand-in fuses where it is fast, as a GPU does.
    """
    first = rng.random((100, 2, 2)).cumsum(1).reshape(100, 4)
    second = first + 0.2 * (first[:, [2, 3, 2, 3]] - first[:, [0, 1, 0, 1]])
    with gpu() as cupy:
        for pair in np.stack([first, second], axis=1):
            threshold = reference_regions.overlap(pair[0], pair[1:]).item()
            boxes = cupy.asarray(pair)
            assert kernels.nms(boxes, threshold=threshold).get().tolist() == [0, 1]
            below = float(np.nextafter(threshold, 0))
            assert kernels.nms(boxes, threshold=below).get().tolist() == [0]


@pytest.mark.parametrize("count", [64, 65, 300])
def test_nms_in_groups(count, rng):
    """What stays in one group suppresses boxes of later ones."""
    boxes = rng.random((count, 4), np.float32) * 40
    boxes[:, 2:] += boxes[:, :2]
    for threshold in (0.05, 0.4):
        right = reference.nms(boxes, threshold=threshold)
        np.testing.assert_array_equal(cuda.nms(boxes, threshold=threshold), right)


def test_more_groups_of_boxes_than_threads(rng):
    """Each box suppresses a few later ones, far apart: 258 groups for 256 threads."""
    count, words = 258 * 64 - 5, 258
    others = np.minimum(rng.integers(1, count, (count, 2)) + np.arange(count)[:, None], count)
    others[:64, 0] = count - 1 - np.arange(64)  # the first group marks the last
    overlaps = np.zeros((words, count), np.uint64)
    for box, other in ((b, o) for b in range(count) for o in others[b] if o < count):
        overlaps[other // 64, box] |= np.uint64(1 << int(other) % 64)
    gone, kept = np.zeros(count, bool), []
    for box in range(count):
        if not gone[box]:
            kept.append(box)
            gone[others[box][others[box] < count]] = True
    with gpu() as cupy:
        found, total = cupy.empty(count, "int64"), cupy.empty(1, "int64")
        arrays = cupy.asarray(overlaps), cupy.zeros(words, "uint64"), found, total
        launch.launch("regions", "unsuppressed<256>", (1,), *arrays, count, words)
        assert found[: int(total[0])].get().tolist() == kept


@pytest.mark.parametrize("channels", [8, 6])
def test_packs_of_channels(channels, rng):
    """Four at once, or one."""
    x = rng.standard_normal((2, 9, 7, channels)).astype(np.float32)
    boxes = np.array([[0, 1, 11, 15], [3, 2, 9, 16], [-4, 5, 9, 40]], np.float32)
    images = np.array([1, 0, 1])
    with gpu("check") as cupy:
        maps, *where = map(cupy.asarray, (x, boxes, images))
        y = kernels.roi_align(maps, *where, **SETTINGS)
        dx = kernels.roi_align_grad(y, *where, x_shape=x.shape, scale=0.5)
        best, argmax = kernels.roi_max_pool(maps, *where, **SETTINGS)
        best_dx = kernels.roi_max_pool_grad(best, argmax, where[1], x_shape=x.shape)
        y, dx, best, argmax, best_dx = (a.get() for a in (y, dx, best, argmax, best_dx))
    np.testing.assert_array_equal(y, cpu.roi_align(x, boxes, images, **SETTINGS))
    right = cpu.roi_align_grad(y, boxes, images, x_shape=x.shape, scale=0.5)
    np.testing.assert_array_equal(dx, right)
    for found, right in zip(
        (best, argmax), cpu.roi_max_pool(x, boxes, images, **SETTINGS), strict=True
    ):
        np.testing.assert_array_equal(found, right)
    right = cpu.roi_max_pool_grad(best, argmax, images, x_shape=x.shape)
    np.testing.assert_array_equal(best_dx, right)


def test_gradients_twice_have_the_same_bits(rng):
    """Many regions over the same pixels: with atomics, each run would add in another order."""
    shape, count = (1, 13, 11, 16), 40
    boxes = (rng.random((count, 4), np.float32) * 100).astype(np.float32)
    boxes[:, 2:] += boxes[:, :2]
    dy, images = rng.standard_normal((count, 3, 3, 16), np.float32), np.zeros(count, np.int64)
    argmax = rng.integers(-1, 143, dy.shape).astype(np.int32)
    for _ in range(2):
        dx = cuda.roi_align_grad(dy, boxes, images, x_shape=shape, scale=1 / 16)
        right = cpu.roi_align_grad(dy, boxes, images, x_shape=shape, scale=1 / 16)
        np.testing.assert_array_equal(dx, right)
        dx = cuda.roi_max_pool_grad(dy, argmax, images, x_shape=shape)
        np.testing.assert_array_equal(dx, cpu.roi_max_pool_grad(dy, argmax, images, x_shape=shape))


def test_an_image_that_is_not_there_is_never_followed_into_memory():
    """A kernel can't raise an error, so what it pools is NaN, and its gradient goes nowhere."""
    x, boxes = np.ones((2, 4, 5, 3), np.float32), np.tile(np.float32([0, 0, 8, 8]), (3, 1))
    images = np.array([-1, 1, 2**40])
    aligned = cuda.roi_align(x, boxes, images, **SETTINGS)
    best, argmax = cuda.roi_max_pool(x, boxes, images, **SETTINGS)
    for y in (aligned, best):
        assert np.isnan(y[[0, 2]]).all()
        assert (y[1] == 1).all()
    dx = cuda.roi_align_grad(np.ones_like(y), boxes, images, x_shape=x.shape, scale=0.5)
    assert dx.sum() == pytest.approx(y[1].size)
    dx = cuda.roi_max_pool_grad(np.ones_like(y), argmax, images, x_shape=x.shape)
    assert dx.sum() == y[1].size


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38])
def test_boxes_that_have_no_place_on_a_map_end_all_the_same(value):
    """A kernel can't refuse them as the CPU does; it must neither hang nor leave the map."""
    x, images = np.ones((1, 4, 5, 3), np.float32), np.zeros(2, np.int64)
    boxes = np.array([[0, 0, 8, value], [value, 0, value, 8]], np.float32)
    y = cuda.roi_align(x, boxes, images, sampling=2, **SETTINGS)
    assert ((y == 0) | (y == 1)).all()
    y, _ = cuda.roi_max_pool(x, boxes, images, **SETTINGS)
    assert ((y == 0) | (y == 1)).all()
    assert cuda.nms(boxes, threshold=0.5).tolist() == [0, 1]


def test_nothing_gives_nothing():
    x, boxes = np.zeros((1, 4, 5, 3), np.float32), np.zeros((0, 4), np.float32)
    images = np.zeros(0, np.int64)
    assert cuda.roi_align(x, boxes, images, **SETTINGS).shape == (0, 2, 3, 3)
    y, argmax = cuda.roi_max_pool(x, boxes, images, **SETTINGS)
    assert y.shape == argmax.shape == (0, 2, 3, 3)
    dx = cuda.roi_align_grad(y, boxes, images, x_shape=x.shape, scale=0.5)
    np.testing.assert_array_equal(dx, x)
    np.testing.assert_array_equal(cuda.roi_max_pool_grad(y, argmax, images, x_shape=x.shape), x)
    assert cuda.nms(boxes, threshold=0.5).shape == (0,)


def test_maps_in_bfloat16_are_refused():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 needs ml_dtypes")
    with gpu() as cupy, pytest.raises(ValueError, match=r"convert with \.astype"):
        kernels.nms(cupy.asarray(np.zeros((1, 4), ml_dtypes.bfloat16)), threshold=0.5)
