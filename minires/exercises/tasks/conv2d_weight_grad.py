"""What is checked of a convolution's weight gradient."""

import numpy as np

from ... import kernels
from ..task import WEIGHT, Case, Exercise, Race, Task, numeric_gradient
from .windows import all_geometries, output_size


def cases(rng):
    """Random images and cotangents."""
    for number, (shape, kernel, stride, padding, note) in enumerate(all_geometries(rng)):
        out_channels = (4, 3, 3, 5, 2, 3)[number]
        size = output_size(shape, kernel, stride, padding)
        dy = rng.standard_normal((shape[0], *size, out_channels))
        arguments = {"dy": dy, "x": rng.standard_normal(shape), "kernel_size": kernel}
        yield Case({**arguments, "stride": stride, "padding": padding}, note)


def gradient(dy, x, kernel_size, stride, padding):
    """By differences of conv2d, at zero."""

    def conv(weight):
        return kernels.conv2d(x, weight, stride=stride, padding=padding)

    return numeric_gradient(conv, np.zeros((*kernel_size, x.shape[3], dy.shape[3])), dy)


def first_image_alone(dy, x, kernel_size, stride, padding):
    """dweight comes from the first image alone: all images use the same weight, so their gradients
    add up."""
    return gradient(dy[:1], x[:1], kernel_size, stride, padding)


def last_image_alone(dy, x, kernel_size, stride, padding):
    """dweight comes from the last image alone: each image should add to what is there, not replace
    it (+= instead of =)."""
    return gradient(dy[-1:], x[-1:], kernel_size, stride, padding)


def padding_forgotten(dy, x, kernel_size, stride, padding):
    """The padding is ignored: the windows begin at the image's first pixel, not `padding` before
    it. Pad x as the forward pass does."""
    padded = np.pad(x, ((0, 0), (0, 2 * padding), (0, 2 * padding), (0, 0)))
    return gradient(dy, padded, kernel_size, stride, 0)


def stride_forgotten(dy, x, kernel_size, stride, padding):
    """The stride is ignored: dy[r, c] belongs to the window that begins at row stride * r, column
    stride * c."""
    margin = (padding, padding)
    padded = np.pad(x, ((0, 0), margin, margin, (0, 0)))
    (rows, cols), (kh, kw) = dy.shape[1:3], kernel_size
    return gradient(dy, padded[:, : rows + kh - 1, : cols + kw - 1].copy(), kernel_size, 1, 0)


def kernel_flipped(dy, x, kernel_size, stride, padding):
    """dweight is turned by 180 degrees: dweight[i, j] collects x[stride * r + i, stride * c + j],
    without any flip."""
    return gradient(dy, x, kernel_size, stride, padding)[::-1, ::-1]


def kernel_transposed(dy, x, kernel_size, stride, padding):
    """Kernel rows and kernel columns are swapped."""
    right = gradient(dy, x, kernel_size, stride, padding)
    return right.swapaxes(0, 1).reshape(right.shape)


def channels_swapped(dy, x, kernel_size, stride, padding):
    """Input and output channels are mixed up: the matrix product gives (kh * kw * C_in, C_out), if
    the columns come first; transposed, its reshape puts numbers in the wrong places."""
    right = gradient(dy, x, kernel_size, stride, padding)
    return right.reshape(-1, dy.shape[3]).T.reshape(right.shape)


def channel_first(dy, x, kernel_size, stride, padding):
    """The rows are reshaped as (C_in, kh, kw): their order is (kernel row, kernel column,
    channel)."""
    right = gradient(dy, x, kernel_size, stride, padding)
    channels = right.reshape(x.shape[3], *kernel_size, dy.shape[3])
    return channels.transpose(1, 2, 0, 3)


def last_row_dropped(dy, x, kernel_size, stride, padding):
    """Where the stride leaves rows or columns over, the last windows are dropped."""
    rows, cols = (
        side - int((whole + 2 * padding - k) % stride > 0)
        for side, whole, k in zip(dy.shape[1:3], x.shape[1:3], kernel_size, strict=True)
    )
    kept = np.zeros(dy.shape)
    kept[:, :rows, :cols] = dy[:, :rows, :cols]
    return gradient(kept, x, kernel_size, stride, padding)


def averaged(dy, x, kernel_size, stride, padding):
    """dweight is the mean over all output pixels and images where it should be the sum: every use
    of the weight adds its gradient."""
    return gradient(dy, x, kernel_size, stride, padding) / (dy.size / dy.shape[3])


def averaged_over_pixels(dy, x, kernel_size, stride, padding):
    """dweight is the mean over the output pixels where it should be the sum: every use of the
    weight adds its gradient."""
    return gradient(dy, x, kernel_size, stride, padding) / (dy.shape[1] * dy.shape[2])


def of_images(rng):
    """For the race."""
    dy, x = rng.standard_normal((2, 8, 16, 16, 16), dtype=np.float32)
    return {"dy": dy, "x": x, "kernel_size": (3, 3), "stride": 1, "padding": 1}


def with_kernels(module):
    """The engine's, with arguments by position."""

    def run(dy, x, kernel_size, stride, padding):
        return module.conv2d_weight_grad(
            dy, x, kernel_size=kernel_size, stride=stride, padding=padding
        )

    return run


EXERCISE = Exercise(
    "conv2d_weight_grad",
    "convolution: the gradient of the weight",
    tasks=(
        Task(
            "conv2d_weight_grad",
            {"dweight": WEIGHT},
            cases,
            gradient,
            mistakes={
                "dweight": (
                    padding_forgotten,
                    stride_forgotten,
                    first_image_alone,
                    last_image_alone,
                    kernel_flipped,
                    kernel_transposed,
                    channels_swapped,
                    channel_first,
                    last_row_dropped,
                    averaged,
                    averaged_over_pixels,
                )
            },
        ),
    ),
    hints=(
        "The forward pass is columns = im2col(x), then y = columns @ W. What was dweight in the "
        "linear layer, and what takes the place of its samples here?",
        "Every output pixel of every image is a sample: flatten the columns to "
        "(N * OH * OW, kh * kw * C_in), and dy to (N * OH * OW, C_out).",
        "As in the linear layer: the transposed samples times dy. The product has the shape "
        "(kh * kw * C_in, C_out), in the order that a reshape to the weight's four axes wants.",
    ),
    race=Race(
        "conv2d_weight_grad",
        of_images,
        reference=with_kernels(kernels.reference),
        engine=with_kernels(kernels),
    ),
    after="In ResNet-20's first stage a weight is used at 131,072 pixels of a batch of 128 "
    "images. Its gradient is a sum as long as that, and in float32 the order of summation shows in "
    "the last digits.",
)
