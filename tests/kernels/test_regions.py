"""RoI align, RoI max pooling and suppression: fixtures, properties, the reference, PyTorch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from minires.kernels import reference

from minires import kernels

from .suite import IMPLEMENTATIONS, assert_within, generators, guarded, normal

implementations = pytest.mark.parametrize(
    ("kernels", "dtype"), IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS
)


@st.composite
def cases(draw):
    """`(x_shape, boxes, images, size, scale)`: boxes inside, across the edge, outside, inverted."""
    rng = draw(generators)
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    channels = draw(st.sampled_from([1, 3, 8, 16, 17, 140]))
    shape, count = (draw(st.integers(1, 3)), height, width, channels), draw(st.integers(0, 5))
    scale = draw(st.sampled_from([1.0, 0.5, 1 / 16, 0.3]))
    corners = rng.uniform(-0.3, 1.4, (count, 4)) * [width, height, width, height] / scale
    if draw(st.booleans()):  # halves of pixels, where rounding decides
        corners = np.round(corners * scale * 2) / 2 / scale
    if draw(st.booleans()):
        corners[:, 2:] = corners[:, :2] + np.abs(corners[:, 2:])
    boxes = guarded(corners.astype(np.float32))
    size = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    return shape, boxes, rng.integers(0, shape[0], count), size, scale, rng


@implementations
@given(case=cases(), sampling=st.integers(0, 3), aligned=st.booleans())
def test_roi_align_and_its_gradient(kernels, dtype, case, sampling, aligned):
    """Against the reference in float64; a mean's roundings grow with its number of terms."""
    shape, boxes, images, size, scale, rng = case
    x, boxes = normal(rng, dtype, *shape), boxes.astype(dtype)
    settings = {"scale": scale, "sampling": sampling, "aligned": aligned}
    y = kernels.roi_align(x, boxes, images, size=size, **settings)
    wide = boxes.astype(np.float64)
    right = reference.roi_align(x.astype(np.float64), wide, images, size=size, **settings)
    terms = 8 + shape[1] * shape[2]
    assert_within(y, right, terms * np.abs(x).max(), dtype)
    dy = normal(rng, dtype, *y.shape)
    dx = kernels.roi_align_grad(dy, boxes, images, x_shape=shape, **settings)
    double = dy.astype(np.float64)
    right = reference.roi_align_grad(double, wide, images, x_shape=shape, **settings)
    sizes = reference.roi_align_grad(np.abs(double), wide, images, x_shape=shape, **settings)
    assert_within(dx, right, (10 + dy.size // shape[3]) * sizes + 1e-30, dtype)


def sampled(x, boxes, images, size, scale, sampling, aligned):
    """RoI align by PyTorch's arithmetic, sample by sample (He et al. 2017, sec. 3)."""
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    rows, offset = [], 0.5 if aligned else 0.0
    height, width = x.shape[1:3]
    for box, image in zip(boxes, images, strict=True):
        x1, y1, x2, y2 = (float(v) * scale - offset for v in box)
        w, h = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1.0), max(y2 - y1, 1.0))
        for p in range(size[0]):
            for q in range(size[1]):
                gy = sampling or int(np.ceil(h / size[0]))
                gx = sampling or int(np.ceil(w / size[1]))
                total = torch.zeros(x.shape[3], dtype=x.dtype)
                for i in range(gy):
                    for j in range(gx):
                        at_y = y1 + p * h / size[0] + (i + 0.5) * h / size[0] / gy
                        at_x = x1 + q * w / size[1] + (j + 0.5) * w / size[1] / gx
                        if at_y < -1 or at_y > height or at_x < -1 or at_x > width:
                            continue
                        at_y, at_x = max(at_y, 0.0), max(at_x, 0.0)
                        top, left = min(int(at_y), height - 1), min(int(at_x), width - 1)
                        bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
                        ly = at_y - top if top < height - 1 else 0.0
                        lx = at_x - left if left < width - 1 else 0.0
                        m = x[image]
                        total = total + (
                            (1 - ly) * (1 - lx) * m[top, left]
                            + (1 - ly) * lx * m[top, right]
                            + ly * (1 - lx) * m[bottom, left]
                            + ly * lx * m[bottom, right]
                        )
                rows.append(total / max(gy * gx, 1))
    return torch.stack(rows).reshape(len(boxes), *size, x.shape[3])


