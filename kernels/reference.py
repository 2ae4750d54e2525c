"""The kernels in plain NumPy: slow, obviously right, the text to read and the oracle of tests.

`contract/` explains the names and arguments. The file has two main ideas. First, a convolution is
one matrix product: `im2col` copies the window under every output pixel into a row, and the rows
times the flattened weight are the result. Second, the gradient of a copy is a sum: where the
forward pass reads a value several times, the backward pass adds (`col2im`). All convolutions here
use this algorithm; the argument `algorithm` is ignored.
"""

from __future__ import annotations

import math

import numpy as np

from .backward_link import NO_LINKS
from .checks import output_shape
from .records import SavedNorm
from .reference_regions import nms as nms
from .reference_regions import roi_align as roi_align
from .reference_regions import roi_align_grad as roi_align_grad
from .reference_regions import roi_max_pool as roi_max_pool
from .reference_regions import roi_max_pool_grad as roi_max_pool_grad

# ---------------------------------------------------------------------------- convolution


def im2col(x, *, kernel_size, stride=1, padding=0):
    """Windows as rows: a strided view of the padded images, copied out."""
    rows = *output_shape(x.shape, kernel_size, stride, padding), math.prod(kernel_size) * x.shape[3]
    return windows(pad(x, padding), kernel_size, stride).reshape(len(x), *rows)


def windows(x, kernel_size, stride):
    """(N, OH, OW, kh, kw, C) view of every window of already padded images."""
    view = np.lib.stride_tricks.sliding_window_view(x, kernel_size, axis=(1, 2))
    return view[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)


def pad(x, padding, value=0.0):
    """Images with a border of `padding` pixels of `value` on every side.

    `np.pad` does the same, but takes more than ten times as long for small images.
    """
    n, height, width, channels = x.shape
    padded = np.full((n, height + 2 * padding, width + 2 * padding, channels), value, x.dtype)
    padded[:, padding : padding + height, padding : padding + width] = x
    return padded


def col2im(columns, *, x_shape, kernel_size, stride=1, padding=0):
    """Add the windows back, one kernel position at a time."""
    n, height, width, channels = x_shape
    rows, cols = output_shape(x_shape, kernel_size, stride, padding)
    by_position = columns.reshape(n, rows, cols, *kernel_size, channels)
    padded = np.zeros((n, height + 2 * padding, width + 2 * padding, channels), columns.dtype)
    for i in range(kernel_size[0]):
        for j in range(kernel_size[1]):
            target = padded[:, i : i + stride * rows : stride, j : j + stride * cols : stride]
            target += by_position[:, :, :, i, j]
    return crop(padded, padding, height, width)


def crop(padded, padding, height, width):
    """The images inside a border, as a fresh array."""
    return padded[:, padding : padding + height, padding : padding + width].copy()


def conv2d(x, weight, *, stride=1, padding=0, algorithm="auto"):
    """The columns times the flattened weight."""
    columns = im2col(x, kernel_size=weight.shape[:2], stride=stride, padding=padding)
    return columns @ weight.reshape(-1, weight.shape[3])


def conv2d_input_grad(dy, weight, *, x_shape, stride=1, padding=0, algorithm="auto"):
    """Y = columns @ W, so dcolumns = dY @ W.T; the columns are copies of x, so dx is their sum."""
    dcolumns = dy @ weight.reshape(-1, weight.shape[3]).T
    return col2im(
        dcolumns, x_shape=x_shape, kernel_size=weight.shape[:2], stride=stride, padding=padding
    )


def conv2d_weight_grad(dy, x, *, kernel_size, stride=1, padding=0, algorithm="auto"):
    """Y = columns @ W, so dW = columns.T @ dY. The columns are made again: only x is kept."""
    columns = im2col(x, kernel_size=kernel_size, stride=stride, padding=padding)
    dweight = columns.reshape(-1, columns.shape[-1]).T @ dy.reshape(-1, dy.shape[-1])
    return dweight.reshape(*kernel_size, x.shape[-1], dy.shape[-1])


# --------------------------------------------------------------------- batch normalisation

PER_CHANNEL = (0, 1, 2)  # the axes of a channel's statistics


