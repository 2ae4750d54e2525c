"""What is checked of a convolution's input gradient."""

import numpy as np

from ... import kernels
from ..task import IMAGE, Case, Exercise, Race, Task, numeric_gradient
from .windows import all_geometries, crop, output_size, scatter, scatter_by_window


def cases(rng):
    """Random cotangents and weights."""
    for number, (shape, kernel, stride, padding, note) in enumerate(all_geometries(rng)):
        out_channels = (4, 3, 3, 5, 2, 3)[number]
        size = output_size(shape, kernel, stride, padding)
        dy = rng.standard_normal((shape[0], *size, out_channels))
        weight = rng.standard_normal((*kernel, shape[3], out_channels))
        arguments = {"dy": dy, "weight": weight, "x_shape": shape}
        yield Case({**arguments, "stride": stride, "padding": padding}, note)


def gradient(dy, weight, x_shape, stride, padding):
    """By differences of conv2d, at zero."""

    def conv(x):
        return kernels.conv2d(x, weight, stride=stride, padding=padding)

    return numeric_gradient(conv, np.zeros(x_shape), dy)


def dcolumns_of(dy, weight):
    """The gradient of the columns."""
    return dy @ weight.reshape(-1, weight.shape[3]).T


def kernel_flipped(dy, weight, x_shape, stride, padding):
    """The kernel is turned by 180 degrees once too often, or once too seldom. dx[r + i] gets
    dy[r] * weight[i]: with windows put back by col2im nothing is flipped; written as a convolution
    of dy, the kernel has to be."""
    return gradient(dy, np.ascontiguousarray(weight[::-1, ::-1]), x_shape, stride, padding)


def kernel_transposed(dy, weight, x_shape, stride, padding):
    """Kernel rows and kernel columns are swapped."""
    if weight.shape[0] != weight.shape[1]:
        weight = weight.reshape(weight.shape[1], weight.shape[0], *weight.shape[2:]).swapaxes(0, 1)
    else:
        weight = weight.swapaxes(0, 1)
    return gradient(dy, np.ascontiguousarray(weight), x_shape, stride, padding)


def assigned(dy, weight, x_shape, stride, padding):
    """Where windows overlap, the last one replaces the others: add them up (+= instead of =)."""
    columns = dcolumns_of(dy, weight)
    padded = scatter(columns, x_shape, weight.shape[:2], stride, padding, add=False)
    return crop(padded, x_shape, padding, padding)


def assigned_by_window(dy, weight, x_shape, stride, padding):
    """Where windows overlap, the last one replaces the others: add them up (+= instead of =)."""
    columns = dcolumns_of(dy, weight)
    padded = scatter_by_window(columns, x_shape, weight.shape[:2], stride, padding)
    return crop(padded, x_shape, padding, padding)


def cut_at_the_end(dy, weight, x_shape, stride, padding):
    """The padding is ignored: dx is shifted by it. The pixel at row 0 of x lies at row `padding`
    of the padded image, so cut the padding off on both sides."""
    padded = scatter(dcolumns_of(dy, weight), x_shape, weight.shape[:2], stride, padding)
    return crop(padded, x_shape, 0, 0)


def last_row_dropped(dy, weight, x_shape, stride, padding):
    """Where the stride leaves rows or columns over, the last windows are dropped."""
    rows, cols = (
        side - int((whole + 2 * padding - k) % stride > 0)
        for side, whole, k in zip(dy.shape[1:3], x_shape[1:3], weight.shape[:2], strict=True)
    )
    kept = np.zeros(dy.shape)
    kept[:, :rows, :cols] = dy[:, :rows, :cols]
    return gradient(kept, weight, x_shape, stride, padding)


def centre_alone(dy, weight, x_shape, stride, padding):
    """Only one place of the kernel is used, the first: loop over all of them."""
    only = np.zeros(weight.shape)
    only[0, 0] = weight[0, 0]
    return gradient(dy, only, x_shape, stride, padding)


def averaged(dy, weight, x_shape, stride, padding):
    """Where windows overlap, their gradients are averaged: they should be summed."""
    columns = dcolumns_of(dy, weight)
    uses = scatter(np.ones(columns.shape), x_shape, weight.shape[:2], stride, padding)
    padded = scatter(columns, x_shape, weight.shape[:2], stride, padding)
    return crop(padded / np.maximum(uses, 1), x_shape, padding, padding)


def of_images(rng):
    """For the race."""
    dy = rng.standard_normal((8, 16, 16, 16), dtype=np.float32)
    weight = rng.standard_normal((3, 3, 16, 16), dtype=np.float32)
    return {"dy": dy, "weight": weight, "x_shape": dy.shape, "stride": 1, "padding": 1}


def with_kernels(module):
    """The engine's, with arguments by position."""

    def run(dy, weight, x_shape, stride, padding):
        return module.conv2d_input_grad(dy, weight, x_shape=x_shape, stride=stride, padding=padding)

    return run


EXERCISE = Exercise(
    "conv2d_input_grad",
    "convolution: the gradient of the input",
    tasks=(
        Task(
            "conv2d_input_grad",
            {"dx": IMAGE},
            cases,
            gradient,
            mistakes={
                "dx": (
                    kernel_flipped,
                    kernel_transposed,
                    assigned,
                    assigned_by_window,
                    cut_at_the_end,
                    last_row_dropped,
                    centre_alone,
                    averaged,
                )
            },
        ),
    ),
    hints=(
        "The forward pass is columns = im2col(x), then y = columns @ W. Go back in two steps: from "
        "dy to dcolumns, then from dcolumns to dx.",
        "The first step you know from the linear layer, whose dx is dy times the transposed "
        "weight. The second is the exercise before this one.",
        "W is weight.reshape(kh * kw * C_in, C_out), as in the forward pass. Transpose it, not the "
        "weight with its four axes, and dcolumns has the shape that col2im takes.",
    ),
    race=Race(
        "conv2d_input_grad",
        of_images,
        reference=with_kernels(kernels.reference),
        engine=with_kernels(kernels),
    ),
    after="With stride 1 this is itself a convolution: of dy with the kernel turned by 180 "
    "degrees, its channels swapped. That is what the engine's fast kernel computes.",
)
