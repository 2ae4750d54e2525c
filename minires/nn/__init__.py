"""Layers, residual blocks, and the operations that they are made of."""

from . import functional
from .blocks import (
    SHORTCUTS,
    BasicBlock,
    Bottleneck,
    Identity,
    Projection,
    Shortcut,
    SubsampleAndPad,
    make_shortcut,
    make_stage,
)
from .init import he_normal
from .layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    GlobalAvgPool,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
)
from .module import HookHandle, Module, Parameter
from .summary import Summary, summary

__all__ = [
    "SHORTCUTS",
    "AvgPool2d",
    "BasicBlock",
    "BatchNorm2d",
    "Bottleneck",
    "Conv2d",
    "Flatten",
    "GlobalAvgPool",
    "HookHandle",
    "Identity",
    "Linear",
    "MaxPool2d",
    "Module",
    "Parameter",
    "Projection",
    "ReLU",
    "Sequential",
    "Shortcut",
    "SubsampleAndPad",
    "Summary",
    "functional",
    "he_normal",
    "make_shortcut",
    "make_stage",
    "summary",
]
