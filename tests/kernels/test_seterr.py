"""Kernels called directly under `np.seterr(all="raise")`: what underflows is 0 in each of them."""

import numpy as np
import pytest
from minires.kernels.records import ConvNorm, Epoch

from minires import kernels

WINDOW, POOL = {"stride": 1, "padding": 1}, {"size": 2, "stride": 2}
SHAPE = (2, 6, 6, 16)
LABELS, IMAGES = np.array([0, 1]), np.array([0, 1])


def calls(dtype, rng):
    """Each kernel, called with numbers whose products are too small for the dtype."""
    size = {np.float32: 1e-30, np.float64: 1e-200}[dtype]

    def tiny(*shape):
        return (size * rng.standard_normal(shape)).astype(dtype)

    def least(*shape):
        return np.full(shape, np.finfo(dtype).smallest_subnormal, dtype)

    x, dy, weight, ones = tiny(*SHAPE), tiny(*SHAPE), tiny(3, 3, 16, 16), np.ones(16, dtype)
    small, pooled, eps, back = tiny(16), tiny(2, 3, 3, 16), {"eps": 1e-5}, {"x_shape": SHAPE}
    layer, moments, settings = ConvNorm(weight, ones, small, 1e-5, 1, 1), (small, ones), WINDOW
    logits, boxes = np.array([[0, -2000]] * 2, dtype), size * np.array([[0, 0, 1, 1]] * 2, dtype)
    pixels, mean = np.zeros((2, 6, 6, 3), np.uint8), tiny(6, 6, 3)
    offsets, flips = np.zeros((2, 2), np.int64), np.zeros(2, bool)
    epoch = Epoch(pixels, LABELS, np.arange(2), offsets, flips)
    regions, bins = {"size": (2, 2), "scale": 1.0}, tiny(2, 2, 2, 16)
    _, argmax = kernels.max_pool(x, **POOL)
    _, winners = kernels.roi_max_pool(x, boxes, IMAGES, **regions)
    _, saved = kernels.conv2d_batch_norm(x, layer)
    _, both = kernels.basic_block(x, layer, layer, skip=True)
    steps = {"lr": size, "momentum": size, "weight_decay": size}
    cut = {"padding": 1}
    return {
        "im2col": lambda f: f(x, kernel_size=(3, 3), **settings),
        "col2im": lambda f: f(tiny(2, 6, 6, 144), kernel_size=(3, 3), **settings, **back),
        "conv2d": lambda f: f(x, weight, **settings),
        "conv2d_input_grad": lambda f: f(dy, weight, **settings, **back),
        "conv2d_weight_grad": lambda f: f(dy, x, kernel_size=(3, 3), **settings),
        "batch_norm": lambda f: f(x, small, small, **eps),
        "batch_norm_grad": lambda f: f(dy, x, small, *moments, **eps),
        "batch_norm_eval": lambda f: f(x, small, small, *moments, **eps),
        "batch_norm_eval_grad": lambda f: f(dy, x, small, *moments, **eps),
        "update_running_statistics": lambda f: f(
            tiny(16), tiny(16), tiny(16), tiny(16), momentum=size, count=9
        ),
        "conv2d_batch_norm": lambda f: f(x, layer),
        "conv2d_batch_norm_grad": lambda f: f(dy, x, layer, saved),
        "conv2d_batch_norm_eval": lambda f: f(x, layer, *moments),
        "basic_block": lambda f: f(x, layer, layer, skip=True),
        "basic_block_grad": lambda f: f(dy, x, layer, layer, both, skip=True),
        "relu": lambda f: f(x),
        "relu_grad": lambda f: f(dy, x),
        "max_pool": lambda f: f(x, **POOL),
        "max_pool_grad": lambda f: f(pooled, argmax, **POOL, **back),
        "avg_pool": lambda f: f(least(*SHAPE), **POOL),
        "avg_pool_grad": lambda f: f(least(*pooled.shape), **POOL, **back),
        "global_avg_pool": lambda f: f(least(*SHAPE)),
        "global_avg_pool_grad": lambda f: f(tiny(2, 16), **back),
        "subsample_and_pad": lambda f: f(x, channels=32, stride=2),
        "subsample_and_pad_grad": lambda f: f(tiny(2, 3, 3, 32), stride=2, **back),
        "matmul": lambda f: f(tiny(3, 4), tiny(4, 5)),
        "softmax_cross_entropy": lambda f: f(logits, LABELS),
        "softmax_cross_entropy_grad": lambda f: f(tiny(2, 2), LABELS),
        "tally": lambda f: f(np.zeros(2), np.asarray(size, dtype), logits, LABELS),
        "sgd_step": lambda f: f(tiny(9), tiny(9), tiny(9), **steps),
        "crop_flip": lambda f: f(pixels, offsets, flips, mean, tiny(3), **cut),
        "epoch_batch": lambda f: f(epoch, np.array(0), mean, tiny(3), batch_size=2, **cut),
        "roi_align": lambda f: f(x, boxes, IMAGES, **regions),
        "roi_align_grad": lambda f: f(bins, boxes, IMAGES, scale=1.0, **back),
        "roi_max_pool": lambda f: f(x, boxes, IMAGES, **regions),
        "roi_max_pool_grad": lambda f: f(bins, winners, IMAGES, **back),
        "nms": lambda f: f(boxes, threshold=0.5),
    }


NAMES = sorted(set(kernels.__all__) - {"report"})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_what_underflows_is_zero(name, dtype, rng):
    """37 kernels x 2 dtypes."""
    with np.errstate(under="ignore"):
        call = calls(dtype, rng)[name]
    with np.errstate(all="raise"):
        call(getattr(kernels, name))


def test_all_kernels_are_called(rng):
    with np.errstate(under="ignore"):
        assert sorted(calls(np.float64, rng)) == NAMES
    assert len(NAMES) == 37


def test_a_mistake_is_still_told():
    with np.errstate(all="raise"), pytest.raises(FloatingPointError, match="overflow"):
        kernels.matmul(np.full((2, 2), 1e300), np.full((2, 2), 1e300))
