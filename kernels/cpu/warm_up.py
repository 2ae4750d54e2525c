"""Compile before work begins, so that a progress bar does not stand still at its start."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..checks import ALGORITHMS
from ..dtypes import bfloat16
from ..precision import current
from ..records import ConvNorm
from . import by_dtype
from .augment import crop_flip
from .batch_norm import batch_norm, batch_norm_grad
from .elementwise import relu, relu_grad, sgd_step
from .fused import basic_block, basic_block_grad
from .loss import softmax_cross_entropy
from .matmul import matmul
from .per_channel import update_running_statistics
from .pooling import avg_pool, avg_pool_grad
from .shortcut import subsample_and_pad, subsample_and_pad_grad


def warm_up() -> None:
    """Run the kernels that training a CIFAR ResNet needs, on tiny arrays.

    Each is compiled at its first call (under a minute in all), or read from disk (half a second).
    """
    images = np.ones((2, 8, 8, 16), np.float32)
    x = images.astype(bfloat16()) if current() == "bfloat16" else images
    weight, per_channel = np.ones((3, 3, 16, 16), np.float32), np.ones(16, np.float32)
    for algorithm in ALGORITHMS[1:]:
        settings: dict[str, Any] = {"padding": 1, "algorithm": algorithm}
        by_dtype.conv2d(x, weight, **settings)
        by_dtype.conv2d_input_grad(x, weight, x_shape=x.shape, **settings)
        by_dtype.conv2d_weight_grad(x, x, kernel_size=(3, 3), **settings)
    half = x[:, :4, :4].copy()  # a gradient with a stride runs other code
    by_dtype.conv2d_input_grad(half, weight, x_shape=x.shape, stride=2, padding=1)
    y, mean, var = batch_norm(x, per_channel, per_channel, eps=1.0)
    update_running_statistics(mean, var, mean, var, momentum=0.1, count=2)
    batch_norm_grad(relu_grad(y, relu(x)), x, per_channel, mean, var, eps=1.0)
    pooled = avg_pool(x, size=8, stride=8)
    avg_pool_grad(pooled.astype(x.dtype), x_shape=x.shape, size=8, stride=8)
    subsample_and_pad_grad(subsample_and_pad(x, channels=32, stride=2), x_shape=x.shape, stride=2)
    softmax_cross_entropy(pooled.reshape(2, 16), np.zeros(2, np.int64))
    sgd_step(weight, weight.copy(), weight.copy(), lr=0.1, momentum=0.9, weight_decay=0.0)
    offsets, flips = np.zeros((2, 2), np.int64), np.zeros(2, np.bool_)
    crop_flip(images.astype(np.uint8), offsets, flips, images[0], per_channel, padding=0)
    if x is not images:
        logits = matmul(pooled.reshape(2, 16), per_channel[:, None])  # in float32, as ever
        matmul(logits, per_channel[None]), matmul(pooled.reshape(2, 16).T, logits)
        layer = ConvNorm(weight, per_channel, per_channel, 1.0, padding=1)
        y, saved = basic_block(x, layer, layer, skip=True)
        basic_block_grad(y, x, layer, layer, saved, skip=True)
