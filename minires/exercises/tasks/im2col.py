"""What is checked of im2col and col2im."""

import numpy as np

from ... import kernels
from ..task import IMAGE, Case, Exercise, Race, Task, numeric_gradient
from .windows import all_geometries, columns_shape, crop, scatter, scatter_by_window, settings

COLUMNS = ("image", "row", "column", "place in the window")


def forward_cases(rng):
    """Random images."""
    return [
        Case({"x": rng.standard_normal(shape), **settings(kernel, stride, padding)}, note)
        for shape, kernel, stride, padding, note in all_geometries(rng)
    ]


def grad_cases(rng):
    """Random cotangents."""
    return [
        Case(
            {
                "dcolumns": rng.standard_normal(columns_shape(shape, kernel, stride, padding)),
                "x_shape": shape,
                **settings(kernel, stride, padding),
            },
            note,
        )
        for shape, kernel, stride, padding, note in all_geometries(rng)
    ]


def forward(x, kernel_size, stride, padding):
    """The engine's."""
    return kernels.im2col(x, kernel_size=kernel_size, stride=stride, padding=padding)


def gradient(dcolumns, x_shape, kernel_size, stride, padding):
    """By differences of im2col, at zero."""
    return numeric_gradient(
        lambda x: forward(x, kernel_size, stride, padding), np.zeros(x_shape), dcolumns
    )


def channel_first(x, kernel_size, stride, padding):
    """The order within a row is (channel, kernel row, kernel column): PyTorch's. The task asks
    for (kernel row, kernel column, channel), so that channels lie side by side."""
    columns = forward(x, kernel_size, stride, padding)
    windows = columns.reshape(*columns.shape[:3], -1, x.shape[3])
    return windows.swapaxes(3, 4).reshape(columns.shape)


def kernel_transposed(x, kernel_size, stride, padding):
    """The order within a row is (kernel column, kernel row, channel): rows come first."""
    columns = forward(x, kernel_size, stride, padding)
    windows = columns.reshape(*columns.shape[:3], *kernel_size, x.shape[3])
    return windows.swapaxes(3, 4).reshape(columns.shape)


def kernel_flipped(x, kernel_size, stride, padding):
    """The windows are read backwards, from the last row and column to the first: that is a
    convolution as mathematicians write it. Here the kernel is not flipped."""
    columns = forward(x, kernel_size, stride, padding)
    windows = columns.reshape(*columns.shape[:3], *kernel_size, x.shape[3])
    return windows[:, :, :, ::-1, ::-1].reshape(columns.shape)


def neighbours(x, kernel_size, stride, padding):
    """Every window begins where it should in the first row and column, but the stride is not used:
    window (r, c) begins at row stride * r, column stride * c of the padded image."""
    margin = (padding, padding)
    padded = np.pad(x, ((0, 0), margin, margin, (0, 0)))
    shape = columns_shape(x.shape, kernel_size, stride, padding)
    return forward(padded, kernel_size, 1, 0)[:, : shape[1], : shape[2]]


def padded_behind(x, kernel_size, stride, padding):
    """All the padding is at the end of rows and columns: half of it belongs before them."""
    padded = np.pad(x, ((0, 0), (0, 2 * padding), (0, 2 * padding), (0, 0)))
    return forward(padded, kernel_size, stride, 0)


def padded_with_edge(x, kernel_size, stride, padding):
    """The padding repeats the image's border: it should be zeros."""
    margin = (padding, padding)
    padded = np.pad(x, ((0, 0), margin, margin, (0, 0)), mode="edge")
    return forward(padded, kernel_size, stride, 0)


def assigned(dcolumns, x_shape, kernel_size, stride, padding):
    """Where windows overlap, the last one replaces the others: add them up (+= instead of =)."""
    padded = scatter(dcolumns, x_shape, kernel_size, stride, padding, add=False)
    return crop(padded, x_shape, padding, padding)


def assigned_by_window(dcolumns, x_shape, kernel_size, stride, padding):
    """Where windows overlap, the last one replaces the others: add them up (+= instead of =)."""
    padded = scatter_by_window(dcolumns, x_shape, kernel_size, stride, padding)
    return crop(padded, x_shape, padding, padding)


