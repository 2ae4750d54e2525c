"""Batch norm made part of the convolution in front of it, for inference.

In evaluation batch norm multiplies each channel by a number and adds another one. The convolution
can do both itself: its weights times the first number, and a bias.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator

import numpy as np

from ..autograd import Tensor, no_grad
from ..autograd.trace import Step, trace
from ..common.expecting import expects
from . import functional as F
from .fusing import fusing
from .layers import BatchNorm2d, Conv2d, Identity
from .module import Module, Parameter

Pair = tuple[Conv2d, BatchNorm2d]


@expects(model=Module)
def fold_batch_norm(model: Module, input_shape: tuple[int, int, int] = (64, 64, 3)) -> Module:
    """A copy of the network, in evaluation mode, with batch norm folded into convolutions.

    An image of zeros (H, W, C) runs through the network to find each batch norm that a convolution
    and nothing else leads to; in its place there is an Identity afterwards. Others stay, such as
    the first of a pre-activation block. The results are those of the network in evaluation, up to
    rounding. The network itself is left as it is.

    The copy's weights are read-only: they are constants, which the CPU's kernels bring into their
    own order once and not at every call. That takes up to four times the weights' memory.
    """
    folded = copy.deepcopy(model).eval()
    first = folded.parameters()[0]
    with no_grad(), fusing(False), trace() as steps:
        folded(Tensor(np.zeros((1, *input_shape), first.dtype)).to(first.device))
    for conv, norm in pairs(folded, steps):
        merge(conv, norm)
        replace(folded, norm)
    make_constant(folded)
    return folded


def pairs(model: Module, steps: list[Step]) -> Iterator[Pair]:
    """Every convolution whose only use is as the input of a batch norm, with that batch norm."""
    owner = {id(p): module for _, module in model.named_modules() for p in own_parameters(module)}
    uses = Counter(id(tensor) for step in steps for tensor in step.inputs)
    made_by = {id(step.output): step for step in steps}
    for step in steps:
        made = made_by.get(id(step.inputs[0]))
        if step.function is F.BatchNormaliseEval and made and made.function in F.CONVOLUTIONS:
            read = made.inputs[1], step.inputs[0], step.inputs[1]  # weight, the map between, gamma
            conv, norm = owner.get(id(read[0])), owner.get(id(read[2]))
            once = all(uses[id(tensor)] == 1 for tensor in read)
            if once and isinstance(conv, Conv2d) and isinstance(norm, BatchNorm2d):
                yield conv, norm


def own_parameters(module: Module) -> Iterator[Parameter]:
    """The parameters of this module without its children's."""
    return (parameter for name, parameter in module.named_parameters() if "." not in name)


def merge(conv: Conv2d, norm: BatchNorm2d) -> None:
    """Let the convolution do what the batch norm does, computed in float64."""
    dtype = conv.weight.dtype
    mean, var = (a.astype(np.float64) for a in (norm.running_mean, norm.running_var))
    scale = norm.weight.data / np.sqrt(var + norm.eps)
    bias = 0.0 if conv.bias is None else conv.bias.data
    conv.bias = Parameter(((bias - mean) * scale + norm.bias.data).astype(dtype))
    conv.weight[...] = (conv.weight.data * scale).astype(dtype)


def make_constant(model: Module) -> None:
    """Let nobody write into the convolutions' weights, by laying them into bytes objects.

    CuPy's arrays can't be protected.
    """
    for _, module in model.named_modules():
        if isinstance(module, Conv2d) and module.weight.device == "cpu":
            weight = module.weight.data
            module.weight.data = np.ndarray(weight.shape, weight.dtype, weight.tobytes())


def replace(model: Module, norm: BatchNorm2d) -> None:
    """Put an Identity where the batch norm was."""
    for _, module in model.named_modules():
        for name, child in module.named_children():
            if child is norm:
                setattr(module, name, Identity())
                return
