"""The kernels' contract: arrays in, arrays out, no tensor and no graph.

Every name below is stated once, here, in `maps.py` (activation, pooling, shortcut A, product) or in
`training.py` (loss, step, augmentation): its arguments, shapes and results. Three modules implement
it, with the same names and arguments:

- `reference`: plain NumPy, any float dtype. Slow, obviously right, the text to read.
- `cpu`: Numba, float32. What training uses.
- `cuda`: CUDA C through CuPy, float32 and float64, for arrays of CuPy's.

A call is checked here, so that a wrong shape is met with a sentence. Arrays of CuPy's go to `cuda`;
NumPy's to `cpu` where all are float32 and Numba is installed, otherwise to `reference`. The
environment variable `MINIRES_KERNELS=reference` sends all of NumPy's to the reference.

Conventions: activations are `(N, H, W, C)`, weights `(kh, kw, C_in, C_out)`, both C-contiguous.
`stride` and `padding` are whole numbers and hold for both axes; padding adds zeros. An output has
`(H + 2 * padding - kh) // stride + 1` rows: rows of the input left over are not read. All arrays
of a call share one dtype. Nothing is written but fresh results, except where the text says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import checks
from .dispatch import implementation_for, report
from .handover import Handover
from .maps import (
    avg_pool,
    avg_pool_grad,
    global_avg_pool,
    global_avg_pool_grad,
    matmul,
    max_pool,
    max_pool_grad,
    relu,
    relu_grad,
    subsample_and_pad,
    subsample_and_pad_grad,
)
from .running import Running
from .training import (
    crop_flip,
    epoch_batch,
    sgd_step,
    softmax_cross_entropy,
    softmax_cross_entropy_grad,
    tally,
    update_running_statistics,
)

Array = npt.NDArray[np.floating]
Homes = tuple[Array | None, ...]

__all__ = [
    "avg_pool",
    "avg_pool_grad",
    "basic_block",
    "basic_block_grad",
    "batch_norm",
    "batch_norm_eval",
    "batch_norm_eval_grad",
    "batch_norm_grad",
    "col2im",
    "conv2d",
    "conv2d_batch_norm",
    "conv2d_batch_norm_eval",
    "conv2d_batch_norm_grad",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "crop_flip",
    "epoch_batch",
    "global_avg_pool",
    "global_avg_pool_grad",
    "im2col",
    "matmul",
    "max_pool",
    "max_pool_grad",
    "relu",
    "relu_grad",
    "report",
    "sgd_step",
    "softmax_cross_entropy",
    "softmax_cross_entropy_grad",
    "subsample_and_pad",
    "subsample_and_pad_grad",
    "tally",
    "update_running_statistics",
]


# ---------------------------------------------------------------------------- convolution


def im2col(x: Array, *, kernel_size: tuple[int, int], stride: int = 1, padding: int = 0) -> Array:
    """Copy the window under every output pixel into a row: (N, H, W, C) -> (N, OH, OW, kh*kw*C).

    Within a row the order is (kernel row, kernel column, channel), as in a weight, so that a
    convolution is `im2col(x) @ weight.reshape(kh*kw*C_in, C_out)`.
    """
    checks.window("im2col", x, kernel_size, stride, padding)
    return implementation_for(x).im2col(x, kernel_size=kernel_size, stride=stride, padding=padding)


def col2im(
    columns: Array,
    *,
    x_shape: tuple[int, int, int, int],
    kernel_size: tuple[int, int],
    stride: int = 1,
    padding: int = 0,
) -> Array:
    """Add every window back to where `im2col` took it from; the transpose of `im2col`."""
    checks.columns("col2im", columns, x_shape, kernel_size, stride, padding)
    return implementation_for(columns).col2im(
        columns, x_shape=x_shape, kernel_size=kernel_size, stride=stride, padding=padding
    )


def conv2d(
    x: Array, weight: Array, *, stride: int = 1, padding: int = 0, algorithm: str = "auto"
) -> Array:
    """Slide `weight` (kh, kw, C_in, C_out) over `x` (N, H, W, C_in): (N, OH, OW, C_out).

    A cross-correlation, as everywhere in deep learning: the kernel is not flipped.

    `algorithm`, here and for the gradients, is "auto" (the fastest, as measured) or one to compare:
    "im2col" (a matrix product of windows made in cache), "direct" (the product reads the images;
    an input gradient with a stride goes by columns all the same), "winograd" (a quarter of the
    multiplications; 3 x 3 at stride 1 only). They differ by rounding. The reference has im2col
    alone, whatever the name.
    """
    checks.convolution("conv2d", x, weight, stride, padding, algorithm)
    return implementation_for(x, weight).conv2d(
        x, weight, stride=stride, padding=padding, algorithm=algorithm
    )


def conv2d_input_grad(
    dy: Array,
    weight: Array,
    *,
    x_shape: tuple[int, int, int, int],
    stride: int = 1,
    padding: int = 0,
    algorithm: str = "auto",
) -> Array:
    """Gradient of `conv2d` with respect to `x`, of shape `x_shape`, for dy (N, OH, OW, C_out)."""
    geometry = (weight.shape, stride, padding, algorithm)
    checks.convolution_grad("conv2d_input_grad", dy, x_shape, *geometry, weight=weight)
    return implementation_for(dy, weight).conv2d_input_grad(
        dy, weight, x_shape=x_shape, stride=stride, padding=padding, algorithm=algorithm
    )


def conv2d_weight_grad(
    dy: Array,
    x: Array,
    *,
    kernel_size: tuple[int, int],
    stride: int = 1,
    padding: int = 0,
    algorithm: str = "auto",
) -> Array:
    """Gradient of `conv2d` with respect to `weight`, (kh, kw, C_in, C_out), summed over images."""
    geometry = ((*kernel_size, x.shape[-1], dy.shape[-1]), stride, padding, algorithm)
    checks.convolution_grad("conv2d_weight_grad", dy, x.shape, *geometry, x=x)
    return implementation_for(dy, x).conv2d_weight_grad(
        dy, x, kernel_size=kernel_size, stride=stride, padding=padding, algorithm=algorithm
    )


# --------------------------------------------------------------------- batch normalisation


def batch_norm(
    x: Array,
    gamma: Array,
    beta: Array,
    *,
    eps: float,
    residual: Array | None = None,
    relu: bool = False,
    running: Running | None = None,
) -> tuple[Array, Array, Array]:
    """Normalise every channel of `x` (N, H, W, C) by the batch's own mean and variance.

    Returns `(y, mean, var)`: y = (x - mean) / sqrt(var + eps) * gamma + beta, and the mean and
    the *biased* variance, each (C,). With `residual` (as x) that is added to y; with `relu` the
    sum is then cut off at zero: the end of a residual block in one pass over memory. `running`
    statistics, if given, move towards the batch's. Ioffe & Szegedy 2015, algorithm 1.
    """
    checks.batch_norm("batch_norm", x, gamma, beta, residual=residual)
    checks.several_values("batch_norm", x.shape)
    checks.running("batch_norm", gamma, running)
    return implementation_for(x, gamma, beta, residual).batch_norm(
        x, gamma, beta, eps=eps, residual=residual, relu=relu, running=running
    )


def batch_norm_grad(
    dy: Array,
    x: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    *,
    eps: float,
    y: Array | None = None,
) -> tuple[Array, Array, Array, Array]:
    """Gradients of `batch_norm`: `(dx, dgamma, dbeta, dresidual)`.

    `mean` and `var` are those that the forward pass returned: gradients flow through both. `y` is
    the forward result where `relu` was set, else None: dy counts only where y > 0. `dresidual`
    is that dy (the same array as dy where y is None).
    """
    checks.batch_norm("batch_norm_grad", x, gamma, mean, var, dy=dy, y=y)
    return implementation_for(dy, x, gamma, mean, var, y).batch_norm_grad(
        dy, x, gamma, mean, var, eps=eps, y=y
    )


def batch_norm_eval(
    x: Array,
    gamma: Array,
    beta: Array,
    mean: Array,
    var: Array,
    *,
    eps: float,
    residual: Array | None = None,
    relu: bool = False,
) -> Array:
    """Normalise `x` by a given mean and variance (C,), those gathered during training."""
    checks.batch_norm("batch_norm_eval", x, gamma, beta, mean, var, residual=residual)
    return implementation_for(x, gamma, beta, mean, var, residual).batch_norm_eval(
        x, gamma, beta, mean, var, eps=eps, residual=residual, relu=relu
    )


def batch_norm_eval_grad(
    dy: Array,
    x: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    *,
    eps: float,
    y: Array | None = None,
) -> tuple[Array, Array, Array, Array]:
    """Gradients of `batch_norm_eval`, as `batch_norm_grad`; `mean` and `var` are constants."""
    checks.batch_norm("batch_norm_eval_grad", x, gamma, mean, var, dy=dy, y=y)
    return implementation_for(dy, x, gamma, mean, var, y).batch_norm_eval_grad(
        dy, x, gamma, mean, var, eps=eps, y=y
    )


# ------------------------------------------- a convolution and its batch norm, fused


def conv2d_batch_norm(
    x: Array,
    weight: Array,
    gamma: Array,
    beta: Array,
    *,
    eps: float,
    stride: int = 1,
    padding: int = 0,
    residual: Array | None = None,
    relu: bool = False,
    running: Running | None = None,
) -> tuple[Array, Array, Array, Array]:
    """`batch_norm` of `conv2d` in fewer passes over memory: `(y, z, mean, var)`.

    z (N, OH, OW, C_out) is the convolution's result, which the gradient needs; `residual` is as z.
    """
    arrays = (x, weight, gamma, beta)
    geometry: dict[str, Any] = {"stride": stride, "padding": padding}
    shape = checks.conv2d_batch_norm("conv2d_batch_norm", *arrays, **geometry, residual=residual)
    checks.several_values("conv2d_batch_norm", shape)
    checks.running("conv2d_batch_norm", gamma, running)
    return implementation_for(*arrays, residual).conv2d_batch_norm(
        *arrays, eps=eps, **geometry, residual=residual, relu=relu, running=running
    )


def conv2d_batch_norm_grad(
    dy: Array,
    x: Array,
    weight: Array,
    z: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    *,
    eps: float,
    stride: int = 1,
    padding: int = 0,
    y: Array | None = None,
    needs_dx: bool = True,
    needs_dresidual: bool = True,
    handover: Handover | None = None,
    before: Handover | None = None,
    homes: Homes = (None,) * 3,
) -> tuple[Array | None, Array, Array, Array, Array | None]:
    """Gradients of `conv2d_batch_norm`: `(dx, dweight, dgamma, dbeta, dresidual)`.

    `z`, `mean` and `var` are those that the forward pass returned; `y` its result where `relu` was
    set, else None. What is not needed is None. With `handover`, which belongs to y, dy may come cut
    and summed, and its array is used again; with `before`, which belongs to x, dx may be left like
    that: see `handover.py`. An implementation is free to leave nothing. Nor must it use `homes`,
    arrays that the gradients of weight, gamma and beta may be written to.
    """
    arrays = (gamma, mean, var)
    geometry: dict[str, Any] = {"stride": stride, "padding": padding}
    checks.conv2d_batch_norm(
        "conv2d_batch_norm_grad", x, weight, *arrays, **geometry, dy=dy, y=y, z=z
    )
    made = checks.handover("conv2d_batch_norm_grad", x, before)
    needs = {"needs_dx": needs_dx, "needs_dresidual": needs_dresidual}
    handovers = {"handover": handover, "before": before, "homes": homes}
    return implementation_for(dy, x, weight, z, *arrays, y, *made).conv2d_batch_norm_grad(
        dy, x, weight, z, *arrays, eps=eps, **geometry, y=y, **needs, **handovers
    )


def conv2d_batch_norm_eval(
    x: Array,
    weight: Array,
    gamma: Array,
    beta: Array,
    mean: Array,
    var: Array,
    *,
    eps: float,
    stride: int = 1,
    padding: int = 0,
    residual: Array | None = None,
    relu: bool = False,
) -> Array:
    """`batch_norm_eval` of `conv2d` in one pass over memory: the result y alone."""
    arrays = (x, weight, gamma, beta, mean, var)
    geometry: dict[str, Any] = {"stride": stride, "padding": padding}
    checks.conv2d_batch_norm("conv2d_batch_norm_eval", *arrays, **geometry, residual=residual)
    return implementation_for(*arrays, residual).conv2d_batch_norm_eval(
        *arrays, eps=eps, **geometry, residual=residual, relu=relu
    )


def basic_block(
    x: Array,
    weight1: Array,
    gamma1: Array,
    beta1: Array,
    weight2: Array,
    gamma2: Array,
    beta2: Array,
    *,
    eps: float,
    stride: int = 1,
    skip: bool,
    running: tuple[Running | None, Running | None] = (None, None),
) -> tuple[Array, Array, Array, Array, Array, Array, Array]:
    """Two 3 x 3 convolutions with batch norm and ReLU, the first one with a stride.

    y = relu(norm2(conv2(relu(norm1(conv1(x))))) + shortcut(x)), where the shortcut is x itself or,
    where the shape changes, `subsample_and_pad` of x: shortcut A. Without it where `skip` is False:
    the plain twin. Returns `(y, z1, mean1, var1, z2, mean2, var2)` with the convolutions' results z
    and their statistics, which the gradient needs. The batch norms' `running` statistics, if given,
    move. He et al. 2015, fig. 2 and sec. 3.3.
    """
    arrays = (weight1, gamma1, beta1, weight2, gamma2, beta2)
    block: dict[str, Any] = {"stride": stride, "skip": skip}
    checks.basic_block("basic_block", x, *arrays, **block)
    checks.running("basic_block", gamma1, *running)
    return implementation_for(x, *arrays).basic_block(x, *arrays, eps=eps, **block, running=running)


def basic_block_grad(
    dy: Array,
    x: Array,
    weight1: Array,
    gamma1: Array,
    beta1: Array,
    weight2: Array,
    gamma2: Array,
    beta2: Array,
    y: Array,
    z1: Array,
    mean1: Array,
    var1: Array,
    z2: Array,
    mean2: Array,
    var2: Array,
    *,
    eps: float,
    stride: int = 1,
    skip: bool,
    needs_dx: bool = True,
    handover: Handover | None = None,
    before: Handover | None = None,
    homes: Homes = (None,) * 6,
) -> tuple[Array | None, Array, Array, Array, Array, Array, Array]:
    """Gradients of `basic_block` from its arguments and results, in the arguments' order.

    `(dx, dweight1, dgamma1, dbeta1, dweight2, dgamma2, dbeta2)`; dx is None if not needed.
    `handover`, `before` and `homes` as in `conv2d_batch_norm_grad`.
    """
    arrays = (weight1, gamma1, beta1, weight2, gamma2, beta2)
    results = (y, z1, mean1, var1, z2, mean2, var2)
    block: dict[str, Any] = {"stride": stride, "skip": skip}
    checks.basic_block("basic_block_grad", x, *arrays, **block, dy=dy, y=y, z1=z1, z2=z2)
    checks.channels("basic_block_grad", "the block's result", y.shape, mean1, var1, mean2, var2)
    made = checks.handover("basic_block_grad", x, before)
    settings = {"needs_dx": needs_dx, "handover": handover, "before": before, "homes": homes}
    return implementation_for(dy, x, *arrays, *results, *made).basic_block_grad(
        dy, x, *arrays, *results, eps=eps, **block, **settings
    )
