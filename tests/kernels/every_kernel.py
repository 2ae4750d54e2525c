"""Run every CPU kernel on fixed numbers and print a hash of all results' bits.

Started as a program, with the number of threads in NUMBA_NUM_THREADS; with `bfloat16` behind it,
only those of maps in bfloat16.
"""

import hashlib
import sys

import numpy as np
from minires.kernels import cpu
from minires.kernels.dtypes import bfloat16
from minires.kernels.records import ConvNorm


def convolutions(rng, dtype=np.float32):
    for shape, filters, kernel, stride in (
        ((40, 16, 16, 16), 16, 3, 1),
        ((9, 17, 15, 13), 24, 3, 1),
        ((20, 16, 16, 16), 32, 3, 2),
        ((20, 16, 16, 3), 16, 3, 1),
        ((20, 16, 16, 24), 32, 1, 2),
    ):
        x = rng.standard_normal(shape, np.float32).astype(dtype)
        weight = rng.standard_normal((kernel, kernel, shape[3], filters), np.float32)
        settings = {"stride": stride, "padding": kernel // 2}
        y = cpu.conv2d(x, weight, **settings)
        yield y
        yield cpu.conv2d_input_grad(y, weight, x_shape=shape, **settings)
        yield cpu.conv2d_weight_grad(y, x, kernel_size=(kernel, kernel), **settings)


def fused(rng, shape, dtype=np.float32):
    """A block, and a convolution with stride, forward and backward."""
    x, dy = rng.standard_normal((2, *shape), np.float32).astype(dtype)
    weights = rng.standard_normal((2, 3, 3, shape[3], shape[3]), np.float32)
    gamma, beta = rng.standard_normal((2, shape[3]), np.float32)
    first, strided = (ConvNorm(weights[0], gamma, beta, 1e-5, stride, 1) for stride in (1, 2))
    second = ConvNorm(weights[1], beta, gamma, 1e-5, padding=1)
    for skip in (True, False):
        y, saved = cpu.basic_block(x, first, second, skip=skip)
        yield from (y, *saved[0][:3], *saved[1][:3])
        yield from cpu.basic_block_grad(dy, x, first, second, saved, skip=skip)
        y, saved = cpu.basic_block(x, strided, second, skip=skip)
        yield from (y, *saved[0][:3], *saved[1][:3])
        yield from cpu.basic_block_grad(y, x, strided, second, saved, skip=skip)
    y, saved = cpu.conv2d_batch_norm(x, strided, relu=True)
    yield from (y, *saved[:3])
    yield from cpu.conv2d_batch_norm_grad(y, x, strided, saved)
    z, mean, var = saved[:3]
    yield cpu.conv2d_batch_norm_eval(x, strided, mean, var, residual=z, relu=True)


def regions(rng):
    """Regions that overlap, on two images, with more channels than a chunk has."""
    x = rng.standard_normal((2, 17, 15, 150), np.float32)
    boxes = (rng.random((40, 4), np.float32) * 150).astype(np.float32)
    boxes[:, 2:] += boxes[:, :2]
    images, settings = rng.integers(0, 2, 40), {"size": (7, 7), "scale": 1 / 16}
    yield (y := cpu.roi_align(x, boxes, images, **settings))
    yield cpu.roi_align_grad(y, boxes, images, x_shape=x.shape, scale=1 / 16)
    y, argmax = cpu.roi_max_pool(x, boxes, images, **settings)
    yield from (y, argmax)
    yield cpu.roi_max_pool_grad(y, argmax, images, x_shape=x.shape)
    yield cpu.nms(boxes, threshold=0.3)


def others(rng):
    x, dy = rng.standard_normal((2, 30, 32, 32, 21), np.float32)
    gamma, beta = rng.standard_normal((2, 21), np.float32)
    y, mean, var = cpu.batch_norm(x, gamma, beta, eps=1e-5, residual=dy, relu=True)
    yield from (y, mean, var)
    yield from cpu.batch_norm_grad(dy, x, gamma, mean, var, eps=1e-5, y=y)
    yield from cpu.batch_norm_eval_grad(dy, x, gamma, mean, var, eps=1e-5, y=y)
    yield cpu.relu(x)
    yield cpu.relu_grad(dy, x)
    pool = {"size": 3, "stride": 2, "padding": 1}
    y, argmax = cpu.max_pool(x, **pool)
    yield y
    yield cpu.max_pool_grad(y, argmax, x_shape=x.shape, **pool)
    yield cpu.avg_pool(x, **pool)
    yield cpu.avg_pool_grad(y, x_shape=x.shape, **pool)
    y = cpu.subsample_and_pad(x, channels=40, stride=3)
    yield y
    yield cpu.subsample_and_pad_grad(y, x_shape=x.shape, stride=3)
    yield from cpu.softmax_cross_entropy(x.reshape(-1, 21), np.arange(x.size // 21) % 21)
    cpu.sgd_step(x, dy, y := x.copy(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    yield from (x, y)
    yield from regions(rng)
    yield from fused(rng, (40, 16, 16, 16))
    yield from fused(rng, (9, 17, 15, 13))
    columns = cpu.im2col(dy, kernel_size=(3, 3), padding=1)
    yield columns
    yield cpu.col2im(columns, x_shape=dy.shape, kernel_size=(3, 3), padding=1)


def maps_in_bfloat16(rng):
    yield from convolutions(rng, bfloat16())
    yield from fused(rng, (40, 16, 16, 16), bfloat16())
    yield from fused(rng, (9, 17, 15, 13), bfloat16())


if __name__ == "__main__":
    digest = hashlib.sha256()
    generator = np.random.default_rng(0)
    parts = (convolutions, others, maps_in_bfloat16)
    for part in parts[2:] if sys.argv[1:] == ["bfloat16"] else parts:
        for result in part(generator):
            digest.update(result.tobytes())
    print(digest.hexdigest())