def batch_norm(x, gamma, beta, *, eps, residual=None, relu=False, running=None):
    """Normalise by the mean and the biased variance of this batch.

    A fused call (`conv2d_batch_norm`) adds a residual and takes the ReLU as well.
    """
    mean, var = x.mean(PER_CHANNEL), x.var(PER_CHANNEL)
    follow(running, mean, var, x.size // x.shape[3])
    y = batch_norm_eval(x, gamma, beta, mean, var, eps=eps, residual=residual, relu=relu)
    return y, mean, var


def follow(running, mean, var, count):
    """Move the running statistics, if there are any, towards those of `count` values a channel."""
    if running:
        statistics = (running.mean, running.var, mean, var)
        update_running_statistics(*statistics, momentum=running.momentum, count=count)


def batch_norm_eval(x, gamma, beta, mean, var, *, eps, residual=None, relu=False):
    """Normalise by a given mean and variance."""
    y = (x - mean) / np.sqrt(var + eps) * gamma + beta
    if residual is not None:
        y = y + residual
    return np.maximum(y, 0) if relu else y


def batch_norm_grad(dy, x, gamma, mean, var, *, eps, y=None):
    """Gradients with mean and variance as functions of x.

    With x_hat = (x - mean) / std,
    dx = gamma / std * (dy - average(dy) - x_hat * average(dy * x_hat)).
    The second term flows through the mean, the third through the variance. The averages are dbeta
    and dgamma, which are sums, over the count. If a ReLU followed, dy is masked first.
    """
    masked_dy = dy if y is None else relu_grad(dy, y)
    x_hat, dgamma, dbeta = parameter_grads(masked_dy, x, mean, var, eps)
    count = x.size // x.shape[3]
    dx = gamma / np.sqrt(var + eps) * (masked_dy - dbeta / count - x_hat * dgamma / count)
    return dx, dgamma, dbeta, masked_dy


def batch_norm_eval_grad(dy, x, gamma, mean, var, *, eps, y=None):
    """Gradients with mean and variance held constant: the map is linear in x."""
    masked_dy = dy if y is None else relu_grad(dy, y)
    _, dgamma, dbeta = parameter_grads(masked_dy, x, mean, var, eps)
    return masked_dy * (gamma / np.sqrt(var + eps)), dgamma, dbeta, masked_dy


def parameter_grads(masked_dy, x, mean, var, eps):
    """x_hat and the gradients of gamma and beta."""
    x_hat = (x - mean) / np.sqrt(var + eps)
    return x_hat, (masked_dy * x_hat).sum(PER_CHANNEL), masked_dy.sum(PER_CHANNEL)


# ----------------------------------------------- a convolution and its batch norm, as one


def conv2d_batch_norm(x, layer, *, residual=None, relu=False, running=None):
    z = conv2d(x, layer.weight, **layer.geometry)
    settings = {"eps": layer.eps, "residual": residual, "relu": relu, "running": running}
    y, mean, var = batch_norm(z, layer.gamma, layer.beta, **settings)
    return y, SavedNorm(z, mean, var, y if relu else None)


def conv2d_batch_norm_grad(
    dy, x, layer, saved, *, needs_dx=True, needs_dresidual=True, links=NO_LINKS
):
    """The gradients one after the other; dz is that of z, the convolution's result.

    Links are not used: no sums are gathered here.
    """
    z, mean, var, y = saved
    weight, settings = layer.weight, {"eps": layer.eps, "y": y}
    dz, dgamma, dbeta, dresidual = batch_norm_grad(dy, z, layer.gamma, mean, var, **settings)
    dx = conv2d_input_grad(dz, weight, x_shape=x.shape, **layer.geometry) if needs_dx else None
    dweight = conv2d_weight_grad(dz, x, kernel_size=weight.shape[:2], **layer.geometry)
    return dx, dweight, dgamma, dbeta, dresidual if needs_dresidual else None


def conv2d_batch_norm_eval(x, layer, mean, var, *, residual=None, relu=False):
    z = conv2d(x, layer.weight, **layer.geometry)
    settings = {"eps": layer.eps, "residual": residual, "relu": relu}
    return batch_norm_eval(z, layer.gamma, layer.beta, mean, var, **settings)


def basic_block(x, first, second, *, skip, running=(None, None)):
    """relu(norm(conv(relu(norm(conv(x))))) + shortcut(x))."""
    between, saved1 = conv2d_batch_norm(x, first, relu=True, running=running[0])
    channels = second.weight.shape[3]
    residual = subsample_and_pad(x, channels=channels, stride=first.stride) if skip else None
    settings = {"residual": residual, "relu": True, "running": running[1]}
    y, saved2 = conv2d_batch_norm(between, second, **settings)
    return y, (saved1._replace(y=None), saved2)  # `between` is freed: backward makes it again


def basic_block_grad(dy, x, first, second, saved, *, skip, needs_dx=True, links=NO_LINKS):
    """The map between the convolutions is made again; the shortcut passes on dresidual."""
    saved1, saved2 = saved
    z1, mean1, var1, _ = saved1
    between = batch_norm_eval(z1, first.gamma, first.beta, mean1, var1, eps=first.eps, relu=True)
    dbetween, *grads2, dresidual = conv2d_batch_norm_grad(dy, between, second, saved2)
    saved1 = saved1._replace(y=between)
    dx, *grads1, _ = conv2d_batch_norm_grad(dbetween, x, first, saved1, needs_dx=needs_dx)
    if needs_dx and skip:
        dx += subsample_and_pad_grad(dresidual, x_shape=x.shape, stride=first.stride)
    return dx, *grads1, *grads2


# ------------------------------------------------------------------- activation and pooling


def relu(x):
    return np.maximum(x, 0)


def relu_grad(dy, y):
    """Pass the gradient where the output was positive."""
    return np.where(y > 0, dy, 0).astype(dy.dtype)


def max_pool(x, *, size, stride, padding=0):
    """The largest value of each window, and its position."""
    view = windows(pad(x, padding, -np.inf), (size, size), stride)
    flat = view.reshape(*view.shape[:3], size * size, x.shape[3])
    argmax = flat.argmax(3)
    return np.take_along_axis(flat, argmax[:, :, :, None], 3)[:, :, :, 0], argmax.astype(np.int32)


def max_pool_grad(dy, argmax, *, x_shape, size, stride, padding=0):
    """Columns that hold dy at the winner's position, added back by `col2im`."""
    places = np.arange(size * size, dtype=np.int32)[:, None]
    columns = np.where(argmax[:, :, :, None] == places, dy[:, :, :, None], 0).astype(dy.dtype)
    kernel_size = size, size
    return col2im(columns, x_shape=x_shape, kernel_size=kernel_size, stride=stride, padding=padding)


def avg_pool(x, *, size, stride, padding=0):
    return windows(pad(x, padding), (size, size), stride).mean((3, 4))


def avg_pool_grad(dy, *, x_shape, size, stride, padding=0):
    """An equal share of dy for every pixel of the window."""
    share = np.repeat((dy / (size * size))[:, :, :, None], size * size, axis=3)
    kernel_size = size, size
    return col2im(share, x_shape=x_shape, kernel_size=kernel_size, stride=stride, padding=padding)


def global_avg_pool(x):
    return x.mean((1, 2))


def global_avg_pool_grad(dy, *, x_shape):
    """An equal share of dy for every pixel."""
    share = dy[:, None, None] / (x_shape[1] * x_shape[2])
    return np.broadcast_to(share, x_shape).copy()


def subsample_and_pad(x, *, channels, stride):
    """Copy into zeros; this and its gradient also work on CuPy arrays."""
    picked = x[:, ::stride, ::stride]
    y = np.zeros_like(x, shape=(*picked.shape[:3], channels))
    y[..., : x.shape[3]] = picked
    return y


def subsample_and_pad_grad(dy, *, x_shape, stride):
    dx = np.zeros_like(dy, shape=x_shape)
    dx[:, ::stride, ::stride] = dy[..., : x_shape[3]]
    return dx


def matmul(a, b):
    return a @ b


# ------------------------------------------------------------------- loss, step, augmentation


def softmax_cross_entropy(logits, labels):
    """Mean of log(sum(exp(logits))) - logits[label], shifted so that exp cannot overflow."""
    shifted = logits - logits.max(1, keepdims=True)
    exponentials = np.exp(shifted)
    totals = exponentials.sum(1)
    losses = np.log(totals) - shifted[np.arange(len(labels)), labels]
    return np.asarray(losses.mean()), exponentials / totals[:, None]


def softmax_cross_entropy_grad(probabilities, labels):
    """The predicted probabilities minus the true ones, over the batch size."""
    one_hot = labels[:, None] == np.arange(probabilities.shape[1])
    return (probabilities - one_hot.astype(probabilities.dtype)) / len(labels)


def tally(totals, loss, logits, labels):
    """Sums of the loss and of the images that are classified wrongly."""
    totals += loss.item() * len(labels), (logits.argmax(1) != labels).sum()


def update_running_statistics(running_mean, running_var, mean, var, *, momentum, count):
    """Exponential moving averages; the variance is made unbiased."""
    for running, batch in ((running_mean, mean), (running_var, var * (count / (count - 1)))):
        running *= 1 - momentum
        running += momentum * batch


def sgd_step(parameter, grad, velocity, *, lr, momentum, weight_decay):
    """The velocity remembers past gradients; the parameter follows it."""
    velocity *= momentum
    velocity += grad + weight_decay * parameter
    parameter -= lr * velocity


def crop_flip(images, offsets, flips, mean, scale, *, padding):
    """Normalise and pad all images, then crop and mirror one at a time."""
    height, width = images.shape[1:3]
    padded = pad((images.astype(mean.dtype) - mean) * scale, padding)
    batch = np.empty(images.shape, mean.dtype)
    for image, source, (top, left), flip in zip(batch, padded, offsets, flips, strict=True):
        cut = source[top : top + height, left : left + width]
        image[:] = cut[:, ::-1] if flip else cut
    return batch


def epoch_batch(epoch, position, mean, scale, *, batch_size, padding):
    """Look up the batch's images, then crop and flip."""
    images, labels, order, offsets, flips = epoch
    batch = slice(int(position) * batch_size, (int(position) + 1) * batch_size)
    chosen = order[batch]
    pixels = crop_flip(images[chosen], offsets[batch], flips[batch], mean, scale, padding=padding)
    return pixels, labels[chosen]
