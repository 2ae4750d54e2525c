"""The operations of a network: each kernel with its gradient, as one `Function`; see also `fused`.

Operations are called by what they do (`Convolve`), layers by what they are (`Conv2d`). The
functions at the end are what layers call; they take and return tensors. Those of detection stand in
`regions.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Context, Function, Tensor, combining
from ..autograd.accepting import array_of
from ..autograd.function import Array
from ..autograd.more_ops import Rectify
from ..autograd.ops import Gradients
from ..common.expecting import COUNT, as_kind, expects, must_be
from ..from_pytorch import missing_from
from ..kernels import checks
from ..kernels.devices import is_array, move, namespace
from ..kernels.running import Running
from .fused import ConvolveAdd
from .general_convolution import ConvolveGenerally
from .geometry import Size, is_plain, pair
from .regions import logistic_cross_entropy as logistic_cross_entropy
from .regions import roi_align as roi_align
from .regions import roi_max_pool as roi_max_pool
from .regions import smooth_l1 as smooth_l1
from .storing import as_map, as_numbers


class Convolve(Function):
    """Convolution, perhaps with a bias; keeps its input, never the columns."""

    takes_parameters = True

    @staticmethod
    def forward(
        ctx: Context,
        x: Array,
        weight: Array,
        bias: Array | None,
        *,
        algorithm: str = "auto",
        **geometry: int,
    ) -> Array:
        if bias is not None and bias.shape != weight.shape[3:]:
            raise ValueError(
                f"conv2d: bias must have shape {weight.shape[3:]}, but has {bias.shape}"
            )
        if bias is not None and algorithm == "auto":  # the fused kernel adds it in the same pass
            return ConvolveAdd.forward(ctx, x, weight, bias, None, relu=False, **geometry)
        settings: dict[str, Any] = {**geometry, "algorithm": algorithm}
        ctx.save(x=x if ctx.needs_grad[1] else None, weight=weight, geometry=settings)
        y = kernels.conv2d(x, weight, **settings)
        return y if bias is None else y + bias.astype(y.dtype, copy=False)

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Gradients:
        x, weight, geometry = ctx.saved.x, ctx.saved.weight, ctx.saved.geometry
        dx = dweight = None
        if ctx.needs_grad[0]:
            dx = kernels.conv2d_input_grad(grad, weight, x_shape=ctx.shapes[0], **geometry)
        if ctx.needs_grad[1]:
            dweight = kernels.conv2d_weight_grad(grad, x, kernel_size=weight.shape[:2], **geometry)
        dbias = grad.sum((0, 1, 2), dtype=weight.dtype) if ctx.needs_grad[2] else None
        return dx, dweight, dbias


class BatchNormalise(Function):
    """Batch norm by the batch's own statistics, which are also returned."""

    takes_parameters = True

    @staticmethod
    def forward(
        ctx: Context,
        x: Array,
        gamma: Array,
        beta: Array,
        *,
        eps: float,
        running: Running | None,
    ) -> Any:
        y, mean, var = kernels.batch_norm(x, gamma, beta, eps=eps, running=running)
        ctx.save(x=x, gamma=gamma, mean=mean, var=var, eps=eps)
        return y, mean, var

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Gradients:
        # the saved names are the kernel's arguments; no residual wants the fourth gradient
        return kernels.batch_norm_grad(grad, **vars(ctx.saved))[:3]


class BatchNormaliseEval(Function):
    """Batch norm by given statistics, constants to the gradient."""

    takes_parameters = True

    @staticmethod
    def forward(
        ctx: Context, x: Array, gamma: Array, beta: Array, *, mean: Array, var: Array, eps: float
    ) -> Array:
        # copies: the running statistics move on before the backward pass
        ctx.save(x=x, gamma=gamma, mean=mean.copy(), var=var.copy(), eps=eps)
        return kernels.batch_norm_eval(x, gamma, beta, mean, var, eps=eps)

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Gradients:
        return kernels.batch_norm_eval_grad(grad, **vars(ctx.saved))[:3]


class PoolByMax(Function):
    """Largest value of each window."""

    @staticmethod
    def forward(ctx: Context, x: Array, **geometry: int) -> Array:
        y, argmax = kernels.max_pool(x, **geometry)
        ctx.save(argmax=argmax, geometry=geometry)
        return y

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        s = ctx.saved
        return kernels.max_pool_grad(grad, s.argmax, x_shape=ctx.shapes[0], **s.geometry)


