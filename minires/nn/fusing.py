"""Which layers run as one operation: the switch, the guards, and the hand-over to `fused`.

Batch norm, ReLU and addition compute little, but each reads and writes whole maps. So a convolution
runs as one operation with what follows it, and a block of two convolutions may run whole. The
results are those of the layers, one after the other, to rounding.

They do so only where each layer is just what its name says, and where no hook wants to see what
comes between. One hook within a block, or on a layer of a `Sequential`, makes all of its layers run
one by one: hooks then see what they see with `fusing(False)`. (A projection is a `Sequential`: it
decides for itself.) Each forward pass looks anew, so it finds what was exchanged, watched, frozen
or put into evaluation since. Nothing depends on this module but speed and memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from ..autograd import Tensor
from ..kernels.checks import output_shape
from .fused import ConvolveAdd, ConvolveNormalise, ConvolveNormaliseEval, RunBasicBlock
from .layers import BatchNorm2d, Conv2d, Identity, ReLU, SubsampleAndPad
from .module import Module
from .storing import as_map

VARIABLE = "MINIRES_FUSING"
Layers = Iterable[Callable[[Tensor], Tensor]]


def asked_for() -> bool:
    """Whether the environment lets layers run as one: yes, unless MINIRES_FUSING=0 is set."""
    value = os.environ.get(VARIABLE, "1")
    if value not in ("0", "1"):
        raise ValueError(f"{VARIABLE} must be 0 (each layer for itself) or 1, but is {value!r}")
    return value == "1"


BY_DEFAULT = asked_for()
_on: ContextVar[bool] = ContextVar("fusing", default=BY_DEFAULT)


@contextmanager
def fusing(on: bool) -> Iterator[None]:
    """Within `with fusing(False):` each layer runs for itself, the same to rounding but slower.

    Blocks may be nested; at the end of each, what was in force before is in force again. Where the
    environment variable MINIRES_FUSING=0 is set, layers run as one only within `fusing(True)`.
    """
    token = _on.set(on)
    try:
        yield
    finally:
        _on.reset(token)


def is_on() -> bool:
    """Whether layers may run as one here."""
    return _on.get()


# ----------------------------------------------------------------------------------- the guards


def is_just(layer: Any, *kinds: type[Module]) -> bool:
    """Whether a layer is of one of these kinds, computes what they compute, and nobody watches."""
    return type(layer) in kinds and not layer.is_watched and "forward" not in vars(layer)


def is_plain(layer: Any) -> bool:
    """Whether a layer is just a convolution that the kernels know."""
    return is_just(layer, Conv2d) and layer.is_plain


def may_follow(norm: Module, conv: Conv2d) -> bool:
    """Whether it is a batch norm for a convolution without a bias, or what folding leaves of it."""
    return is_just(norm, Identity) or (is_just(norm, BatchNorm2d) and conv.bias is None)


def is_as_built(block: Any) -> bool:
    """Whether a residual block's layers are what they were made as, and nobody watches within it.

    Its shortcut may be anything: it runs for itself, or `is_one_operation` looks at it.
    """
    return (
        _on.get()
        and is_just(block.relu, ReLU)
        and all(is_plain(conv) and may_follow(norm, conv) for conv, norm in branch(block))
        and not is_watched_within(block.downsample)
    )


def is_watched_within(module: Module | None) -> bool:
    """Whether a hook watches a block or a shortcut, or a layer of it."""
    return module is not None and any(part.is_watched for _, part in module.named_modules())


def branch(block: Any) -> list[tuple[Any, Any]]:
    """The convolutions of a residual block's branch, each with its batch norm: conv1, bn1, ..."""
    parts = vars(block)["_children"]
    return [(parts[f"conv{i + 1}"], parts[f"bn{i + 1}"]) for i in range(block.convolutions)]


def is_one_operation(block: Any) -> bool:
    """Whether a block that is as built may run whole.

    That is two 3x3 convolutions to as many channels, with batch norm in training, and shortcut A or
    none.
    """
    (conv1, bn1), (conv2, bn2), *more = branch(block)
    return (
        not more
        and is_3x3(conv1)
        and is_3x3(conv2)
        and conv2.stride == 1
        and conv2.weight.shape[2] == conv2.weight.shape[3]
        and all(type(norm) is BatchNorm2d and norm.training for norm in (bn1, bn2))
        and bn1.eps == bn2.eps
        and (block.downsample is None or is_shortcut_a(block.downsample, conv1))
    )


