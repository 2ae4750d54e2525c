"""Layers, residual blocks, and the operations that they are made of."""

from ..autograd import HookHandle
from ..from_pytorch import missing_from
from . import functional
from .averaging import WeightAverage
from .blocks import (
    SHORTCUTS,
    BasicBlock,
    Bottleneck,
    Projection,
    Shortcut,
    make_shortcut,
    make_stage,
)
from .folding import fold_batch_norm
from .init import he_normal
from .layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Identity,
    Linear,
    MaxPool2d,
    ModuleList,
    PReLU,
    ReLU,
    SubsampleAndPad,
    SubsampleAndPadBothSides,
)
from .modes import evaluating, keeping_modes
from .module import Module, Parameter
from .preactivation import PreActBasicBlock, PreActBottleneck
from .sequential import Sequential
from .summary import Summary, summary

__all__ = [
    "SHORTCUTS",
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BasicBlock",
    "BatchNorm2d",
    "Bottleneck",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "GlobalAvgPool",
    "HookHandle",
    "Identity",
    "Linear",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "PReLU",
    "Parameter",
    "PreActBasicBlock",
    "PreActBottleneck",
    "Projection",
    "ReLU",
    "Sequential",
    "Shortcut",
    "SubsampleAndPad",
    "SubsampleAndPadBothSides",
    "Summary",
    "WeightAverage",
    "evaluating",
    "fold_batch_norm",
    "functional",
    "he_normal",
    "keeping_modes",
    "make_shortcut",
    "make_stage",
    "summary",
]

__getattr__ = missing_from("minires.nn")