class PoolByMean(Function):
    """Mean of each window."""

    @staticmethod
    def forward(ctx: Context, x: Array, **geometry: int) -> Array:
        ctx.save(geometry=geometry)
        return kernels.avg_pool(x, **geometry)

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        return kernels.avg_pool_grad(grad, x_shape=ctx.shapes[0], **ctx.saved.geometry)


class AverageMaps(Function):
    """Mean of each channel's map."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        return kernels.global_avg_pool(x)

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        # means of maps in bfloat16 are float32
        grad = grad.astype(ctx.dtypes[0], copy=False)
        return kernels.global_avg_pool_grad(grad, x_shape=ctx.shapes[0])


class PickAndPad(Function):
    """Shortcut A: every stride-th pixel, then channels of zeros (He et al. 2015, sec. 3.3)."""

    @staticmethod
    def forward(ctx: Context, x: Array, *, channels: int, stride: int) -> Array:
        ctx.save(stride=stride)
        return kernels.subsample_and_pad(x, channels=channels, stride=stride)

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        stride = ctx.saved.stride
        return kernels.subsample_and_pad_grad(grad, x_shape=ctx.shapes[0], stride=stride)


class SoftmaxCrossEntropy(Function):
    """Mean negative log-likelihood of the true classes."""

    @staticmethod
    def forward(ctx: Context, logits: Array, *, labels: Array) -> Array:
        loss, probabilities = kernels.softmax_cross_entropy(logits, labels)
        ctx.save(probabilities=probabilities, labels=labels)
        return loss

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Array:
        s = ctx.saved
        return grad * kernels.softmax_cross_entropy_grad(s.probabilities, s.labels)


CONVOLUTIONS = (Convolve, ConvolveGenerally)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    algorithm: str = "auto",
) -> Tensor:
    """Convolve images (N, H, W, C_in) with a weight (kh, kw, C_in, C_out), and add a bias (C_out,).

    `stride`, `padding` and `dilation`, the distance of the weight's taps, are a number, or rows and
    columns. With `groups` the weight is (kh, kw, C_in / groups, C_out), and each group of outputs
    sees its own group of inputs. These run on any device, but not as fast as a plain convolution.
    `algorithm` is "auto", or one to compare: "im2col", "direct" or "winograd" (`kernels.conv2d`).
    """
    strides, paddings = pair("conv2d: stride", stride, least=1), pair("conv2d: padding", padding)
    dilations = pair("conv2d: dilation", dilation, least=1)
    groups = as_kind(COUNT, groups, "conv2d: groups")
    if is_plain(strides, paddings, dilations, groups):
        geometry = {"stride": strides[0], "padding": paddings[0]}
        return Convolve.apply(as_map(x), weight, bias, **geometry, algorithm=algorithm)
    if algorithm != "auto":
        raise ValueError(f"conv2d: the algorithm {algorithm!r} is for plain convolutions alone")
    settings = {"stride": strides, "padding": paddings, "dilation": dilations, "groups": groups}
    return ConvolveGenerally.apply(as_map(x), weight, bias, **settings)


def batch_norm(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    *,
    eps: float = 1e-5,
    running: Running | None = None,
) -> tuple[Tensor, Array, Array]:
    """Normalise by the batch: the result, its mean and its biased variance per channel.

    `running` statistics, if given, move towards them.
    """
    must_be(float, eps, "batch_norm: eps")
    return BatchNormalise.apply(x, gamma, beta, eps=eps, running=running)


def batch_norm_eval(
    x: Tensor, gamma: Tensor, beta: Tensor, *, mean: Array, var: Array, eps: float = 1e-5
) -> Tensor:
    """Normalise by given statistics."""
    must_be(float, eps, "batch_norm_eval: eps")
    if not (is_array(mean) and is_array(var)):
        raise TypeError("batch_norm_eval: mean and var must be arrays: np.asarray(...) makes one")
    return BatchNormaliseEval.apply(x, gamma, beta, mean=mean, var=var, eps=eps)


def relu(x: Tensor) -> Tensor:
    """max(x, 0); the gradient at 0 is 0."""
    return Rectify.apply(x)


@expects(size=COUNT)
def max_pool(
    x: Tensor, *, size: int, stride: int | None = None, padding: int = 0, ceil: bool = False
) -> Tensor:
    """Largest value of every size x size window; stride defaults to size.

    With `ceil`, rows and columns left over at the end get a window of their own, if it begins
    within the image or the padding before it.
    """
    stride = size if stride is None else stride
    if ceil:
        rows, columns = (left_over(length, size, stride, padding) for length in x.shape[1:3])
        if rows or columns:
            x = combining.pad(x, ((0, 0), (0, rows), (0, columns), (0, 0)), -np.inf)
    return PoolByMax.apply(x, size=size, stride=stride, padding=padding)


def left_over(length: int, size: int, stride: int, padding: int) -> int:
    """What an axis lacks for one more window over its last elements; 0 if none are left over."""
    rest = (length + 2 * padding - size) % stride
    begins = length + 2 * padding - size - rest + stride  # of that window, in the padded axis
    return stride - rest if rest and begins < length + padding else 0


@expects(size=COUNT)
def avg_pool(x: Tensor, *, size: int, stride: int | None = None, padding: int = 0) -> Tensor:
    """Mean of every size x size window, padding counted as zeros; stride defaults to size."""
    return PoolByMean.apply(
        x, size=size, stride=size if stride is None else stride, padding=padding
    )


def global_avg_pool(x: Tensor) -> Tensor:
    """Mean of each channel's map: (N, H, W, C) -> (N, C)."""
    return AverageMaps.apply(x)