def is_3x3(conv: Conv2d) -> bool:
    """Whether a convolution is 3 x 3 and keeps the size, but for its stride."""
    return conv.weight.shape[:2] == (3, 3) and conv.padding == 1


def is_shortcut_a(shortcut: Any, conv: Conv2d) -> bool:
    """Whether a shortcut is option A's for a branch that begins with this convolution."""
    in_channels, channels = conv.weight.shape[2:]
    if conv.stride == 1 and in_channels == channels:
        return is_just(shortcut, Identity)
    fits = is_just(shortcut, SubsampleAndPad)
    return fits and (shortcut.stride, shortcut.channels) == (conv.stride, channels)


# -------------------------------------------------------------------------------- the hand-over


def joined(*layers: Module) -> Layers:
    """The same layers, with each convolution joined to the batch norm and ReLU that follow it.

    As they are where fusing is off or a hook watches one of them.
    """
    if not _on.get() or any(layer.is_watched for layer in layers):
        return layers
    result: list[Callable[[Tensor], Tensor]] = []
    rest: list[Any] = list(reversed(layers))
    while rest:
        layer, norm, relu = rest.pop(), None, None
        if is_plain(layer):
            norm = rest.pop() if rest and may_follow(rest[-1], layer) else None
            relu = rest.pop() if rest and is_just(rest[-1], ReLU) else None
        alone = norm is None and relu is None
        result.append(layer if alone else partial(convolve, layer, norm, relu=relu is not None))
    return result


def residual_block(block: Any, x: Tensor) -> Tensor:
    """A residual block that is as built: whole, or each convolution with all that follows it."""
    x = as_map(x)  # for the shortcut, too
    if is_one_operation(block):
        return whole(block, x)
    *before, (conv, norm) = branch(block)
    y = x
    for pair in before:
        y = convolve(*pair, y, relu=True)
    shortcut = None if block.downsample is None else block.downsample(x)
    if shortcut is None or is_map_of(shortcut, conv, y):
        return convolve(conv, norm, y, shortcut, relu=True)
    return block.relu(convolve(conv, norm, y, relu=False) + shortcut)


def is_map_of(shortcut: Tensor, conv: Conv2d, x: Tensor) -> bool:
    """Whether a shortcut's result is a map like conv(x), as one's own shortcut need not be."""
    size = output_shape(x.shape, conv.weight.shape[:2], conv.stride, conv.padding)
    same_shape = shortcut.shape == (len(x), *size, conv.weight.shape[3])
    return same_shape and shortcut.data.flags.c_contiguous


def whole(block: Any, x: Tensor) -> Tensor:
    """A block as one operation: the map between its convolutions is never in memory."""
    (conv1, bn1), (conv2, bn2) = branch(block)
    first, second = (conv1.weight, bn1.weight, bn1.bias), (conv2.weight, bn2.weight, bn2.bias)
    settings: dict[str, Any] = {"stride": conv1.stride, "skip": block.downsample is not None}
    settings |= {"eps": bn1.eps, "running": (bn1.running, bn2.running)}
    y, *_ = RunBasicBlock.apply(x, *first, *second, **settings)
    return y


def convolve(
    conv: Conv2d,
    norm: BatchNorm2d | Identity | None,
    x: Tensor,
    shortcut: Tensor | None = None,
    *,
    relu: bool,
) -> Tensor:
    """relu(norm(conv(x)) + shortcut), or parts of it, as one operation."""
    x = as_map(x)
    settings: dict[str, Any] = {"stride": conv.stride, "padding": conv.padding, "relu": relu}
    if not isinstance(norm, BatchNorm2d):
        return ConvolveAdd.apply(x, conv.weight, conv.bias, shortcut, **settings)
    arrays = x, conv.weight, norm.weight, norm.bias, shortcut
    settings["eps"] = norm.eps
    if not norm.training:
        mean, var = norm.running_mean, norm.running_var
        return ConvolveNormaliseEval.apply(*arrays, mean=mean, var=var, **settings)
    y, *_ = ConvolveNormalise.apply(*arrays, running=norm.running, **settings)
    return y
