"""What is checked, exercise by exercise, in the order in which they are meant to be done."""

from __future__ import annotations

import importlib

from ..task import Exercise

NAMES = (
    "relu",
    "add",
    "linear",
    "softmax_cross_entropy",
    "im2col",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "batch_norm",
    "batch_norm_grad",
    "max_pool",
    "global_avg_pool",
    "residual_block",
    "sgd",
    "plain_or_residual",
    "moments",
    "iou",
    "box_coding",
    "nms",
    "roi_align",
    "average_precision",
)


def exercise(name: str) -> Exercise:
    """The exercise of that name."""
    return importlib.import_module(f".{name}", __package__).EXERCISE