def averaged(dcolumns, x_shape, kernel_size, stride, padding):
    """Where windows overlap, their gradients are averaged: they should be summed."""
    padded = scatter(dcolumns, x_shape, kernel_size, stride, padding)
    uses = scatter(np.ones(dcolumns.shape), x_shape, kernel_size, stride, padding)
    return crop(padded / np.maximum(uses, 1), x_shape, padding, padding)


def cut_at_the_end(dcolumns, x_shape, kernel_size, stride, padding):
    """The padding is cut off at the end only, so the images are shifted: the pixel at row 0 of x
    lies at row `padding` of the padded image."""
    return crop(scatter(dcolumns, x_shape, kernel_size, stride, padding), x_shape, 0, 0)


def cut_at_the_start(dcolumns, x_shape, kernel_size, stride, padding):
    """The padding is cut off at the start only, so the images are shifted."""
    padded = scatter(dcolumns, x_shape, kernel_size, stride, padding)
    return crop(padded, x_shape, 2 * padding, 2 * padding)


def read_channel_first(dcolumns, x_shape, kernel_size, stride, padding):
    """The rows are read in the order (channel, kernel row, kernel column), but they are written in
    the order (kernel row, kernel column, channel)."""
    windows = dcolumns.reshape(*dcolumns.shape[:3], x_shape[3], -1).swapaxes(3, 4)
    return gradient(windows.reshape(dcolumns.shape), x_shape, kernel_size, stride, padding)


def read_transposed(dcolumns, x_shape, kernel_size, stride, padding):
    """Kernel rows and kernel columns are swapped when the rows are read."""
    kh, kw = kernel_size
    windows = dcolumns.reshape(*dcolumns.shape[:3], kw, kh, x_shape[3]).swapaxes(3, 4)
    return gradient(windows.reshape(dcolumns.shape), x_shape, kernel_size, stride, padding)


def read_flipped(dcolumns, x_shape, kernel_size, stride, padding):
    """The windows are put back upside down: the kernel's place (i, j) goes to pixel
    (stride * r + i, stride * c + j) of the padded image."""
    windows = dcolumns.reshape(*dcolumns.shape[:3], *kernel_size, x_shape[3])
    flipped = windows[:, :, :, ::-1, ::-1].reshape(dcolumns.shape)
    return gradient(flipped, x_shape, kernel_size, stride, padding)


def of_images(rng):
    """For the race."""
    dcolumns = rng.standard_normal((8, 16, 16, 9 * 16), dtype=np.float32)
    return {"dcolumns": dcolumns, "x_shape": (8, 16, 16, 16), **settings((3, 3), 1, 1)}


def with_kernels(module):
    """The engine's, with arguments by position."""

    def run(dcolumns, x_shape, kernel_size, stride, padding):
        geometry = settings(kernel_size, stride, padding)
        return module.col2im(dcolumns, x_shape=x_shape, **geometry)

    return run


EXERCISE = Exercise(
    "im2col",
    "im2col and its gradient, col2im",
    tasks=(
        Task(
            "im2col",
            {"columns": COLUMNS},
            forward_cases,
            forward,
            mistakes={
                "columns": (
                    channel_first,
                    kernel_transposed,
                    kernel_flipped,
                    neighbours,
                    padded_behind,
                    padded_with_edge,
                )
            },
        ),
        Task(
            "col2im",
            {"dx": IMAGE},
            grad_cases,
            gradient,
            mistakes={
                "dx": (
                    assigned,
                    assigned_by_window,
                    averaged,
                    cut_at_the_end,
                    cut_at_the_start,
                    read_channel_first,
                    read_transposed,
                    read_flipped,
                )
            },
        ),
    ),
    hints=(
        "Think of one place (i, j) of the kernel. Over all windows, which pixels of the padded "
        "image does it meet? A grid: rows i, i + stride, i + 2 * stride and so on.",
        "So padded[:, i : i + stride * OH : stride, j : j + stride * OW : stride] is what place "
        "(i, j) sees: one slice for all windows and images. Copy it into columns[:, :, :, i, j].",
        "col2im is the same loop with the copy turned round: into zeros of the padded size, add "
        "each place's gradients to its slice, with +=, since slices of different places overlap. "
        "Cut the padding off at the end.",
    ),
    race=Race(
        "col2im",
        of_images,
        reference=with_kernels(kernels.reference),
        engine=with_kernels(kernels),
    ),
    after="The columns take kh * kw times the memory of x. That is why the engine keeps x for the "
    "backward pass, and makes the columns anew.",
)