@expects(channels=COUNT, stride=COUNT)
def subsample_and_pad(x: Tensor, *, channels: int, stride: int) -> Tensor:
    """The shortcut without parameters where the map shrinks and channels are added."""
    return PickAndPad.apply(x, channels=channels, stride=stride)


@expects(axis=int)
def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Logarithms of probabilities from logits along an axis; large ones do not overflow."""
    must_be(Tensor, x, "softmax: x")
    x = x - x.detach().max(axis, keepdims=True)
    return x - x.exp().sum(axis, keepdims=True).log()


@expects(axis=int)
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Probabilities from logits along an axis."""
    return log_softmax(x, axis).exp()


@expects(label_smoothing=float)
def cross_entropy(
    logits: Tensor,
    labels: Array,
    *,
    weight: Array | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Mean loss of a batch, in nats: logits (N, K), labels (N,) whole numbers, a plain array.

    Labels may also be probabilities (N, K), such as `mixup` makes. `weight` (K,) is that of each
    class; with labels the mean is then a weighted one, with probabilities it is over N, as in
    PyTorch. `label_smoothing` is the share of the truth that all classes have alike (Szegedy et al.
    2015, sec. 7). Arrays that are on the host are copied to where the logits are.

    Raises: ValueError or TypeError for other shapes, kinds, or a share that is none.
    """
    must_be(Tensor, logits, "cross_entropy: logits")
    if isinstance(labels, Tensor):
        raise TypeError("labels are a plain array of whole numbers, np.array(labels), not a Tensor")
    labels, logits = as_plain(labels, logits), as_numbers(logits)
    if weight is None and label_smoothing == 0 and labels.ndim != 2:
        return SoftmaxCrossEntropy.apply(logits, labels=labels)
    shares = shares_of(logits, labels, weight, label_smoothing)
    return -(log_softmax(logits) * Tensor(shares)).sum()


def as_plain(values: Any, like: Tensor) -> Array:
    """Numbers as an array on the device of a tensor."""
    return move(values if is_array(values) else array_of(values), like.device)


def shares_of(logits: Tensor, labels: Array, weight: Any, smoothing: float) -> Array:
    """(N, K): what each negative log-probability counts in the loss."""
    if not 0 <= smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must be 0 to 1, but is {smoothing}")
    classes = logits.shape[-1]
    if labels.ndim == 2:
        truth = probabilities_like(logits, labels)
    else:
        checks.labels(logits.data, labels)
        hot = labels[:, None] == namespace(labels).arange(classes)
        truth = hot.astype(logits.dtype) / hot.sum(1, keepdims=True)  # no class at all: NaN
    weights = as_plain(1.0 if weight is None else weight, logits)
    if weights.shape not in ((), (classes,)) or weights.dtype.kind not in "fiu":
        raise ValueError(
            f"cross_entropy: weight must be a number for each of the {classes} classes, but has "
            f"shape {weights.shape} of {weights.dtype}"
        )
    weights = weights.astype(logits.dtype, copy=False)
    smooth = truth * (1 - smoothing) + smoothing / classes
    total = len(labels) if labels.ndim == 2 else (truth * weights).sum()
    return (smooth * weights / total).astype(logits.dtype, copy=False)


def probabilities_like(logits: Tensor, labels: Array) -> Array:
    """Probabilities as the truth, in the dtype of the logits."""
    if labels.shape != logits.shape or labels.dtype.kind != "f":
        raise ValueError(
            f"cross_entropy: probabilities must be floating-point numbers {logits.shape} like the "
            f"logits, but are {labels.dtype} {labels.shape}"
        )
    if not len(labels):
        raise ValueError("cross_entropy: the batch is empty")
    return labels.astype(logits.dtype, copy=False)


__getattr__ = missing_from("minires.nn.functional")
