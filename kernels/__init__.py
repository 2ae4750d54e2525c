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

import numpy as np
import numpy.typing as npt

from . import checks
from .backward_link import NO_LINKS, Links
from .dispatch import implementation_for, report
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
from .records import ConvNorm, SavedNorm
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
    layer: ConvNorm,
    *,
    residual: Array | None = None,
    relu: bool = False,
    running: Running | None = None,
) -> tuple[Array, SavedNorm]:
    """`batch_norm` of `conv2d` in fewer passes over memory: `(y, saved)`.

    y is (N, OH, OW, C_out), `residual` as y; `saved` is what the gradient needs, with y in it
    where there is `relu`.
    """
    shape = checks.conv2d_batch_norm("conv2d_batch_norm", x, layer, residual=residual)
    checks.several_values("conv2d_batch_norm", shape)
    checks.running("conv2d_batch_norm", layer.gamma, running)
    return implementation_for(x, *layer.arrays, residual).conv2d_batch_norm(
        x, layer, residual=residual, relu=relu, running=running
    )


def conv2d_batch_norm_grad(
    dy: Array,
    x: Array,
    layer: ConvNorm,
    saved: SavedNorm,
    *,
    needs_dx: bool = True,
    needs_dresidual: bool = True,
    links: Links = NO_LINKS,
) -> tuple[Array | None, Array, Array, Array, Array | None]:
    """Gradients of `conv2d_batch_norm`: `(dx, dweight, dgamma, dbeta, dresidual)`.

    What is not needed is None. Linked to the operation behind it, dy may come masked, with its sums
    gathered, and its array is used again; linked to the one before it, dx may be made like that.
    See `backward_link.py`. An implementation is free not to use any link.
    """
    name, (z, mean, var, y) = "conv2d_batch_norm_grad", saved
    checks.conv2d_batch_norm(name, x, layer, mean, var, dy=dy, y=y, z=z)
    linked = checks.link_of_input(name, x, links.of_input)
    return implementation_for(dy, x, *layer.arrays, *saved, *linked).conv2d_batch_norm_grad(
        dy, x, layer, saved, needs_dx=needs_dx, needs_dresidual=needs_dresidual, links=links
    )


def conv2d_batch_norm_eval(
    x: Array,
    layer: ConvNorm,
    mean: Array,
    var: Array,
    *,
    residual: Array | None = None,
    relu: bool = False,
) -> Array:
    """`batch_norm_eval` of `conv2d` in one pass over memory: the result y alone."""
    checks.conv2d_batch_norm("conv2d_batch_norm_eval", x, layer, mean, var, residual=residual)
    arrays = (*layer.arrays, mean, var, residual)
    return implementation_for(x, *arrays).conv2d_batch_norm_eval(
        x, layer, mean, var, residual=residual, relu=relu
    )


def basic_block(
    x: Array,
    first: ConvNorm,
    second: ConvNorm,
    *,
    skip: bool,
    running: tuple[Running | None, Running | None] = (None, None),
) -> tuple[Array, tuple[SavedNorm, SavedNorm]]:
    """Two 3 x 3 convolutions with batch norm and ReLU, padding 1, the first one with a stride.

    y = relu(norm2(conv2(relu(norm1(conv1(x))))) + shortcut(x)), where the shortcut is x itself or,
    where the shape changes, `subsample_and_pad` of x: shortcut A. Without it where `skip` is False:
    the plain twin. Returns `(y, saved)`, the latter for the gradient: of each convolution. The
    batch norms' `running` statistics, if given, move. He et al. 2015, fig. 2 and sec. 3.3.
    """
    checks.basic_block("basic_block", x, first, second, skip)
    checks.running("basic_block", first.gamma, *running)
    return implementation_for(x, *first.arrays, *second.arrays).basic_block(
        x, first, second, skip=skip, running=running
    )


def basic_block_grad(
    dy: Array,
    x: Array,
    first: ConvNorm,
    second: ConvNorm,
    saved: tuple[SavedNorm, SavedNorm],
    *,
    skip: bool,
    needs_dx: bool = True,
    links: Links = NO_LINKS,
) -> tuple[Array | None, Array, Array, Array, Array, Array, Array]:
    """Gradients of `basic_block`, for what it saved.

    `(dx, dweight1, dgamma1, dbeta1, dweight2, dgamma2, dbeta2)`; dx is None if not needed. `links`
    as in `conv2d_batch_norm_grad`.
    """
    name, ((z1, mean1, var1, _), (z2, mean2, var2, y)) = "basic_block_grad", saved
    checks.basic_block(name, x, first, second, skip, dy=dy, y=y, z1=z1, z2=z2)
    checks.channels(name, "the block's result", y.shape, mean1, var1, mean2, var2)
    linked = checks.link_of_input(name, x, links.of_input)
    arrays = (*first.arrays, *second.arrays, *saved[0], *saved[1], *linked)
    return implementation_for(dy, x, *arrays).basic_block_grad(
        dy, x, first, second, saved, skip=skip, needs_dx=needs_dx, links=links
    )