@settings(max_examples=4)
@given(case=cases(), sampling=st.integers(0, 2), aligned=st.booleans())
def test_the_reference_against_samples_one_by_one(case, sampling, aligned):
    """Forward and, by PyTorch's own differentiation, backward."""
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    shape, boxes, images, size, scale, rng = case
    if not len(boxes):
        return
    shape, boxes = (*shape[:3], 2), boxes.astype(np.float64)
    x = torch.tensor(rng.standard_normal(shape), requires_grad=True)
    y = sampled(x, boxes, images, size, scale, sampling, aligned)
    keywords = {"scale": scale, "sampling": sampling, "aligned": aligned}
    ours = reference.roi_align(x.detach().numpy(), boxes, images, size=size, **keywords)
    np.testing.assert_allclose(ours, y.detach().numpy(), atol=1e-12)
    dy = rng.standard_normal(y.shape)
    dx = reference.roi_align_grad(dy, boxes, images, x_shape=shape, **keywords)
    if y.requires_grad:
        y.backward(torch.tensor(dy))
    theirs = np.zeros(shape) if x.grad is None else x.grad.numpy()
    np.testing.assert_allclose(dx, theirs, atol=1e-12)


@implementations
def test_roi_align_of_a_small_map(kernels, dtype):
    """torchvision's and detectron2's numbers: half a pixel lies between the two conventions."""
    x = np.arange(25, dtype=dtype).reshape(1, 5, 5, 1)
    boxes, images = np.array([[1, 1, 3, 3]], dtype), np.zeros(1, np.int64)
    rows = np.arange(4)[:, None] * 2.5 + np.arange(4) * 0.5
    for aligned, first in ((False, 7.5), (True, 4.5)):
        y = kernels.roi_align(x, boxes, images, size=(4, 4), scale=1.0, aligned=aligned)
        np.testing.assert_allclose(y[0, ..., 0], first + rows, rtol=1e-6)


@implementations
def test_the_sampling_ratio_matters(kernels, dtype, rng):
    """One bin five pixels long: 1, 2 and 5 samples (0, as long as the bin) are different means."""
    x = rng.standard_normal((1, 8, 8, 1)).astype(dtype)
    boxes, images = np.array([[1.25, 1.25, 6.25, 6.25]], dtype), np.zeros(1, np.int64)

    def mean(sampling):
        settings = {"size": (1, 1), "scale": 1.0, "sampling": sampling}
        return kernels.roi_align(x, boxes, images, **settings).item()

    assert len({round(mean(n), 4) for n in (0, 1, 2)}) == 3
    assert mean(0) == pytest.approx(mean(5), abs=1e-6)


@implementations
def test_roi_align_of_a_slope_is_the_slope_at_the_middle_of_each_bin(kernels, dtype):
    y, x = np.mgrid[:20, :20]
    maps = (3 * (x + 0.5) + 7 * (y + 0.5)).astype(dtype)[None, ..., None]
    boxes, images = np.array([[64, 96, 192, 224]], dtype), np.zeros(1, np.int64)
    found = kernels.roi_align(maps, boxes, images, size=(4, 4), scale=1 / 16)
    middles = np.arange(4) * 2 + 1
    right = 3 * (4 + middles) + 7 * (6 + middles[:, None])
    np.testing.assert_allclose(found[0, ..., 0], right, rtol=1e-5)


@implementations
@given(case=cases())
def test_roi_max_pool_and_its_gradient(kernels, dtype, case):
    """Whole numbers, so that there are ties: exact."""
    shape, boxes, images, size, scale, rng = case
    x = guarded(rng.integers(-5, 5, shape).astype(dtype))
    x[rng.random(shape) < 0.02] = np.nan
    y, argmax = kernels.roi_max_pool(x, boxes.astype(dtype), images, size=size, scale=scale)
    wide = x.astype(np.float64), boxes.astype(np.float64)
    right, places = reference.roi_max_pool(*wide, images, size=size, scale=scale)
    np.testing.assert_array_equal(y, right)
    np.testing.assert_array_equal(argmax, places)
    assert (y.dtype, argmax.dtype) == (dtype, np.int32)
    dy = rng.integers(-9, 9, y.shape).astype(dtype)
    dx = kernels.roi_max_pool_grad(dy, argmax, images, x_shape=shape)
    right = reference.roi_max_pool_grad(dy.astype(np.float64), places, images, x_shape=shape)
    np.testing.assert_array_equal(dx, right)


@implementations
def test_corners_of_max_pooled_regions(kernels, dtype):
    """Halves go away from zero, both ends count, bins overlap, and outside there is nothing."""
    x = np.arange(36, dtype=dtype).reshape(1, 6, 6, 1)
    boxes = [[0.5, 0, 2.5, 0], [1.5, 2.5, 3, 4], [20, 20, 30, 30], [4, 4, 1, 1]]
    settings = {"size": (1, 2), "scale": 1.0}
    y, argmax = kernels.roi_max_pool(x, np.array(boxes, dtype), np.zeros(4, int), **settings)
    assert y[..., 0].tolist() == [[[2, 3]], [[26, 27]], [[0, 0]], [[28, 28]]]
    assert argmax[..., 0].tolist() == [[[2, 3]], [[26, 27]], [[-1, -1]], [[28, 28]]]


@implementations
def test_bins_have_whole_numbers_for_edges(kernels, dtype):
    """57 pixels in 7 bins: by floating point the last bin ends a row too late, or too early."""
    for height, bins in ((57, 7), (57, 14), (62, 14), (29, 7), (58, 14)):
        x = np.arange(height + 3, dtype=dtype).reshape(1, -1, 1, 1)
        box = np.array([[0, 0, 0, height - 1]], dtype)
        y, _ = kernels.roi_max_pool(x, box, np.zeros(1, int), size=(bins, 1), scale=1.0)
        last = [-(-(i + 1) * height // bins) - 1 for i in range(bins)]
        assert y.ravel().tolist() == last


@implementations
@given(rng=generators, count=st.integers(0, 60), threshold=st.sampled_from([0.0, 0.3, 0.5, 0.7]))
def test_nms(kernels, dtype, rng, count, threshold):
    corners = rng.integers(0, 20, (count, 4))
    corners[:, 2:] += corners[:, :2] - rng.integers(0, 3, (count, 2))
    kept = kernels.nms(guarded(corners.astype(dtype)), threshold=threshold)
    assert kept.dtype == np.int64
    np.testing.assert_array_equal(kept, reference.nms(corners.astype(float), threshold=threshold))


@implementations
def test_nms_leaves_out_what_overlaps_by_more_than_the_threshold(kernels, dtype):
    boxes = np.array([[0, 0, 4, 4], [1, 1, 5, 5], [2, 1, 6, 5], [4, 0, 8, 4]], dtype)
    thresholds = {1: "0123", 0.5: "013", 0.3: "023", 0.2: "03", 0: "03"}
    for threshold, kept in thresholds.items():
        found = kernels.nms(boxes, threshold=float(threshold))
        assert "".join(map(str, found)) == kept
    halves = np.array([[0, 0, 2, 1], [0, 0, 1, 1]], dtype)
    assert kernels.nms(halves, threshold=0.5).tolist() == [0, 1]
    assert kernels.nms(halves, threshold=0.49999).tolist() == [0]


@implementations
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_nms_tells_an_overlap_a_hundred_thousandth_above_the_threshold(kernels, dtype, threshold):
    """As torchvision's own test does, which a fused multiplication and addition once failed."""
    for by, kept in ((1e-5, [0]), (-1e-5, [0, 1])):
        overlap = threshold + by
        wide = np.array([[103.7, 251.3, 171.2, 333.8]] * 2)
        wide[1, 2] += (wide[0, 2] - wide[0, 0]) * (1 - overlap) / overlap
        assert kernels.nms(wide.astype(dtype), threshold=threshold).tolist() == kept


def test_no_regions_give_nothing(rng):
    x = rng.standard_normal((1, 4, 4, 2))
    none = np.zeros((0, 4)), np.zeros(0, int)
    assert kernels.roi_align(x, *none, size=(7, 7), scale=1.0).shape == (0, 7, 7, 2)
    assert kernels.roi_max_pool(x, *none, size=(7, 7), scale=1.0)[0].shape == (0, 7, 7, 2)
    assert kernels.nms(none[0], threshold=0.5).shape == (0,)


@pytest.mark.parametrize(
    ("boxes", "images", "sentence"),
    [
        (np.zeros((2, 5)), np.zeros(2, int), r"roi_align: boxes must be \(N, 4\)"),
        (np.zeros((2, 4)), np.zeros(1, int), r"images must have shape \(2,\)"),
        (np.zeros((2, 4)), np.full(2, 3), "images must lie in 0 .. 0"),
        (np.zeros((2, 4)), np.zeros(2), "whole numbers"),
        (np.full((2, 4), np.nan), np.zeros(2, int), "boxes must be finite"),
    ],
)
def test_bad_regions_are_met_with_a_sentence(boxes, images, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        kernels.roi_align(np.zeros((1, 4, 4, 2)), boxes, images, size=(2, 2), scale=1.0)
